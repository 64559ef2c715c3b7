"""The predicted time of a training step on Apple's chips, by phase.

    make bench-ane-plan                    every chip and shape (the emulator takes some 15 minutes)
    make bench-ane-plan ARGS=--quick       Stories110M on the programs for M4 alone
    python3 bench/ane_plan/main.py LIBRARY FRAMEWORK FOLDER [--quick] [--keep]

Prints tables and writes FOLDER/ane_plan.json. Nothing is measured on a Mac: evaluations, FLOPs and
bytes are counted on the emulated engine (record.py), what chips do with them comes from published
numbers (chips.py, fit.py), and the model is tried on steps that others have published (peer_steps.py).
`--keep` records only what an earlier run has not.
"""

import argparse
import json
import pathlib

import chips
import fit
import ours
import peer_steps
import record
import tables
import variants

# Milliseconds on M4 that the project aims at.
BOUNDS = {"stories110m full": 52, "stories110m lora": 30, "qwen3-0.6b full": 250,
          "qwen3-0.6b lora": 120}


def wanted(quick):
    """(workload, profile) of every record; `quick`: Stories110M on the programs for M4."""
    for profile in dict.fromkeys(record.PROFILES.values()):
        alternatives = record.ALTERNATIVES if profile == "m4" else {}
        for workload in (*record.WORKLOADS, *alternatives):
            if not quick or (profile == "m4" and workload.startswith("stories110m")):
                yield workload, profile


def logs(options):
    """Records by (workload, profile). Each is kept as soon as it is made."""
    folder = pathlib.Path(options.folder) / "ane_plan"
    result = {}
    for workload, profile in wanted(options.quick):
        file = folder / f"{profile} {workload}.json"
        if not (options.keep and file.exists()):
            print(f"recording {workload}, programs for {profile}", flush=True)
            log = record.record(options.library, options.framework, folder, workload, profile)
            file.write_text(json.dumps(log))
        result[workload, profile] = json.loads(file.read_text())
    return result


def prediction(plan, chip):
    seconds = plan.seconds(chip)
    return {"ms": sum(seconds.values()) * 1e3,
            "best_ms": plan.total(chip.end("good")) * 1e3,
            "worst_ms": plan.total(chip.end("bad")) * 1e3,
            "floor_ms": ours.floor(plan, chip) * 1e3,
            "phases_ms": {phase: s * 1e3 for phase, s in seconds.items()}}


def summarize(records):
    plans = {key: ours.plan_of(log) for key, log in records.items()}
    predictions = {}
    for chip in chips.PREDICTED:
        for workload in record.WORKLOADS:
            plan = plans.get((workload, record.PROFILES[chip.name]))
            if plan:
                predictions.setdefault(workload, {})[chip.name] = prediction(plan, chip)
    studies = {}
    for workload in record.WORKLOADS:
        plan = plans.get((workload, "m4"))
        if not plan:
            continue
        steps, best = variants.combined(plan, chips.M4)
        alternatives = {other: plans[other, "m4"].total(chips.M4) * 1e3
                        for other in record.ALTERNATIVES
                        if (other, "m4") in plans and other.startswith(workload)}
        studies[workload] = {
            "bound_ms": BOUNDS[workload], "evaluations": plan.evaluations(),
            "engine_gflop": plan.flops() / 1e9, "engine_megabytes": plan.outer() / 1e6,
            "constants_ms": {name: [plan.total(chips.M4.end(which, name)) * 1e3
                                    for which in ("good", "bad")]
                             for name in chips.M4.constants()},
            "saved_ms": variants.sensitivity(plan, chips.M4),
            "options_ms": {name: variants.CHANGES[name](plan).total(chips.M4) * 1e3
                           for name in variants.OPTIONS},
            "alternatives_ms": alternatives,
            "proposed_ms": [{"change": name, "ms": ms} for name, ms in steps],
            "proposed_phases_ms": prediction(best, chips.M4)["phases_ms"],
            "time_by_op_ms": variants.time_by_op(plan, chips.M4)}
    return {"constants": {chip.name: tables.constants(chip) for chip in chips.EVERY},
            "fits": fit.report(), "peers": peer_steps.results(), "predictions": predictions,
            "studies_m4": studies}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("framework")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    summary = summarize(logs(options))
    (pathlib.Path(options.folder) / "ane_plan.json").write_text(json.dumps(summary, indent=1))
    print(tables.text(summary))


if __name__ == "__main__":
    main()
