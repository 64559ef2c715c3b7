"""How the cost of a step grows with the sequence, the batch, the width, the depth and the threads.
The processes of one comparison take turns."""

import dataclasses

import counts
from spread import spread
from turns import take_turns
from workloads import Shape, Workload

PASSES = ("forward", "loss", "backward")
LENGTHS = (256, 512, 1024)
BASE = Workload("stories15M", 0, 256, "f32")


def compare(runners, rounds):
    """Medians by runner's name; the runners end."""
    turns = take_turns(runners, rounds, float("inf"), turn_seconds=0.5)
    result = {}
    for runner in runners:
        records = turns.records[runner.name]
        phases = {phase: spread([record["phases"][phase] for record in records])["median"]
                  for phase in counts.PHASES}
        passes = [sum(record["phases"][phase] for phase in PASSES) for record in records]
        result[runner.name] = {"step": spread([record["seconds"] for record in records]),
                               "phases": phases, "passes": spread(passes)["median"],
                               "programs": runner.report()["programs"]}
        runner.stop()
    return result


def by_sequence(start, model, rounds):
    """Time per token, whole and with attention confined to the first length: rows cut into
    sequences of that many tokens do all the other work, and the attention of the shortest."""
    runners = []
    for length in LENGTHS:
        workload = Workload(model, 0, length, "f32")
        runners.append(start(workload, name=f"whole {length}"))
        if length > LENGTHS[0]:
            runners.append(start(workload, name=f"confined {length}", parts=length // LENGTHS[0]))
    seen = compare(runners, rounds)
    rows = []
    for length in LENGTHS:
        row = {"sequence": length}
        for name in ("whole", "confined"):
            entry = seen.get(f"{name} {length}") or seen[f"whole {length}"]
            row[name] = {"step_per_token": entry["step"]["median"] / length,
                         "passes_per_token": entry["passes"] / length}
        rows.append(row)
    growth = {f"{name}_{what}": rows[-1][name][f"{what}_per_token"]
              / rows[0][name][f"{what}_per_token"]
              for name in ("whole", "confined") for what in ("step", "passes")}
    return {"model": model, "precision": "f32", "rows": rows, "growth": growth}


def along(start, rounds, values, make):
    """Step times and FLOP/s for each value, of which `make` makes a workload."""
    workloads = {str(value): make(value) for value in values}
    seen = compare([start(workload, name=name) for name, workload in workloads.items()], rounds)
    rows = []
    for value, (name, workload) in zip(values, workloads.items()):
        work = sum(counts.flops(workload).values())
        rows.append({"value": value, "seconds": seen[name]["step"]["median"],
                     "passes": seen[name]["passes"],
                     "flops_per_second": work / seen[name]["passes"]})
    return rows


def of_size(width, layers=4):
    """A small vocabulary, and sizes that follow the width."""
    shape = Shape(4096, width, width * 8 // 3 // 32 * 32, layers, width // 64, width // 64, 64)
    return dataclasses.replace(BASE, model=f"{layers} layers of {width}", custom=shape)


def by_threads(start, model, threads, rounds):
    workload = Workload(model, 0, 256, "f32")
    each = {str(count): count for count in sorted({1, threads})}
    seen = compare([start(workload, name=name, threads=count) for name, count in each.items()],
                   rounds)
    return {"model": model,
            "rows": [{"threads": count, **seen[name]} for name, count in each.items()]}


def measure(start, threads, quick):
    """`start(workload, name, threads, parts)` makes a process of the library."""
    model, rounds = ("stories15M", 2) if quick else ("stories110M", 4)
    result = {"sequence": by_sequence(start, model, rounds),
              "threads": by_threads(start, model, threads, rounds)}
    if not quick:
        result["batch"] = along(start, rounds, (1, 2, 4, 8),
                                lambda batch: dataclasses.replace(BASE, batch=batch))
        result["width"] = along(start, rounds, (128, 256, 512, 1024), of_size)
        result["depth"] = along(start, rounds, (2, 4, 8, 16), lambda depth: of_size(512, depth))
    return result
