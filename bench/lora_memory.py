"""Memory and speed of training an adapter: Qwen3-0.6B's shape, rank 8 on the seven projections,
sequence 1024, batch 1, activation checkpointing, on the CPU.

    make bench-lora            over an int8, a 4-bit and an fp32 base
    /usr/bin/python3 bench/lora_memory.py LIBRARY [FOLDER] [--steps 3] [--sequence 1024]
                                          [--precision f32|bf16]

Makes a model of that shape with random weights below FOLDER (build/bench, 1.2 GB) if it is not
there. Each base is loaded, compressed on the way, and trained in a process of its own, whose peak
resident memory is what the system says of it when it has ended, the interpreter included. Prints a
table, writes build/bench/lora_memory.json, and fails when a bound is passed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench" / "speed"), str(ROOT / "tests" / "parity")]

from library import COMPRESSION, AdapterOptions, Library, QuantizeOptions, SessionOptions
from ours import precision_number
from workloads import SHAPES, model_folder

BASES = {"int8": "int8_channel", "int4": "int4_block", "f32": None}
BOUNDS_GB = {"int8": 1.8, "int4": 1.4}


def train(options):
    import numpy
    session = SessionOptions(batch_size=1, sequence_length=options.sequence, learning_rate=1e-4,
                             activation_checkpointing=1,
                             precision=precision_number(options.library, options.precision))
    compression = BASES[options.base]
    library = Library(options.library, None, session, adapter=AdapterOptions(rank=8),
                      folder=options.folder,
                      quantize=compression and QuantizeOptions(compression=COMPRESSION[compression]))
    ids = numpy.random.default_rng(1).integers(
        0, SHAPES["qwen3-0.6b"].vocab_size, (1, options.sequence + 1))
    results = [library.step(ids[:, :-1], ids[:, 1:]) for _ in range(options.steps)]
    plan = library.memory_plan()
    print(json.dumps({"seconds": [result.seconds for result in results],
                      "losses": [result.loss for result in results],
                      "planned_gb": plan.total / 1e9,
                      "planned": {name: getattr(plan, name) for name in (
                          "weights", "gradients", "optimizer", "staged", "activations",
                          "workspace")}}))


def measure(options, base):
    """Runs `train` in a process of its own and watches it from outside."""
    command = [sys.executable, __file__, options.library, options.folder, "--base", base,
               "--steps", str(options.steps), "--sequence", str(options.sequence),
               "--precision", options.precision]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"training over an {base} base failed")
    result = json.loads(output)
    # The first step finds cold caches.
    seconds = statistics.median(result["seconds"][1:] or result["seconds"])
    return {"peak_rss_gb": usage.ru_maxrss * 1024 / 1e9, "planned_gb": result["planned_gb"],
            "step_ms": seconds * 1e3, "tokens_per_second": options.sequence / seconds,
            "losses": result["losses"], "planned": result["planned"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("folder", nargs="?", default="build/bench")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--sequence", type=int, default=1024)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--only", choices=list(BASES), help="measure this base alone")
    parser.add_argument("--base", choices=list(BASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.base:
        return train(options)

    options.folder = str(model_folder(options.folder, "qwen3-0.6b"))
    summary = {base: measure(options, base) for base in BASES
               if options.only in (None, base)}
    summary["bounds_gb"] = BOUNDS_GB
    summary["sequence"], summary["precision"] = options.sequence, options.precision
    target = pathlib.Path("build/bench/lora_memory.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(summary, indent=2))

    passed = True
    for base in BASES:
        if base not in summary:
            continue
        row, bound = summary[base], BOUNDS_GB.get(base)
        ok = bound is None or row["peak_rss_gb"] <= bound
        passed = passed and ok
        print(f"  {base:5} peak {row['peak_rss_gb']:5.2f} GB (plan {row['planned_gb']:5.2f})  "
              f"{row['step_ms'] / 1e3:6.2f} s a step  {row['tokens_per_second']:6.1f} tokens/s  "
              + ("" if bound is None else f"<= {bound} GB {'ok' if ok else 'FAILED'}"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
