"""A table that a terminal, Markdown and HTML can show."""

import dataclasses
import html


@dataclasses.dataclass(frozen=True)
class Table:
    """Strings under a head; columns after the first are numbers and set right."""
    head: list
    rows: list

    def text(self):
        rows = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.head))]

        def line(row):
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            return "  " + "  ".join([row[0].ljust(widths[0]), *cells])

        rule = "  " + "  ".join("-" * width for width in widths)
        return [line(self.head), rule, *map(line, self.rows)]

    def markdown(self):
        rule = "|---|" + "---:|" * (len(self.head) - 1)
        head, *rows = ("| " + " | ".join(row) + " |" for row in [self.head, *self.rows])
        return [head, rule, *rows]

    def html(self):
        def line(row, tag):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        return "\n".join(["<table>", line(self.head, "th"),
                          *(line(row, "td") for row in self.rows), "</table>"])


def milliseconds(seconds):
    return f"{seconds * 1e3:.1f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"
