"""How the cost of a step grows with the sequence, the batch, the width, the depth and the threads."""

import dataclasses

import case
import counts
from spread import spread
from workloads import SHAPES, Shape

BASE = SHAPES["stories15M"]
PASSES = ("forward", "loss", "backward")


def seconds(library, machine, shape, steps, threads=None, **fields):
    """Medians of a case without its first step, which finds cold caches."""
    fields = dict(dict(rank=0, batch=1, sequence=256, precision="f32"), **fields)
    seen = case.measure(library, shape=shape.fields(), steps=steps + 1,
                        threads=threads or machine.threads, **fields)
    records = seen["records"][1:]
    phases = {phase: spread([record["phases"][phase] for record in records])["median"]
              for phase in counts.PHASES}
    return {"step": spread([record["seconds"] for record in records]), "phases": phases,
            "passes": sum(phases[phase] for phase in PASSES), "programs": seen["programs"]}


def by_sequence(library, machine, shape, steps, precision, lengths=(256, 512, 1024)):
    """Time per token, whole and with attention confined to the first length: rows cut into
    sequences of that many tokens do all the other work, and the attention of the shortest."""
    rows = []
    for length in lengths:
        row = {"sequence": length}
        for name, parts in (("whole", 1), ("confined", length // lengths[0])):
            if name == "confined" and parts == 1:
                row[name] = row["whole"]
                continue
            seen = seconds(library, machine, shape, steps, sequence=length, parts=parts,
                           precision=precision)
            row[name] = {"step_per_token": seen["step"]["median"] / length,
                         "passes_per_token": seen["passes"] / length}
        rows.append(row)
    first, last = rows[0], rows[-1]
    growth = {f"{name}_{what}": last[name][f"{what}_per_token"] / first[name][f"{what}_per_token"]
              for name in ("whole", "confined") for what in ("step", "passes")}
    return {"rows": rows, "growth": growth, "precision": precision}


def along(library, machine, steps, values, make):
    """Step times and FLOP/s for each value; `make(value)` is a shape and a batch."""
    rows = []
    for value in values:
        shape, batch = make(value)
        seen = seconds(library, machine, shape, steps, batch=batch)
        work = sum(flops_of(shape, batch).values())
        rows.append({"value": value, "seconds": seen["step"]["median"],
                     "passes": seen["passes"], "flops_per_second": work / seen["passes"]})
    return rows


def flops_of(shape, batch, sequence=256):
    return counts.flops(SizedWorkload(shape, batch, sequence))


@dataclasses.dataclass(frozen=True)
class SizedWorkload:
    """A workload of a shape that has no name."""
    shape: Shape
    batch: int
    sequence: int
    rank: int = 0
    precision: str = "f32"

    @property
    def tokens(self):
        return self.batch * self.sequence


def of_width(width):
    """A shape of four layers whose other sizes follow the width."""
    return Shape(4096, width, width * 8 // 3 // 32 * 32, 4, width // 64, width // 64, 64)


def by_threads(library, machine, shape, steps, precision):
    return [{"threads": threads,
             **seconds(library, machine, shape, steps, threads, precision=precision)}
            for threads in sorted({1, machine.threads})]


def measure(library, machine, quick, precision):
    steps = 2 if quick else 4
    result = {"sequence": by_sequence(library, machine, BASE if quick else SHAPES["stories110M"],
                                      2 if quick else 3, precision)}
    result["sequence"]["model"] = "stories15M" if quick else "stories110M"
    if not quick:
        result["batch"] = along(library, machine, steps, (1, 2, 4, 8), lambda n: (BASE, n))
        result["width"] = along(library, machine, steps, (128, 256, 512, 1024),
                                lambda width: (of_width(width), 1))
        result["depth"] = along(
            library, machine, steps, (2, 4, 8, 16),
            lambda layers: (dataclasses.replace(of_width(512), layer_count=layers), 1))
    threads_model = "stories15M" if quick else "stories110M"
    result["threads"] = {"model": threads_model,
                         "rows": by_threads(library, machine, SHAPES[threads_model], steps, "f32")}
    return result
