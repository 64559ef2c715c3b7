"""The results of a run as one HTML page with plots, and as Markdown for the documentation.

    python3 report.py SUMMARY --html FILE          writes the page
    python3 report.py SUMMARY --markdown FILE...   renews what stands in the files between the marks
                                                   <!-- bench: NAME --> and <!-- /bench -->
"""

import argparse
import html
import json
import pathlib
import re
import sys

import svg
import text
from counts import PHASES
from steps import OURS
from svg import Bar
from tables import milliseconds

TITLES = {"limits": "The machine's limits", "steps": "Training steps",
          "generation": "Generation", "scaling": "Growth", "memory": "Memory",
          "startup": "Start-up", "accuracy": "Accuracy"}

STYLE = """
:root { --ink: #1d2330; --soft: #667085; --rule: #dfe3ea; --page: #ffffff;
        --a: #0f6fde; --b: #e07b00; --c: #2a9d6f; --d: #a44bc4; --e: #98a1b0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #98a1b0; --rule: #333b49; --page: #14181f;
          --a: #5aa6ff; --b: #ffab4a; --c: #58cf9d; --d: #d08bea; --e: #77808f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; display: block;
        overflow-x: auto; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--rule);
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .checklist td:last-child, .checklist th:last-child {
  text-align: left; }
.checklist td:first-child, .checklist td:last-child { white-space: normal; }
figure { margin: 1.5rem 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
figcaption span, p.note { color: var(--soft); font-weight: 400; font-size: 13px; }
svg { width: 100%; height: auto; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--ink); }
.c0 { fill: var(--a); } .c1 { fill: var(--b); } .c2 { fill: var(--c); } .c3 { fill: var(--d); }
.c4 { fill: var(--e); } .grid { stroke: var(--rule); } .whisker { stroke: var(--ink); fill: none; }
.l0, .l1, .l2 { fill: none; stroke-width: 2; } .l0 { stroke: var(--a); } .l1 { stroke: var(--b); }
.l2 { stroke: var(--c); }
"""


def figure(title, unit, picture):
    return (f"<figure><figcaption>{html.escape(title)} <span>{html.escape(unit)}</span>"
            f"</figcaption>\n{picture}\n</figure>")


def shown_milliseconds(seconds):
    return f"{milliseconds(seconds)} ms"


def short(row):
    return f"{row['sequence']}, {row['precision']}"


def step_figures(rows, pytorch):
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        groups = [(short(row), [Bar(name, seen["median"], seen["min"], seen["max"])
                                for name, seen in row["seconds"].items()])
                  for row in mine if row["seconds"]]
        if groups:
            title = f"A step of {model}" + (" with an adapter" if mine[0]["rank"] else "")
            yield figure(title, "sequence and precision; median, least and most",
                         svg.bars(title, groups, shown_milliseconds, [OURS, *pytorch]))
        stacks = []
        for row in mine:
            if "phases" in row:
                stacks.append((short(row), {name: row["phases"][name] for name in PHASES}))
                stacks.append(("roofline", {name: row["roofline"][name] for name in PHASES}))
        if stacks:
            title = f"{model} by phase"
            yield figure(title, "the library, and the least time that this machine allows",
                         svg.stacks(title, stacks, shown_milliseconds))


def generation_figures(entries, _):
    name = "share of the memory bandwidth"
    groups = []
    for entry in entries:
        for row in entry["rows"]:
            if "missing" not in row:
                seen = row["bandwidth_share"]
                groups.append((f"{entry['model']}, {row['precision']}",
                               [Bar(name, seen["median"], seen["min"], seen["max"])]))
    if groups:
        yield figure("Decoding", "share of the bandwidth that reading has",
                     svg.bars("Decoding", groups, lambda share: f"{share:.0%}", [name]))


def scaling_figures(seen, _):
    rows = seen["sequence"]["rows"]
    yield figure("Time per token", f"{seen['sequence']['model']}, forward, loss and backward",
                 svg.lines("Time per token",
                           [(name, [(row["sequence"], row[key]["passes_per_token"])
                                    for row in rows])
                            for name, key in (("whole", "whole"),
                                              ("attention of 256", "confined"))],
                           "sequence", lambda seconds: f"{seconds * 1e6:.0f} us"))
    for name in ("batch", "width", "depth"):
        if name in seen:
            points = [(row["value"], row["flops_per_second"]) for row in seen[name]]
            title = f"Speed of the passes by {name}"
            yield figure(title, "products", svg.lines(
                title, [("GFLOP/s", points)], name, lambda rate: f"{rate / 1e9:.0f}"))


def memory_figures(rows, _):
    groups = [(row["name"], [Bar("plan", row["plan"]["total"]), Bar("peak", row["peak_bytes"])])
              for row in rows if "missing" not in row]
    if groups:
        yield figure("Memory", "of a process that only trains", svg.bars(
            "Memory", groups, lambda size: f"{size / 1e9:.2f} GB", ["plan", "peak"]))


FIGURES = {"steps": step_figures, "generation": generation_figures, "scaling": scaling_figures,
           "memory": memory_figures}


def where(summary):
    machine = summary["machine"]
    words = [f"{machine['model']}, {machine['threads']} threads",
             " ".join(machine["extensions"]) or "no known extensions"]
    words += [f"{name} (BLAS {seen['blas']})" for name, seen in summary["pytorch"].items()]
    return "; ".join([*words, summary["date"]]) + (", quick" if summary["quick"] else "")


def page(summary):
    parts = [f"<h1>Speed of libane_train</h1>\n<p class=\"note\">{html.escape(where(summary))}</p>",
             "<h2>What has to be shown</h2>\n<div class=\"checklist\">",
             text.checklist_table(summary).html(), "</div>"]
    for name, title in TITLES.items():
        if name not in summary:
            continue
        pytorch = list(summary["pytorch"])
        tables, notes = text.part(name, summary[name], pytorch)
        parts.append(f"<h2>{html.escape(title)}</h2>")
        if name in FIGURES:
            parts += FIGURES[name](summary[name], pytorch)
        parts += [table.html() for table in tables]
        parts += [f'<p class="note">{html.escape(note)}</p>' for note in notes]
    return ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
            "<meta name=\"viewport\" content=\"width=device-width\"/>"
            f"<title>Speed of libane_train</title>\n<style>{STYLE}</style></head>\n<body>\n"
            + "\n".join(parts) + "\n</body></html>\n")


def markdown_blocks(summary):
    """Text by the name that marks its place."""
    pytorch = list(summary["pytorch"])
    blocks = {"where": [where(summary) + "."],
              "checklist": text.checklist_table(summary).markdown()}
    for name in TITLES:
        if name in summary:
            tables, notes = text.part(name, summary[name], pytorch)
            lines = []
            for table in tables:
                lines += [*table.markdown(), ""]
            blocks[name] = [*lines, *(f"* {note}" for note in notes)]
            if not notes:
                blocks[name] = lines[:-1]
    if "steps" in summary:
        rows = [row for row in summary["steps"] if row["sequence"] == 256]
        blocks["readme"] = [*text.step_table(rows, pytorch).markdown(), "", where(summary) + "."]
    return blocks


def renewed(document, blocks):
    """The document with its marked places filled; a place that this run has nothing for stays."""
    def fill(match):
        block = blocks.get(match.group(2))
        return match.group(0) if block is None else "\n".join(
            [match.group(1), *block, match.group(4)])

    return re.sub(r"(<!-- bench: (\w+) -->)\n(.*?)(<!-- /bench -->)", fill, document,
                  flags=re.DOTALL)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("summary", type=pathlib.Path)
    parser.add_argument("--html", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path, nargs="+", default=[])
    options = parser.parse_args()
    summary = json.loads(options.summary.read_text())
    if options.html:
        options.html.write_text(page(summary))
    for path in options.markdown:
        path.write_text(renewed(path.read_text(), markdown_blocks(summary)))


if __name__ == "__main__":
    sys.exit(main())
