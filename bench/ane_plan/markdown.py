"""The predictions of the last `make bench-ane-plan`, into the documentation.

    python3 bench/ane_plan/markdown.py SUMMARY FILE

renews what stands in the file between the marks <!-- plan: NAME --> and <!-- /plan -->.
"""

import json
import pathlib
import re
import sys

from tables import milliseconds

TITLES = {"stories110m full": ("Stories110M", "full"),
          "stories110m lora": ("Stories110M", "LoRA of rank 8"),
          "qwen3-0.6b full": ("Qwen3-0.6B", "full"),
          "qwen3-0.6b lora": ("Qwen3-0.6B", "LoRA of rank 8")}
MARKED = re.compile(r"(<!-- plan: (\w+) -->\n).*?(<!-- /plan -->)", re.S)


def table(head, rows):
    lines = [f"| {' | '.join(map(str, line))} |".replace("|  |", "| |") for line in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    return "".join(line + "\n" for line in lines)


def short(workload):
    shape, mode = TITLES[workload]
    return f"{shape.split('-')[0]} {'LoRA' if mode.startswith('LoRA') else mode}"


def step_table(workload, by_chip):
    phases = next(iter(by_chip.values()))["phases_ms"]
    rows = [[phase, *(milliseconds(p["phases_ms"][phase]) for p in by_chip.values())]
            for phase in phases]
    rows = [row for row in rows if any(cell != "0.0" for cell in row[1:])]
    return table(
        [f"{', '.join(TITLES[workload])}, ms", *by_chip],
        [*rows,
         ["**step**", *(f"**{milliseconds(p['ms'])}**" for p in by_chip.values())],
         ["range", *(f"{p['best_ms']:.0f}-{p['worst_ms']:.0f}" for p in by_chip.values())],
         ["products alone", *(milliseconds(p["floor_ms"]) for p in by_chip.values())]])


def sections(summary):
    studies = summary["studies_m4"]
    head = ["", *map(short, studies)]
    values = list(studies.values())

    proposed = [[change["change"], *(milliseconds(s["proposed_ms"][i]["ms"]) for s in values)]
                for i, change in enumerate(values[0]["proposed_ms"])]
    alternatives = [[name, f"{milliseconds(ms)} in place of {milliseconds(s['proposed_ms'][0]['ms'])}"]
                    for s in values for name, ms in s["alternatives_ms"].items()]
    return {
        "steps": "\n".join(step_table(*item) for item in summary["predictions"].items()),
        "changes": table(head, [*proposed, ["aimed at", *(s["bound_ms"] for s in values)]]),
        "alone": table(head, [[name, *(f"{s['saved_ms'][name]:.1f}" for s in values)]
                              for name in values[0]["saved_ms"]]),
        "alternatives": table(["", "ms a step on M4"], alternatives),
        "constants": table(head, [
            [f"`{name}`", *("{:.0f}-{:.0f}".format(*s["constants_ms"][name]) for s in values)]
            for name in values[0]["constants_ms"]
            if any(low != high for low, high in (s["constants_ms"][name] for s in values))])}


def main():
    summary, file = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    new = sections(summary)
    text, count = MARKED.subn(lambda found: found[1] + new[found[2]] + found[3], file.read_text())
    if count != len(new):
        sys.exit(f"{file}: {count} marks, expected {len(new)}")
    file.write_text(text)


if __name__ == "__main__":
    main()
