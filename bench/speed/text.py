"""The results of a run as tables and notes."""

import acceptance
from counts import PHASES
from steps import OURS
from tables import Table, milliseconds


def of_threads(entry):
    return f"{entry['threads']} thread{'s' if entry['threads'] > 1 else ''}"


def step_table(rows, pytorch):
    head = ["step, batch 1", OURS, *pytorch, *(f"/ {name.split()[1]}" for name in pytorch),
            "roofline", "share"]
    lines = []
    for row in rows:
        cells = [row["name"]]
        for name in (OURS, *pytorch):
            seen = row["seconds"].get(name)
            cells.append(f"{milliseconds(seen['median'])} ms" if seen else "-")
        cells += [f"{row['ratio'][name]:.2f} x" if name in row.get("ratio", {}) else "-"
                  for name in pytorch]
        cells.append(f"{milliseconds(sum(row['roofline'].values()))} ms")
        cells.append(f"{row['share']['step']:.0%}" if "share" in row else "-")
        lines.append(cells)
    return Table(head, lines)


def spread_table(rows):
    head = ["spread, ms", "steps", "least", "quarter", "median", "three quarters", "most"]
    names = ("min", "lower_quartile", "median", "upper_quartile", "max")
    return Table(head, [[f"{row['name']}, {name}", str(seen["count"]),
                         *(milliseconds(seen[key]) for key in names)]
                        for row in rows for name, seen in row["seconds"].items()])


def phase_table(rows):
    shown = [phase for phase in PHASES if phase != "staging"]
    lines = [[row["name"], *(f"{milliseconds(row['phases'][phase])} {row['share'][phase]:>4.0%}"
                             for phase in shown), milliseconds(row["phases"]["staging"])]
             for row in rows if "phases" in row]
    return Table(["ms, and share of the roofline", *shown, "staging"], lines)


def limit_table(rows):
    lines = []
    for row in rows:
        limits = row["limits"]
        rates = [f"{limits['bandwidth'][kind] / 1e9:.1f}" for kind in ("read", "copy", "adamw")]
        lines.append([row["name"], f"{limits['peak'] / 1e9:.0f}", limits["product_precision"],
                      *rates])
    return Table(["limits", "products, GFLOP/s", "in", "read, GB/s", "copy", "AdamW"], lines)


def peak_table(seen):
    """FLOP/s of oneDNN by precision and threads."""
    lines = []
    for entry in seen:
        rates = [product["flops_per_second"] for product in entry["products"]]
        ends = [f"{end(rates) / 1e9:.0f}" if rates else "-" for end in (max, min)]
        lines.append([f"{entry['precision']}, {of_threads(entry)}", *ends])
    return Table(["oneDNN at the shapes of stories110M, GFLOP/s", "best", "worst"], lines)


def bandwidth_table(seen):
    return Table(["memory, GB/s", "read", "copy", "AdamW"],
                 [[of_threads(entry), *(f"{entry[kind] / 1e9:.1f}" for kind in
                                                    ("read", "copy", "adamw"))]
                  for entry in seen])


def step_notes(rows):
    """What could not be measured, and what was checked."""
    for row in rows:
        for name, reason in row["missing"].items():
            yield f"{row['name']}: no {name}: {reason}"
        for name, seen in row.get("parity", {}).items():
            yield (f"{row['name']}: loss within {seen['loss']:.1e} and norm of the gradient "
                   f"within {seen['norm']:.1e} of {name} in {seen['steps']} steps"
                   + ("" if seen["ok"] else "  FAILED"))
        if row.get("disturbance", 0) > 0.05:
            yield (f"{row['name']}: other processes used {row['disturbance']:.2f} cores meanwhile; "
                   "repeat it on a quiet machine")


def generation_table(entries):
    lines = []
    for entry in entries:
        for row in entry["rows"]:
            name = f"{entry['model']}, {row['precision']}"
            if row["computed_in"] != row["precision"]:
                name += f" in {row['computed_in']}"
            if "missing" in row:
                lines.append([name, "-", "-", "-"])
                continue
            lines.append([name, f"{1 / row['decode_seconds']['median']:.1f}",
                          f"{row['bandwidth_share']['median']:.0%}",
                          f"{1 / row['prefill_seconds']['median']:.0f}"])
    return Table(["generation", "decode, tokens/s", "of the bandwidth", "prefill, tokens/s"], lines)


def sequence_table(seen):
    lines = [[f"sequence {row['sequence']}", f"{row['whole']['step_per_token'] * 1e6:.0f}",
              f"{row['whole']['passes_per_token'] * 1e6:.0f}",
              f"{row['confined']['passes_per_token'] * 1e6:.0f}"] for row in seen["rows"]]
    lines.append(["growth", *(f"{seen['growth'][key]:.2f} x" for key in (
        "whole_step", "whole_passes", "confined_passes"))])
    return Table([f"{seen['model']} {seen['precision']}, us a token", "step", "passes",
                  "passes, attention of 256"], lines)


def size_table(name, rows):
    return Table([name, "step, ms", "passes, GFLOP/s"],
                 [[str(row["value"]), milliseconds(row["seconds"]),
                   f"{row['flops_per_second'] / 1e9:.0f}"] for row in rows])


def thread_table(seen):
    rows = seen["rows"]
    lines = [[of_threads(row), milliseconds(row["step"]["median"]),
              *(milliseconds(row["phases"][phase]) for phase in PHASES)] for row in rows]
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        lines.append(["speed-up", f"{first['step']['median'] / last['step']['median']:.2f} x", *(
            f"{first['phases'][phase] / last['phases'][phase]:.2f} x" for phase in PHASES)])
    return Table([f"{seen['model']} f32, ms", "step", *PHASES], lines)


def program_table(seen):
    return Table([f"programs of {seen['model']} f32", "runs", "ms a run"],
                 [[entry["label"], str(entry["runs"]),
                   milliseconds(entry["seconds"] / entry["runs"])]
                  for entry in seen["rows"][-1]["programs"] if entry["runs"]])


def scaling_tables(seen):
    yield sequence_table(seen["sequence"])
    for name in ("batch", "width", "depth"):
        if name in seen:
            yield size_table(name, seen[name])
    yield thread_table(seen["threads"])
    yield program_table(seen["threads"])


def memory_table(rows):
    return Table(["memory", "plan, MB", "peak, MB", "ratio"],
                 [[row["name"], "-", "-", "-"] if "missing" in row else
                  [row["name"], f"{row['plan']['total'] / 1e6:,.0f}",
                   f"{row['peak_bytes'] / 1e6:,.0f}", f"{row['ratio']:.2f}"] for row in rows])


def startup_table(rows):
    stages = ("library", "device", "model", "session")
    return Table(["start-up, ms", *stages],
                 [[row["name"], *(milliseconds(row[stage]["median"]) for stage in stages)]
                  for row in rows])


def accuracy_table(seen):
    again = "the same bits" if seen["reproducible"] else "DIFFERENT"
    low, high = seen["f32_range"]
    lines = [["f32", f"{seen['f32']:.4f}", f"{low:.3f} to {high:.3f}", "-"],
             [f"f32, {seen['repeated']} steps again", again, "", "-"]]
    for key, name in (("bf16", "bf16"), ("state", "f32, optimizer's state in bf16")):
        if key in seen:
            part = seen[key]
            lines.append([name, f"{part['loss']:.4f}", "",
                          f"{part['difference']:+.2%} ± {part['error']:.2%}"])
    return Table([f"after {seen['steps']} demo steps, {seen['orders']} orders of data", "mean loss",
                  "range", "difference"], lines)


def missing_notes(rows, name):
    for row in rows:
        if "missing" in row:
            yield f"{row[name]}: {row['missing']}"


def part(name, seen, pytorch):
    """The tables and the notes of a part."""
    if name == "limits":
        notes = [f"{entry['precision']}, {of_threads(entry)}: {entry['reason']}"
                 for entry in seen["products"] if entry["reason"]]
        return [peak_table(seen["products"]), bandwidth_table(seen["bandwidth"])], notes
    if name == "steps":
        return ([step_table(seen, pytorch), phase_table(seen), limit_table(seen),
                 spread_table(seen)], list(step_notes(seen)))
    if name == "generation":
        notes = [note for entry in seen for note in missing_notes(entry["rows"], "precision")]
        return [generation_table(seen)], list(dict.fromkeys(notes))
    if name == "scaling":
        return list(scaling_tables(seen)), []
    if name == "memory":
        return [memory_table(seen)], list(missing_notes(seen, "name"))
    if name == "startup":
        return [startup_table(seen)], []
    return [accuracy_table(seen)], [f"bf16: {seen['missing']}"] if "missing" in seen else []


def checklist_table(summary):
    return Table(["to be shown", "bound", "figure", "verdict"],
                 [[line.what, line.bound, line.figure or "-",
                   line.verdict + (f": {line.why}" if line.why else "")]
                  for line in acceptance.checklist(summary)])


def checklist_lines(summary):
    """For a terminal: what this run measured, or could not."""
    rows = [row for row in checklist_table(summary).rows if row[3] != acceptance.NOT_RUN]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    mark = {acceptance.MET: "[x]", acceptance.MISSED: "[ ]"}
    for what, bound, figure, verdict in rows:
        yield (f"  {mark.get(verdict.partition(':')[0], '[?]')} {what.ljust(widths[0])}  "
               f"{bound.rjust(widths[1])}  {figure.rjust(widths[2])}  {verdict}")
