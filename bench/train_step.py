"""Whole training steps against PyTorch, side by side and interleaved in one run.

    make bench-step            Stories110M, sequence 256, batch 1, f32, AdamW
    python3 bench/train_step.py LIBRARY [--model stories15M] [--sequence 256] [--rounds 5]

Prints the median and the spread of each, their ratio, the agreement of the losses and the peak
memory against the plan, and writes build/bench/train_step.json.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "parity"))

SHAPES = {
    "stories15M": dict(vocab_size=32000, hidden_size=288, intermediate_size=768, layer_count=6,
                       head_count=6, context_length=1024, tie_embeddings=True),
    "stories110M": dict(vocab_size=32000, hidden_size=768, intermediate_size=2048,
                        layer_count=12, head_count=12, context_length=1024, tie_embeddings=True),
}
ADAMW = dict(learning_rate=3e-4, weight_decay=0.1, betas=(0.9, 0.95), epsilon=1e-8)
THREADS = os.cpu_count()


def peak_memory(arguments):
    """Peak resident bytes of a process that makes three steps with the library alone."""
    command = [sys.executable, __file__, *arguments, "--memory"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def make_library(options, c):
    from library import Library, ModelConfig, SessionOptions
    return Library(options.library, ModelConfig(**c), SessionOptions(
        batch_size=1, sequence_length=options.sequence,
        learning_rate=ADAMW["learning_rate"], weight_decay=ADAMW["weight_decay"],
        beta1=ADAMW["betas"][0], beta2=ADAMW["betas"][1], epsilon=ADAMW["epsilon"]),
        threads=THREADS)


def random_batch(c, sequence, seed):
    import numpy
    ids = numpy.random.default_rng(seed).integers(0, c["vocab_size"], (1, sequence + 1))
    return ids[:, :-1], ids[:, 1:]


def measure_memory(options):
    def resident_bytes(field):
        for line in open("/proc/self/status"):
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {field}")

    import numpy  # counted as the baseline, not as ours
    c = SHAPES[options.model]
    before = resident_bytes("VmRSS:")
    library = make_library(options, c)
    for step in range(3):
        library.step(*random_batch(c, options.sequence, step))
    plan = library.memory_plan()
    weights = sum(p.element_count for p in library.parameters)
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
                      "planned_activations": plan.activations + plan.workspace,
                      "planned_total": plan.total, "weights": weights}))


def measure_speed(options):
    import torch
    import reference_model as reference
    torch.set_num_threads(THREADS)
    fields = SHAPES[options.model]
    c = reference.Config(**fields)
    p = reference.random_parameters(c, seed=1, dtype=torch.float32)
    optimizer = reference.adamw(p, **ADAMW)
    ours = make_library(options, fields)
    for key, view in ours.weights().items():
        view[...] = p[key].detach().numpy()
    ours.weights_changed()

    times = {"ours": [], "pytorch": []}
    worst = 0.0
    for step in range(options.rounds + 1):
        tokens, targets = random_batch(fields, options.sequence, step)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = reference.loss(c, p, torch.as_tensor(tokens), torch.as_tensor(targets))
        loss.backward()
        optimizer.step()
        middle = time.perf_counter()
        result = ours.step(tokens, targets)
        end = time.perf_counter()
        worst = max(worst, abs(result.loss - loss.item()) / loss.item())
        if step == 0:  # warm-up of both
            continue
        times["pytorch"].append(middle - start)
        times["ours"].append(end - middle)
    phases = {name: getattr(result, f"{name}_seconds")
              for name in ("forward", "loss", "backward", "optimizer", "staging")}
    return times, worst, phases, torch.__version__


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--model", choices=SHAPES, default="stories110M")
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        return measure_memory(options)

    memory = peak_memory(sys.argv[1:])
    times, worst, phases, torch_version = measure_speed(options)
    medians = {name: statistics.median(values) for name, values in times.items()}
    budget = 16 * memory["weights"] + memory["planned_activations"]
    summary = {
        "model": options.model, "sequence": options.sequence, "threads": THREADS,
        "torch": torch_version, "seconds": times, "median_seconds": medians,
        "ratio": medians["pytorch"] / medians["ours"], "worst_relative_loss": worst,
        "phase_seconds": phases, "memory": memory,
        "memory_share": memory["peak"] / budget,
    }
    folder = pathlib.Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_step.json").write_text(json.dumps(summary, indent=2))
    print(f"{options.model}, sequence {options.sequence}, batch 1, f32, AdamW, {THREADS} threads")
    for name, values in times.items():
        print(f"  {name:8} {medians[name] * 1e3:8.0f} ms  "
              f"({min(values) * 1e3:.0f} to {max(values) * 1e3:.0f})")
    print(f"  ratio    {summary['ratio']:8.2f} x faster than PyTorch {torch_version}")
    print("  phases   " + ", ".join(f"{k} {v * 1e3:.0f} ms" for k, v in phases.items()))
    print(f"  losses agree to {worst:.1e} over {options.rounds + 1} steps")
    print(f"  peak memory {memory['peak'] / 1e9:.2f} GB, {summary['memory_share']:.2f} of "
          f"16 bytes a parameter + planned activations ({budget / 1e9:.2f} GB)")


if __name__ == "__main__":
    main()
