"""Tables of what was measured, as text for a terminal and as Markdown."""


def table(head, rows, markdown=False):
    """Rows of strings under a head; columns after the first are set right."""
    if markdown:
        rule = "|---|" + "---:|" * (len(head) - 1)
        return ["| " + " | ".join(head) + " |", rule,
                *("| " + " | ".join(row) + " |" for row in rows)]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row):
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        return "  " + "  ".join([row[0].ljust(widths[0]), *cells[1:]])

    return [line(head), "  " + "  ".join("-" * width for width in widths), *map(line, rows)]


def milliseconds(seconds):
    return f"{seconds * 1e3:.1f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"
