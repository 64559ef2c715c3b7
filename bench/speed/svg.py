"""Plots as SVG: bars with whiskers, stacked bars, lines. Colours are classes of the page."""

import dataclasses
import html
import math

WIDTH, LABELS, VALUES = 720, 150, 96
ROW, GAP, TOP = 15, 10, 24
LINE_HEIGHT = 240
LEFT, RIGHT, BOTTOM = 62, 14, 44


def text(x, y, words, anchor="start", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>'
            f"{html.escape(words)}</text>")


def key(names):
    """The colours' meanings in a row at the top."""
    parts, x = [], LABELS
    for number, name in enumerate(names):
        parts.append(f'<rect class="c{number}" x="{x}" y="4" width="10" height="10"/>')
        parts.append(text(x + 15, 13, name))
        x += 32 + 7 * len(name)
    return parts


def drawing(title, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{html.escape(title)}">\n' + "\n".join(parts) + "\n</svg>")


@dataclasses.dataclass(frozen=True)
class Bar:
    series: str
    value: float
    low: float = None
    high: float = None


def bars(title, groups, show, names):
    """Groups of bars from left to right, one below another; `groups` is label and bars, `names` the
    series in the order of their colours. A whisker goes from low to high."""
    most = max(max(bar.value, bar.high or 0) for _, group in groups for bar in group)
    scale = (WIDTH - LABELS - VALUES) / most
    parts, y = key(names), TOP
    for label, group in groups:
        middle = y + ROW * len(group) / 2
        parts.append(text(LABELS - 8, middle + 4, label, "end"))
        for bar in group:
            width = bar.value * scale
            parts.append(f'<rect class="c{names.index(bar.series)}" x="{LABELS}" y="{y + 1}" '
                         f'width="{width:.1f}" height="{ROW - 2}"/>')
            end = width
            if bar.low != bar.high:
                first, last = LABELS + bar.low * scale, LABELS + bar.high * scale
                line = y + ROW / 2
                parts.append(f'<path class="whisker" d="M{first:.1f} {line - 3}v6M{first:.1f} '
                             f'{line}H{last:.1f}M{last:.1f} {line - 3}v6"/>')
                end = max(width, bar.high * scale)
            parts.append(text(LABELS + end + 5, y + ROW - 4, show(bar.value)))
            y += ROW
        y += GAP
    return drawing(title, y, parts)


def stacks(title, rows, show):
    """Bars of parts end to end; `rows` is label and a dictionary of values."""
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    most = max(sum(values.values()) for _, values in rows)
    scale = (WIDTH - LABELS - VALUES) / most
    parts, y = key(names), TOP
    for label, values in rows:
        parts.append(text(LABELS - 8, y + 12, label, "end"))
        x = float(LABELS)
        for name, value in values.items():
            width = value * scale
            parts.append(f'<rect class="c{names.index(name)}" x="{x:.1f}" y="{y}" '
                         f'width="{width:.1f}" height="{ROW + 1}"><title>{html.escape(name)} '
                         f"{html.escape(show(value))}</title></rect>")
            x += width
        parts.append(text(x + 5, y + 12, show(sum(values.values()))))
        y += ROW + GAP
    return drawing(title, y, parts)


def round_steps(most, count=5):
    """0 to at least `most` in about `count` steps of 1, 2 or 5 times a power of ten."""
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if rough <= digit * power * (1 + 1e-9))
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def lines(title, series, across, show):
    """Lines over a logarithmic axis of sizes; `series` is name and points, `across` the axis."""
    places = sorted({x for _, points in series for x, _ in points})
    ticks = round_steps(max(y for _, points in series for _, y in points))
    low, high = math.log2(places[0]), math.log2(places[-1])

    def at_x(x):
        share = (math.log2(x) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT - VALUES)

    def at_y(y):
        return LINE_HEIGHT - BOTTOM - y / ticks[-1] * (LINE_HEIGHT - BOTTOM - TOP)

    parts = key([name for name, _ in series])
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {at_y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(text(LEFT - 6, at_y(tick) + 4, show(tick), "end"))
    for place in places:
        parts.append(text(at_x(place), LINE_HEIGHT - BOTTOM + 16, f"{place:g}", "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT - VALUES) / 2, LINE_HEIGHT - 8, across, "middle"))
    for number, (_, points) in enumerate(series):
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="l{number}" points="{path}"/>')
        parts += [f'<circle class="c{number}" cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5"/>'
                  for x, y in points]
        x, y = points[-1]
        parts.append(text(at_x(x) + 8, at_y(y) + 4, show(y)))
    return drawing(title, LINE_HEIGHT, parts)
