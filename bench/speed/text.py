"""The results of a run as tables, for a terminal or as Markdown."""

import acceptance
from counts import PHASES
from steps import OURS
from tables import milliseconds, table


def step_table(rows, pytorch, markdown=False):
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
    return table(head, lines, markdown)


def phase_table(rows, markdown=False):
    shown = [phase for phase in PHASES if phase != "staging"]
    head = ["ms, and share of the roofline", *shown, "staging"]
    lines = []
    for row in rows:
        if "phases" not in row:
            continue
        cells = [f"{milliseconds(row['phases'][phase])} {row['share'][phase]:>4.0%}"
                 for phase in shown]
        lines.append([row["name"], *cells, milliseconds(row["phases"]["staging"])])
    return table(head, lines, markdown) if lines else []


def limit_table(rows, markdown=False):
    head = ["limits", "products, GFLOP/s", "of", "read, GB/s", "copy", "AdamW"]
    lines = []
    for row in rows:
        limits = row["limits"]
        rates = [f"{limits['bandwidth'][kind] / 1e9:.1f}" for kind in ("read", "copy", "adamw")]
        lines.append([row["name"], f"{limits['peak'] / 1e9:.0f}", limits["product_precision"],
                      *rates])
    return table(head, lines, markdown)


def notes(rows):
    """What could not be measured, and what was checked."""
    for row in rows:
        for name, reason in row["missing"].items():
            yield f"{row['name']}: no {name}: {reason}"
        for name, seen in row.get("parity", {}).items():
            verdict = "" if seen["ok"] else "  FAILED"
            yield (f"{row['name']}: loss within {seen['loss']:.1e} and norm of the gradient "
                   f"within {seen['norm']:.1e} of {name} in {seen['steps']} steps{verdict}")


def generation_table(entries, markdown=False):
    head = ["generation", "decode, tokens/s", "of the bandwidth", "prefill, tokens/s"]
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
                          f"{row['bandwidth_share']:.0%}",
                          f"{1 / row['prefill_seconds']['median']:.0f}"])
    return table(head, lines, markdown)


def sequence_table(seen, markdown=False):
    head = [f"{seen['model']} {seen['precision']}, us a token", "step", "passes",
            "passes, attention of 256"]
    lines = [[f"sequence {row['sequence']}", f"{row['whole']['step_per_token'] * 1e6:.0f}",
              f"{row['whole']['passes_per_token'] * 1e6:.0f}",
              f"{row['confined']['passes_per_token'] * 1e6:.0f}"] for row in seen["rows"]]
    growth = seen["growth"]
    lines.append(["growth"] + [f"{growth[key]:.2f} x" for key in (
        "whole_step", "whole_passes", "confined_passes")])
    return table(head, lines, markdown)


def size_table(name, rows, markdown=False):
    head = [name, "step, ms", "passes, GFLOP/s"]
    return table(head, [[str(row["value"]), milliseconds(row["seconds"]),
                         f"{row['flops_per_second'] / 1e9:.0f}"] for row in rows], markdown)


def thread_table(seen, markdown=False):
    head = [f"{seen['model']} f32, ms", "step", *PHASES]
    lines = [[f"{threads} threads", milliseconds(row["step"]["median"]),
              *(milliseconds(row["phases"][phase]) for phase in PHASES)]
             for threads, row in seen["rows"].items()]
    rows = list(seen["rows"].values())
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        lines.append(["speed-up", f"{first['step']['median'] / last['step']['median']:.2f} x", *(
            f"{first['phases'][phase] / last['phases'][phase]:.2f} x" for phase in PHASES)])
    return table(head, lines, markdown)


def program_table(seen, markdown=False):
    row = list(seen["rows"].values())[-1]
    return table([f"programs of {seen['model']} f32", "runs", "ms a run"],
                 [[entry["label"], str(entry["runs"]),
                   milliseconds(entry["seconds"] / entry["runs"])]
                  for entry in row["programs"] if entry["runs"]], markdown)


def memory_table(rows, markdown=False):
    head = ["memory", "plan, MB", "peak, MB", "ratio"]
    return table(head, [[row["name"], "-", "-", "-"] if "missing" in row else
                        [row["name"], f"{row['plan']['total'] / 1e6:,.0f}",
                         f"{row['peak_bytes'] / 1e6:,.0f}", f"{row['ratio']:.2f}"]
                        for row in rows], markdown)


def startup_table(rows, markdown=False):
    stages = ("library", "device", "model", "session")
    return table(["start-up, ms", *stages],
                 [[row["model"], *(milliseconds(row[stage]["median"]) for stage in stages)]
                  for row in rows], markdown)


def accuracy_lines(seen):
    yield (f"  f32 loss after {seen['steps']} demo steps {seen['f32']:.4f}, a second run "
           f"{'equal to the last bit' if seen['reproducible'] else 'DIFFERENT'}")
    if "missing" not in seen:
        yield f"  bf16 {seen['bf16']:.4f}, {seen['difference']:.2%} away"


def part_lines(part, seen, pytorch):
    """What is printed when a part has been measured."""
    if part == "steps":
        return [*step_table(seen, pytorch), "", *phase_table(seen), "", *limit_table(seen), "",
                *("  " + note for note in notes(seen))]
    if part == "generation":
        return generation_table(seen)
    if part == "scaling":
        lines = sequence_table(seen["sequence"])
        for name in ("batch", "width", "depth"):
            if name in seen:
                lines += ["", *size_table(name, seen[name])]
        return [*lines, "", *thread_table(seen["threads"]), "", *program_table(seen["threads"])]
    if part == "memory":
        return memory_table(seen)
    if part == "startup":
        return startup_table(seen)
    return list(accuracy_lines(seen))


def checklist_lines(summary, markdown=False):
    mark = {acceptance.MET: "[x]", acceptance.MISSED: "[ ]", acceptance.UNKNOWN: "[?]",
            acceptance.NOT_RUN: "[-]"}
    lines = [[line.what, line.bound, line.figure or "-", f"{mark[line.verdict]} {line.verdict}"
              + (f": {line.why}" if line.why else "")]
             for line in acceptance.checklist(summary)]
    head = ["what", "bound", "figure", "verdict"]
    if markdown:
        return table(head, lines, True)
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    return ["  " + "  ".join([line[0].ljust(widths[0]), line[1].rjust(widths[1]),
                              line[2].rjust(widths[2]), line[3]]) for line in lines]
