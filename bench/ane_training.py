"""Training on the Neural Engine against training on the CPU in f16: same seed, same data.

    make bench-ane             the demo's model, 100 steps, on the emulated framework
    python3 bench/ane_training.py LIBRARY FRAMEWORK [--steps 100] [--batch 4] [--sequence 256]

On the emulator this measures what is computed where, not how fast; on a Mac an empty FRAMEWORK
means Apple's. Prints a table, writes build/bench/ane_training.json, and fails when a bound is
passed: losses that differ by more than 1 %, less than 95 % of the FLOPs on the engine, more than
20 programs, or a number of programs or evaluations that grows with the layers.

The learning rate is the library's default. At the demo's own, 2e-3, training is chaotic: on the CPU
alone, one weight that differs by a thousandth moves the loss by 3 % within 80 steps. What is compared
would no longer be the device.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "parity"))

from library import PLACEMENT, PRECISION, AneOptions, Library, ModelConfig, SessionOptions

BOUNDS = {"loss_difference": 0.01, "engine_share": 0.95, "programs": 20,
          "evaluations_per_layer": 6}


DEMO_STEPS = 400  # examples/demo/demo.sh
LEARNING_RATE = 3e-4
SCHEDULE = {"constant": 0, "linear": 1, "cosine": 2, "wsd": 3}


def open_library(options, device, layers=None):
    """The demo's model and session, as examples/demo/config.json has them."""
    config = json.loads((ROOT / "examples" / "demo" / "config.json").read_text())
    # One token a byte, and the byte tokenizer's two others.
    model = dict({key: int(value) for key, value in config["model"].items()}, vocab_size=258)
    if layers:
        model["layer_count"] = layers
    session = dict(config["session"], batch_size=options.batch, total_steps=DEMO_STEPS,
                   sequence_length=options.sequence, precision=PRECISION["f16"],
                   learning_rate=LEARNING_RATE, min_learning_rate=LEARNING_RATE / 10)
    session["schedule"] = SCHEDULE[session["schedule"]]
    ane = None
    if device == "ane":
        engine = PLACEMENT["engine"]
        ane = AneOptions(framework_path=options.framework.encode() or None, forward=engine,
                         loss=engine, input_gradients=engine, weight_gradients=engine)
    return Library(options.library, ModelConfig(**model), SessionOptions(**session), ane=ane)


def windows(options):
    """The same batches for everyone: windows of the demo's text in a fixed order."""
    import numpy
    corpus = pathlib.Path(options.library).parent / "examples" / "demo" / "corpus"
    text = subprocess.run([corpus, "200000"], check=True, capture_output=True).stdout
    ids = numpy.frombuffer(text, dtype=numpy.uint8).astype(numpy.int32)
    starts = numpy.random.default_rng(1).integers(
        0, len(ids) - options.sequence - 1, (options.steps, options.batch))
    for row in starts:
        yield (numpy.stack([ids[s:s + options.sequence] for s in row]),
               numpy.stack([ids[s + 1:s + options.sequence + 1] for s in row]))


def train(library, options):
    return [library.step(tokens, targets) for tokens, targets in windows(options)]


def count_programs(options):
    """Programs compiled for a session, and evaluations a layer, by the number of layers. Each in a
    process of its own: the framework would remember the programs of the other."""
    counts = {}
    for layers in (4, 28):
        command = [sys.executable, __file__, *sys.argv[1:], "--count", str(layers)]
        counts[layers] = json.loads(
            subprocess.run(command, check=True, capture_output=True).stdout)
    return counts


def count(options):
    options.steps = 2
    library = open_library(options, "ane", layers=options.count)
    train(library, options)
    report = library.device_report()
    layer_evaluations = sum(kernel.engine_evaluations for kernel in library.kernels()
                            if kernel.label.startswith(b"block"))
    print(json.dumps({"programs": report["slots"]["programs"],
                      "evaluations_per_layer": layer_evaluations / options.count / options.steps}))


def largest_difference(seen, expected):
    return max(abs(a.loss - b.loss) / b.loss for a, b in zip(seen, expected))


def summarize(options):
    engine = open_library(options, "ane")
    runs = {"engine": train(engine, options),
            "cpu_f16": train(open_library(options, "cpu"), options)}
    seen, expected = runs["engine"], runs["cpu_f16"]
    flops = sum(step.engine_flops for step in seen)
    counts = count_programs(options)
    return {
        "engine": engine.device_report()["description"],
        "steps": options.steps, "batch": options.batch, "sequence": options.sequence,
        "loss": {name: [step.loss for step in steps] for name, steps in runs.items()},
        "loss_difference": largest_difference(seen, expected),
        "skipped": {name: sum(step.skipped for step in steps) for name, steps in runs.items()},
        "engine_share": flops / (flops + sum(step.host_flops for step in seen)),
        "retries": sum(step.retries for step in seen),
        "fallbacks": sum(step.fallbacks for step in seen),
        "evaluations_per_step": seen[-1].engine_evaluations,
        "layers": counts,
        "seconds_per_step": {name: sorted(step.seconds for step in steps)[len(steps) // 2]
                             for name, steps in runs.items()},
        "kernels": [{"label": kernel.label.decode(), "where": kernel.where.decode(),
                     "reason": kernel.reason.decode(), "runs": kernel.runs,
                     "evaluations": kernel.engine_evaluations,
                     "engine_flops": kernel.engine_flops, "host_flops": kernel.host_flops}
                    for kernel in engine.kernels()],
    }


def passed(summary):
    """Name, value, bound and verdict of each check."""
    few, many = summary["layers"].values()
    evaluations = max(few["evaluations_per_layer"], many["evaluations_per_layer"])
    yield ("largest loss difference", f"{summary['loss_difference']:.3%}", "<= 1 %",
           summary["loss_difference"] <= BOUNDS["loss_difference"])
    yield ("FLOPs on the engine", f"{summary['engine_share']:.1%}", ">= 95 %",
           summary["engine_share"] >= BOUNDS["engine_share"])
    yield ("programs, 4 and 28 layers", f"{few['programs']} and {many['programs']}",
           "equal, <= 20",
           few["programs"] == many["programs"] and many["programs"] <= BOUNDS["programs"])
    yield ("evaluations a layer", f"{evaluations:g}", "<= 6",
           evaluations <= BOUNDS["evaluations_per_layer"])
    yield ("fallbacks", str(summary["fallbacks"]), "0", summary["fallbacks"] == 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("framework")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        return count(options)

    summary = summarize(options)
    checks = list(passed(summary))
    summary["passed"] = all(ok for *_, ok in checks)
    folder = pathlib.Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ane_training.json").write_text(json.dumps(summary, indent=2))

    print(f"{summary['engine']}\n{options.steps} steps of {options.batch} x {options.sequence} "
          "tokens, f16, against the CPU")
    for name, value, bound, ok in checks:
        print(f"  {name:28} {value:>12}  {bound:14} {'ok' if ok else 'FAILED'}")
    for name, losses in summary["loss"].items():
        print(f"  loss on {name:8} {losses[0]:.4f} -> {losses[-1]:.4f}, "
              f"{summary['seconds_per_step'][name] * 1e3:.0f} ms a step, "
              f"{summary['skipped'][name]} skipped")
    return 0 if summary["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
