"""Whole training steps: the library and every PyTorch that is here, interleaved, against the
limits."""

import dataclasses
import pathlib
import sys

import counts
import workloads
from spread import spread
from turns import Missing, Runner, take_turns

HERE = pathlib.Path(__file__).parent
OURS = "libane_train"

# Largest relative differences to PyTorch, of the loss and of the gradient's norm, in the first
# steps. PyTorch adds up the squares of a norm in fp32, which alone makes 2e-4. In bf16 both round,
# and not in the same places.
TOLERANCE = {"f32": {"loss": 1e-4, "norm": 2e-3}, "bf16": {"loss": 2e-3, "norm": 5e-2}}
COMPARED_STEPS = 2 * workloads.BATCHES


def available_memory():
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def process_memory(workload, name):
    """About what a process takes: weights with what trains them, and a multiple of what the backward
    pass needs at least; PyTorch also has the logits three times, and without a fused attention the
    scores."""
    shape, tokens = workload.shape, workload.tokens
    blocks = shape.layer_count * counts.layer_weights(shape)
    weights = (4 if workload.rank else 16) * (blocks + shape.vocab_size * shape.hidden_size)
    in_f32 = dataclasses.replace(workload, precision="f32")
    kept = counts.moved_bytes(in_f32)["forward"] - 4 * blocks
    if name == OURS:
        return weights + 1.5 * kept
    scores = 12 * shape.layer_count * shape.head_count * tokens * workload.sequence
    return weights + 3 * kept + 12 * tokens * shape.vocab_size + scores


def start_ours(library, name, settings):
    return Runner(name, [sys.executable, str(HERE / "ours.py"), library], settings)


def start(workload, settings, library, pytorches):
    """Runners that are ready, and by name why others are not."""
    runners, missing = [], {}
    free, needed = available_memory(), 0
    for name in (OURS, *pytorches):
        needed += process_memory(workload, name)
        if free is not None and needed > free:
            missing[name] = (f"processes side by side would need about {needed / 1e9:.0f} GB, "
                             f"{free / 1e9:.0f} are free")
            needed -= process_memory(workload, name)
            continue
        try:
            if name == OURS:
                runners.append(start_ours(library, name, settings))
            else:
                command = [pytorches[name], str(HERE / "pytorch.py")]
                runners.append(Runner(name, command, settings))
        except Missing as reason:
            missing[name] = str(reason)
    return runners, missing


def parity(workload, ours, other):
    """The largest relative differences of the first steps."""
    pairs = list(zip(ours.records, other.records))[:COMPARED_STEPS]
    worst = {key: max(abs(a[key] - b[key]) / abs(b[key]) for a, b in pairs)
             for key in ("loss", "norm")}
    tolerance = TOLERANCE[workload.precision]
    return {"steps": len(pairs), **worst, "tolerance": tolerance,
            "ok": all(worst[key] <= tolerance[key] for key in tolerance)}


def median_phases(records):
    return {phase: spread([record["phases"][phase] for record in records])["median"]
            for phase in counts.PHASES}


def against_limits(result, limits, workload):
    """Adds the roofline's seconds and our share of it, by phase and in all."""
    bound = counts.roofline(workload, limits["peak"], limits["bandwidth"])
    result["limits"], result["roofline"] = limits, bound
    result["flops"], result["bytes"] = counts.flops(workload), counts.moved_bytes(workload)
    if OURS in result["seconds"]:
        result["share"] = {phase: bound[phase] / seconds
                           for phase, seconds in result["phases"].items() if bound[phase] > 0}
        result["share"]["step"] = sum(bound.values()) / result["seconds"][OURS]["median"]


def compare(workload, runners, rounds, budget):
    """What the turns of runners showed."""
    turns = take_turns(runners, rounds, budget)
    result = {"seconds": {name: spread([record["seconds"] for record in records])
                          for name, records in turns.records.items()},
              "disturbance": turns.disturbance,
              "optimizer": {runner.name: runner.greeting["optimizer"] for runner in runners
                            if "optimizer" in runner.greeting}}
    if OURS in turns.records:
        ours, *others = runners
        mine = result["seconds"][OURS]["median"]
        result["phases"] = median_phases(turns.records[OURS])
        result["parity"] = {other.name: parity(workload, ours, other) for other in others}
        result["ratio"] = {other.name: result["seconds"][other.name]["median"] / mine
                           for other in others}
    return result


def measure(workload, machine, library, pytorches, folder, rounds, budget, limit):
    """One workload. `limit`: seconds that one step may take."""
    result = {"name": workload.name, **dataclasses.asdict(workload), "seconds": {}, "ratio": {}}
    limits = machine.of_workload(workload)
    settings = {"workload": dataclasses.asdict(workload), "threads": machine.threads,
                "folder": str(workloads.model_folder(folder, workload.model)), "limit": limit}
    runners, result["missing"] = start(workload, settings, library, pytorches)
    try:
        if runners:
            result |= compare(workload, runners, rounds, budget)
    except Missing as reason:  # one has ended: what it was compared with is of no use
        result["missing"] |= {runner.name: f"a process ended: {reason}" for runner in runners}
    finally:
        for runner in runners:
            runner.stop()
    against_limits(result, limits, workload)
    return result
