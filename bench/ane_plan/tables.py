"""The summary of main.py as text."""

import dataclasses


def constants(chip):
    return {name: dataclasses.asdict(constant) for name, constant in chip.constants().items()}


def table(head, rows):
    rows = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                       for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
    return "\n".join(lines)


def milliseconds(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def peer_rows(peers):
    for peer in peers:
        low, high = peer["measured_ms"]
        measured = milliseconds(low) if low == high else f"{milliseconds(low)}-{milliseconds(high)}"
        yield (peer["name"], peer["chip"], measured, milliseconds(peer["predicted_ms"]),
               f"{peer['error']:+.0%}", "fitted" if peer["fitted"] else "")


def fit_rows(fits):
    for chip, values in fits.items():
        for name in ("fitted_on", "aside"):
            if name in values:
                yield (chip, "fitted on" if name == "fitted_on" else "kept aside",
                       f"{values[name]['mean']:.0%}", f"{values[name]['largest']:+.0%}")


def prediction_tables(predictions):
    for workload, by_chip in predictions.items():
        phases = list(next(iter(by_chip.values()))["phases_ms"])
        yield f"{workload}, ms a step\n" + table(
            ["", *by_chip],
            [[phase, *(milliseconds(p["phases_ms"][phase]) for p in by_chip.values())]
             for phase in phases]
            + [["step", *(milliseconds(p["ms"]) for p in by_chip.values())],
               ["with the sources' best and worst constants",
                *(f"{p['best_ms']:.0f}-{p['worst_ms']:.0f}" for p in by_chip.values())],
               ["the products at the engine's best rate",
                *(milliseconds(p["floor_ms"]) for p in by_chip.values())]])


def study_tables(studies):
    constants = list(next(iter(studies.values()))["constants_ms"])
    yield "One constant at the ends of its spread, ms a step on M4\n" + table(
        ["", *studies],
        [[name, *("{:.0f}-{:.0f}".format(*s["constants_ms"][name]) for s in studies.values())]
         for name in constants])
    names = list(next(iter(studies.values()))["saved_ms"])
    yield "One change alone, ms saved on M4\n" + table(
        ["", *studies], [[name, *(f"{s['saved_ms'][name]:.1f}" for s in studies.values())]
                         for name in names])
    steps = [step["change"] for step in next(iter(studies.values()))["proposed_ms"]]
    yield "One change after another, ms a step on M4\n" + table(
        ["", *studies],
        [[step, *(milliseconds(s["proposed_ms"][i]["ms"]) for s in studies.values())]
         for i, step in enumerate(steps)]
        + [["aimed at", *(str(s["bound_ms"]) for s in studies.values())]])
    other = [(name, milliseconds(ms)) for s in studies.values()
             for name, ms in s["alternatives_ms"].items()]
    if other:
        yield "The library's own alternatives, ms a step on M4\n" + table(["", "ms"], other)


def text(summary):
    parts = ["Steps that others have published, ms\n" + table(
        ["", "chip", "measured", "predicted", "error", ""], peer_rows(summary["peers"])),
        "Fits, mean and largest error of the points\n" + table(
            ["", "points", "mean", "largest"], fit_rows(summary["fits"])),
        *prediction_tables(summary["predictions"]), *study_tables(summary["studies_m4"])]
    return "\n\n".join(parts)
