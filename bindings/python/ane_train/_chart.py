"""Curves in Braille characters, which have two columns and four rows of dots each."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLANK = 0x2800
# The bit of each dot, by its column and row in the character.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class Chart:
    """A drawing of `width` by `height` characters whose corners are `x` and `y`, (low, high)."""

    MARK = "●"

    def __init__(self, width: int, height: int, x: tuple[float, float], y: tuple[float, float]):
        self.width, self.height = width, height
        self.x, self.y = x, y
        self._dots = [[0] * width for _ in range(height)]
        self._marks: set[tuple[int, int]] = set()

    def _place(self, value: float, limits: tuple[float, float], extent: int) -> int:
        low, high = limits
        share = (value - low) / (high - low) if high > low else 0.5
        return min(extent - 1, max(0, round(share * (extent - 1))))

    def column(self, x: float) -> int:
        """Of dots."""
        return self._place(x, self.x, 2 * self.width)

    def row(self, y: float) -> int:
        """Of dots, from the top."""
        return 4 * self.height - 1 - self._place(y, self.y, 4 * self.height)

    def _dot(self, column: int, row: int) -> None:
        self._dots[row // 4][column // 2] |= _DOTS[column % 2][row % 4]

    def curve(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Joins the points, those of one column of dots by their mean. Leaves out what is not
        finite."""
        columns: dict[int, list[float]] = {}
        for x, y in zip(xs, ys):
            if math.isfinite(y):
                columns.setdefault(self.column(x), []).append(y)
        last: tuple[int, int] | None = None
        for column in sorted(columns):
            here = column, self.row(sum(columns[column]) / len(columns[column]))
            self._join(last or here, here)
            last = here

    def _join(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for i in range(length + 1):
            self._dot(*(round(a + (b - a) * i / length) for a, b in zip(start, end)))

    def mark(self, x: float, y: float) -> None:
        """A point of its own, in front of the curve."""
        if math.isfinite(y):
            self._marks.add((self.row(y) // 4, self.column(x) // 2))

    def rows(self) -> list[list[tuple[str, bool]]]:
        """From the top: characters, and whether each is a mark."""
        return [
            [
                (self.MARK, True) if (row, column) in self._marks else (chr(_BLANK + dots), False)
                for column, dots in enumerate(line)
            ]
            for row, line in enumerate(self._dots)
        ]


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The range of what is finite; (0, 1) of nothing."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)
