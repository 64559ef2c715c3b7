"""The truth log: what a training step gives the emulated engine and leaves to the CPU.

    python3 bench/ane_plan/record.py LIBRARY FRAMEWORK FOLDER WORKLOAD PROFILE

runs a few steps of few layers with the real widths, once a depth, and prints what a step of the whole
model is made of, as JSON. The emulator's option `trace` counts evaluations and bytes and keeps the
programs; the library's reports say what ran on the CPU. Programs of layers are counted over a small
vocabulary at three depths, of which each is a program's layers deeper than the one before, and must
grow by the same each time; the head and the embedding are counted over one layer.
"""

import collections
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
SMALL_VOCABULARY = 4096
TOKENS = 256
# Whose programs a chip gets. Those for M5 have the same text as those for M4.
PROFILES = {"M1": "m1", "M3 Pro": "m3", "M4": "m4", "M4 Max": "m4", "M5": "m4"}

SHAPES = {
    "stories110m": dict(vocab_size=32000, hidden_size=768, intermediate_size=2048, layer_count=12,
                        head_count=12, kv_head_count=12, head_dim=64, tie_embeddings=1),
    "qwen3-0.6b": dict(vocab_size=151936, hidden_size=1024, intermediate_size=3072, layer_count=28,
                       head_count=16, kv_head_count=8, head_dim=128, tie_embeddings=1, qk_norm=1),
}
LORA_RANK = 8

# Name: shape, what is trained, options of the session, options of the emulator.
WORKLOADS = {f"{shape} {mode}": (shape, mode, {}, "") for shape in SHAPES
             for mode in ("full", "lora")}
# The same step in ways that the library offers.
ALTERNATIVES = {
    "stories110m full, recomputing": (
        "stories110m", "full", {"activation_checkpointing": 1}, ""),
    "stories110m lora, recomputing": (
        "stories110m", "lora", {"activation_checkpointing": 1}, ""),
    "stories110m full, packed": ("stories110m", "full", {}, "no_multi_input=1"),
}


def parameters(shape):
    """Elements of the matrices of a layer, of all layers and norms, and of the embedding."""
    s = SHAPES[shape]
    queries, keys = s["head_count"] * s["head_dim"], s["kv_head_count"] * s["head_dim"]
    width, hidden = s["hidden_size"], s["intermediate_size"]
    matrices = ((queries, width), (keys, width), (keys, width), (width, queries),
                (hidden, width), (hidden, width), (width, hidden))
    norms = 2 * width + (2 * s["head_dim"] if s.get("qk_norm") else 0)
    layers = s["layer_count"] * (sum(a * b for a, b in matrices) + norms) + width
    adapter = s["layer_count"] * sum(LORA_RANK * (a + b) for a, b in matrices)
    return {"layers": layers, "embedding": s["vocab_size"] * width, "adapter": adapter}


def norm_weights(name, shape):
    """Of norms others than ones, which programs with constants would do without."""
    import numpy
    return numpy.linspace(0.8, 1.2, shape[0]) if len(shape) == 1 else None


def step(arguments, folder, workload, depth, vocabulary):
    """One step, traced, in this process: the emulator's settings are its environment."""
    library_path, framework, profile = arguments
    shape, mode, options, emulator_options = {**WORKLOADS, **ALTERNATIVES}[workload]
    os.environ["ANE_EMULATOR"] = f"profile={profile},{emulator_options}".strip(",")
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    import numpy
    from library import (PLACEMENT, PRECISION, AdapterOptions, AneOptions, Library, ModelConfig,
                         SessionOptions)
    emulator = ctypes.CDLL(framework)
    model = dict(SHAPES[shape], layer_count=depth, vocab_size=vocabulary, context_length=TOKENS)
    engine = PLACEMENT["engine"]
    library = Library(
        library_path, ModelConfig(**model),
        SessionOptions(batch_size=1, sequence_length=TOKENS, precision=PRECISION["f16"],
                       learning_rate=1e-4, clip_norm=1.0, seed=1, **options),
        adapter=AdapterOptions(rank=LORA_RANK, seed=1) if mode == "lora" else None,
        weights=norm_weights,
        ane=AneOptions(framework_path=framework.encode(), cache_directory=str(folder).encode(),
                       forward=engine, loss=engine, input_gradients=engine,
                       weight_gradients=engine))
    tokens = numpy.random.default_rng(1).integers(0, vocabulary, (1, TOKENS + 1))
    # Zeros are compared with the CPU's results when they are first seen, as an adapter's are.
    library.step(tokens[:, :-1], tokens[:, 1:])
    before = library.kernels()
    trace = folder / f"{vocabulary}-{depth}"
    shutil.rmtree(trace, ignore_errors=True)
    emulator.ane_emulator_set(b"trace", str(trace).encode())
    result = library.step(tokens[:, :-1], tokens[:, 1:])
    if result.fallbacks or result.retries:
        raise RuntimeError(f"{result.fallbacks} fallbacks, {result.retries} retries")
    lines = (trace / "evaluations").read_text().split("\n")[:-1]
    counts = collections.Counter(line.split()[0] for line in lines)
    seen = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in lines}
    reported = (result.engine_evaluations, result.engine_bytes_in, result.engine_bytes_out)
    traced = (len(lines), *(sum(int(line.split()[i]) for line in lines) for i in (1, 2)))
    if reported != traced:
        raise RuntimeError(f"the library reports {reported}, the emulator saw {traced}")
    return {"evaluations": counts, "bytes": seen, "trace": str(trace),
            "engine_flops": result.engine_flops, "host_flops": result.host_flops,
            "kernels": [{"label": now.label.decode(), "runs": now.runs - then.runs,
                         "host_flops": now.host_flops - then.host_flops}
                        for now, then in zip(library.kernels(), before)]}


def run(arguments, folder, workload, depth, vocabulary):
    """The same in a process of its own."""
    command = [sys.executable, __file__, *arguments, str(folder), workload, str(depth),
               str(vocabulary)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        raise RuntimeError(finished.stderr.strip().splitlines()[-1])
    return json.loads(finished.stdout)


def is_block(trace, program):
    return "func block<" in (pathlib.Path(trace) / f"{program}.mil").read_text()


def layers_of_a_program(arguments, folder, workload):
    """By a depth at which 1, 2, 3 and 4 layers a program give other numbers of them."""
    depth = 7
    kernels = run(arguments, folder, workload, depth, SMALL_VOCABULARY)["kernels"]
    programs = sum(k["runs"] for k in kernels if k["label"] == "block_forward")
    return -(-depth // programs) if programs < depth else 1


def record(library, framework, folder, workload, profile):
    """Programs of a whole step, with their evaluations; and the CPU's part."""
    shape, mode, *_ = {**WORKLOADS, **ALTERNATIVES}[workload]
    arguments = (str(library), str(framework), profile)
    folder = pathlib.Path(folder).resolve() / profile / workload.replace(", ", "-").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    layers, vocabulary = SHAPES[shape]["layer_count"], SHAPES[shape]["vocab_size"]
    whole = run(arguments, folder, workload, 1, vocabulary)
    joined = layers_of_a_program(arguments, folder, workload) if mode == "lora" else 1
    # What is left over comes first in the library, too.
    first = layers % joined or joined
    depths = [first + joined * more for more in range(3)]
    few, middle, many = (run(arguments, folder, workload, depth, SMALL_VOCABULARY)
                         for depth in depths)
    programs = []
    for program, count in many["evaluations"].items():
        if not is_block(many["trace"], program):
            continue
        more = count - middle["evaluations"].get(program, 0)
        if more != middle["evaluations"].get(program, 0) - few["evaluations"].get(program, 0):
            raise RuntimeError(f"{workload}: evaluations do not grow by the layer")
        programs.append({"text": f"{many['trace']}/{program}.mil", "bytes": many["bytes"][program],
                         "evaluations": count + more * (layers - depths[-1]) // joined})
    for program, count in whole["evaluations"].items():
        if not is_block(whole["trace"], program):
            programs.append({"text": f"{whole['trace']}/{program}.mil",
                             "bytes": whole["bytes"][program], "evaluations": count})
    heads = [k for k in whole["kernels"] if k["label"].startswith("head_training")]
    narrow = sum(k["runs"] for k in many["kernels"] if k["label"] == "block_backward_narrow")
    if narrow not in (0, depths[-1]):
        raise RuntimeError(f"{workload}: {narrow} layers whose gradients are in fp16")
    narrow_head = any(k["runs"] for k in heads if k["label"] == "head_training_narrow")
    block_host = (many["host_flops"] - middle["host_flops"]) / joined
    return {"workload": workload, "profile": profile, "shape": shape, "mode": mode,
            "parameters": parameters(shape), "tokens": TOKENS, "vocabulary": vocabulary,
            "groups": -(-layers // joined), "layers_a_program": joined, "programs": programs,
            "narrow_layers": narrow > 0, "narrow_head": narrow_head,
            "chunks": sum(k["runs"] for k in heads),
            "head_host_flops": sum(k["host_flops"] for k in heads),
            "block_host_flops": block_host * layers}


if __name__ == "__main__":
    if len(sys.argv) == 6:
        print(json.dumps(record(*sys.argv[1:]), indent=1))
    else:
        library, framework, profile, folder, workload, depth, vocabulary = sys.argv[1:]
        print(json.dumps(step((library, framework, profile), pathlib.Path(folder), workload,
                              int(depth), int(vocabulary))))
