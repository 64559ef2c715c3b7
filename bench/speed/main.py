"""Speed against PyTorch and against the machine: a table, build/bench/summary.json and report.html.

    make bench                   everything, some 35 minutes, with two PyTorch versions
    make bench ARGS=--quick      about 2 minutes
    make bench ARGS='--parts steps --models stories110M --sequences 256 --precisions f32'

What is measured and how to read it: docs/speed.md. A bound of speed that is missed is reported
and is no failure; losses that differ from PyTorch's are one.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time

import accuracy
import generation
import limits
import memory
import report
import scaling
import startup
import steps
import text
from turns import Missing, output_of
from workloads import SHAPES, WORKLOADS, Workload, model_folder

PARTS = ("limits", "steps", "generation", "scaling", "memory", "startup", "accuracy")

QUICK_PARTS = ("steps", "generation", "scaling", "memory", "startup")


def find_pytorches(interpreters):
    """Name, interpreter and description of each PyTorch; one of each version."""
    found, described = {}, {}
    for python in interpreters:
        try:
            seen = output_of([python, steps.HERE / "pytorch.py", "--version"])
        except Missing:
            continue
        name = f"PyTorch {seen['version']}"
        found.setdefault(name, python)
        described.setdefault(name, seen)
    return found, described


def selected(options):
    for workload in WORKLOADS:
        if (workload.model in options.models and workload.sequence in options.sequences
                and workload.precision in options.precisions):
            yield workload


def measure_steps(options, machine, pytorches):
    results = []
    for workload in selected(options):
        progress(options, f"step of {workload.name}")
        results.append(steps.measure(workload, machine, options.library, pytorches,
                                     options.folder, options.rounds, options.budget,
                                     options.limit))
        print("".join(f"        {name} {text.milliseconds(seen['median'])} ms"
                      for name, seen in results[-1]["seconds"].items()), flush=True)
    return results


def measure_limits(options, machine, _):
    return machine.all_limits(Workload("stories110M", 0, 256, "f32"))


def measure_generation(options, machine, _):
    names = ["stories110M"] if options.quick else ["stories15M", "stories110M", "qwen3-0.6b"]
    results = []
    for name in names:
        progress(options, f"generation with {name}")
        results.append(generation.measure(options.library, machine, name,
                                          model_folder(options.folder, name),
                                          3 if options.quick else 15))
    return results


def starter(options):
    """Makes processes of the library over random weights."""
    def start(workload, name="", threads=options.threads, parts=1):
        return steps.start_ours(options.library, name or workload.name, {
            "workload": dataclasses.asdict(workload), "threads": threads, "parts": parts})

    return start


def measure_scaling(options, *_):
    return scaling.measure(starter(options), options.threads, options.quick)


def measure_memory(options, *_):
    chosen = [Workload("stories110M", 0, 256, "f32")]
    if not options.quick:
        chosen += [Workload("stories110M", 0, 256, "bf16"), Workload("stories110M", 0, 1024, "f32"),
                   Workload("qwen3-0.6b", 8, 256, "f32"), Workload("qwen3-0.6b", 8, 256, "bf16")]
    return memory.measure(starter(options), chosen)


def measure_startup(options, machine, _):
    names = ["stories110M"] if options.quick else list(SHAPES)
    return startup.measure(options.library, machine, options.folder, names,
                           1 if options.quick else 3)


def measure_accuracy(options, *_):
    return accuracy.measure(options.library, options.corpus)


MEASURES = {"limits": measure_limits, "steps": measure_steps, "generation": measure_generation, 
            "scaling": measure_scaling, "memory": measure_memory, "startup": measure_startup,
            "accuracy": measure_accuracy}


def predicted(file):
    """Milliseconds on M4 by workload and option, where `make bench-ane-plan` has left them."""
    if not file.exists():
        return {}
    plan = json.loads(file.read_text())
    steps = {workload: chips["M4"]["ms"] for workload, chips in plan["predictions"].items()
             if "M4" in chips}
    for workload, study in plan["studies_m4"].items():
        steps |= {f"{workload}, {option}": ms for option, ms in study["options_ms"].items()}
    return steps


def progress(options, what):
    elapsed = time.perf_counter() - options.start
    print(f"[{elapsed // 60:3.0f}:{elapsed % 60:02.0f}] {what}", flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("machine", help="the program machine.cpp")
    parser.add_argument("corpus", help="the demo's generator of text")
    parser.add_argument("folder", type=pathlib.Path, help="of results and of random models")
    parser.add_argument("--pytorch", action="append", default=[], metavar="PYTHON",
                        help="an interpreter that may have PyTorch")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS)
    parser.add_argument("--models", nargs="+", choices=SHAPES)
    parser.add_argument("--sequences", nargs="+", type=int, choices=(256, 1024))
    parser.add_argument("--precisions", nargs="+", choices=("f32", "bf16"),
                        default=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, help="of turns in a comparison")
    parser.add_argument("--budget", type=float, help="seconds after which rounds end, but for two")
    parser.add_argument("--limit", type=float, help="longest step of a PyTorch that is measured, s")
    options = parser.parse_args(arguments)
    quick = options.quick
    options.parts = options.parts or (QUICK_PARTS if quick else PARTS)
    options.models = options.models or (("stories15M", "stories110M") if quick else tuple(SHAPES))
    options.sequences = options.sequences or ((256,) if quick else (256, 1024))
    options.rounds = options.rounds or (3 if quick else 9)
    options.budget = options.budget or (10 if quick else 45)
    options.limit = options.limit or (5 if quick else 30)
    options.start = time.perf_counter()
    return options


def main():
    options = parse(sys.argv[1:])
    options.folder.mkdir(parents=True, exist_ok=True)
    machine = limits.Machine(options.machine, options.threads)
    pytorches, described = find_pytorches(options.pytorch)
    summary = {"machine": limits.describe(options.threads), "pytorch": described,
               "quick": options.quick, "date": time.strftime("%Y-%m-%d"),
               "ane_plan": predicted(options.folder / "ane_plan.json")}
    print(f"{summary['machine']['model']}, {options.threads} threads, "
          f"{' '.join(summary['machine']['extensions'])}")
    for name, seen in described.items():
        print(f"{name}: BLAS {seen['blas']}"
              + ("" if seen["fused_attention"] else ", no fused attention"))
    if not pytorches:
        print("no PyTorch is here: make deps-test installs Debian's, TORCH_PYTHON names another")
    failed = []
    for part in PARTS:
        if part not in options.parts:
            continue
        progress(options, part)
        try:
            summary[part] = MEASURES[part](options, machine, pytorches)
        except Missing as reason:
            failed.append(part)
            progress(options, f"{part} failed: {reason}")
            continue
        tables, notes = text.part(part, summary[part], list(pytorches))
        for table in tables:
            print("\n".join(["", *table.text()]))
        print("\n".join(["", *("  " + note for note in notes)]), flush=True)
        # What is done is kept, also when a later part is interrupted.
        (options.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        (options.folder / "report.html").write_text(report.page(summary))
    print("\n".join(text.checklist_lines(summary)))
    progress(options, f"written: summary.json and report.html in {options.folder}")
    return bool(failed) or not all(seen["ok"] for row in summary.get("steps", ())
                                   for seen in row.get("parity", {}).values())


if __name__ == "__main__":
    sys.exit(main())
