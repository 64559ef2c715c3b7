"""What has to be shown, with the figure of this run: met, missed, not measurable here and why, or
not part of this run."""

import dataclasses

from steps import OURS

MET, MISSED, UNKNOWN, NOT_RUN = "met", "missed", "not measurable here", "not run"

# Milliseconds; bench/ane_plan predicts them.
ENGINE_BOUNDS = {"stories110m full": 52, "stories110m full, optimizer state in bf16": 52,
                 "stories110m lora": 30, "qwen3-0.6b full": 250,
                 "qwen3-0.6b full, optimizer state in bf16": 250, "qwen3-0.6b lora": 120}


@dataclasses.dataclass(frozen=True)
class Line:
    what: str
    bound: str
    figure: str
    verdict: str
    why: str = ""


def judged(what, bound, value, holds, show):
    return Line(what, bound, show(value), MET if holds(value) else MISSED)


def unknown(what, bound, why, figure=""):
    return Line(what, bound, figure, UNKNOWN, why)


def not_run(what, bound):
    return Line(what, bound, "", NOT_RUN)


def at_least(limit):
    return lambda value: value >= limit


def at_most(limit):
    return lambda value: value <= limit


def times(value):
    return f"{value:.2f} x"


def percent(value):
    return f"{value:.0%}"


def find(summary, model, sequence, precision):
    for row in summary.get("steps", ()):
        if (row["model"], row["sequence"], row["precision"]) == (model, sequence, precision):
            return row
    return None


def judged_step(row, what, bound, value, holds, show):
    """Bounds in bf16 are for a processor that multiplies it: elsewhere PyTorch is slower in bf16
    than in f32, and a ratio to that says nothing."""
    if row["limits"]["product_precision"] != row["precision"]:
        return unknown(what, bound, f"this processor has no products in {row['precision']}",
                       show(value))
    return judged(what, bound, value, holds, show)


def judged_ratio(row, what, bound, name, limit):
    """A miss tells what the machine's limit would be."""
    line = judged_step(row, what, bound, row["ratio"][name], at_least(limit), times)
    best = row["seconds"][name]["median"] / sum(row["roofline"].values())
    if line.verdict != MISSED or best >= limit:
        return line
    return dataclasses.replace(line, why=f"the roofline itself is {times(best)}")


def ratio_lines(summary, model, precision, limit):
    """One line for each PyTorch."""
    row = find(summary, model, 256, precision)
    head, bound = f"{model} {precision}, whole step, against ", f">= {limit} x"
    for name in summary["pytorch"] or ["PyTorch"]:
        if row is None:
            yield not_run(head + name, bound)
        elif OURS in row["missing"]:
            yield unknown(head + name, bound, row["missing"][OURS])
        elif name not in row["ratio"]:
            yield unknown(head + name, bound, row["missing"].get(name, "no PyTorch is here"))
        else:
            yield judged_ratio(row, head + name, bound, name, limit)


def roofline_line(summary, precision, limit):
    what, bound = f"stories110M {precision}, share of the roofline", f">= {limit:.0%}"
    row = find(summary, "stories110M", 256, precision)
    if row is None:
        return not_run(what, bound)
    if OURS in row["missing"]:
        return unknown(what, bound, row["missing"][OURS])
    return judged_step(row, what, bound, row["share"]["step"], at_least(limit), percent)


def sequence_line(summary):
    what = "time per token from sequence 256 to 1024, the attention of 256, passes alone"
    seen = summary.get("scaling", {}).get("sequence")
    if seen is None:
        return not_run(what, "<= 1.3 x")
    return judged(f"{what} ({seen['model']})", "<= 1.3 x", seen["growth"]["confined_passes"],
                  at_most(1.3), times)


def memory_lines(summary):
    what, bound = "peak memory over the plan", "0.9 to 1.1"
    rows = summary.get("memory")
    if rows is None:
        yield not_run(what, bound)
        return
    for row in rows:
        name = f"{what}, {row['name']}"
        if "missing" in row:
            yield unknown(name, bound, row["missing"])
        else:
            yield judged(name, bound, row["ratio"], lambda ratio: 0.9 <= ratio <= 1.1, times)


def decode_lines(summary):
    generation = summary.get("generation", ())
    seen = next((entry for entry in generation if entry["model"] == "stories110M"), None)
    for precision in ("bf16", "int8"):
        what, bound = f"decoding stories110M in {precision}, share of bandwidth", ">= 75%"
        if seen is None:
            yield not_run(what, bound)
            continue
        row = next(entry for entry in seen["rows"] if entry["precision"] == precision)
        if "missing" in row:
            yield unknown(what, bound, row["missing"])
        else:
            yield judged(what, bound, row["bandwidth_share"]["median"], at_least(0.75), percent)


def judged_difference(what, bound, seen, limit):
    """Met or missed where twice the standard error of the mean does not change it."""
    size, error = abs(seen["difference"]), seen["error"]
    figure = f"{seen['difference']:+.2%} ± {error:.2%}"
    if size - 2 * error > limit:
        return Line(what, bound, figure, MISSED)
    if size + 2 * error <= limit:
        return Line(what, bound, figure, MET)
    return unknown(what, bound, "so few runs do not tell", figure)


def accuracy_lines(summary):
    seen = summary.get("accuracy")
    bound = "within 0.5%"
    named = {"bf16": "bf16 loss after 200 demo steps, against f32",
             "state": "the same with the optimizer's state in bf16"}
    if seen is None:
        yield not_run("two runs in f32, every bit of the losses", "equal")
        for what in named.values():
            yield not_run(what, bound)
        return
    yield Line(f"two runs of {seen['repeated']} steps in f32, every bit of the losses", "equal",
               "equal" if seen["reproducible"] else "different",
               MET if seen["reproducible"] else MISSED)
    for key, what in named.items():
        if key not in seen:
            yield unknown(what, bound, seen["missing"])
        else:
            yield judged_difference(what, bound, seen[key], 0.005)


def engine_lines(summary):
    """What `make bench-ane-plan` predicted, where it ran."""
    plan = summary.get("ane_plan", {})
    for workload, bound in ENGINE_BOUNDS.items():
        what, shown = f"the engine's step on M4, {workload}, predicted", f"<= {bound} ms"
        if workload not in plan:
            yield not_run(what, shown)
        else:
            yield judged(what, shown, plan[workload], at_most(bound), lambda ms: f"{ms:.0f} ms")


def checklist(summary):
    return [
        *ratio_lines(summary, "stories110M", "bf16", 4),
        *ratio_lines(summary, "stories110M", "f32", 3),
        *ratio_lines(summary, "stories15M", "bf16", 5),
        *ratio_lines(summary, "qwen3-0.6b", "bf16", 4),
        roofline_line(summary, "bf16", 0.6),
        roofline_line(summary, "f32", 0.7),
        sequence_line(summary),
        *memory_lines(summary),
        *decode_lines(summary),
        *accuracy_lines(summary),
        *engine_lines(summary),
    ]
