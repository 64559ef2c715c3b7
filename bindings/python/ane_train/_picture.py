"""The picture of a training run in a terminal, drawn with rich."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ._chart import Chart, limits
from ._run import LogFile, Run

_NARROW = 90  # columns below which the panels stand one above the other
_PLACES = {"ane": "green", "cpu": "cyan", "ane+cpu": "yellow"}


def _plain(text: str) -> str:
    """One line without anything that a terminal would obey: the log is somebody else's."""
    return "".join(
        c if c.isprintable() else "↵" if c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _amount(
    value: float, units: Sequence[str] = ("", " K", " M", " G", " T"), base: int = 1000
) -> str:
    """1234567 as "1.23 M"."""
    power = 0
    while abs(value) >= base and power + 1 < len(units):
        value /= base
        power += 1
    digits = 0 if power == 0 and value == int(value) else 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}{units[power]}"


def _bytes(count: float) -> str:
    """1234567 as "1.18 MiB"."""
    return _amount(count, (" B", " KiB", " MiB", " GiB", " TiB"), 1024)


def _duration(seconds: float) -> str:
    """3725 as "1:02:05"."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(share: float, width: int) -> str:
    filled = min(width, max(0, round(share * width)))
    return "█" * filled + "░" * (width - filled)


class Picture:
    """Draws the run of a log. Looks at nothing but the log's state."""

    def __init__(self, log: LogFile):
        self.log = log

    def render(self, console: Console, height: int = 0, now: float | None = None) -> RenderableType:
        """The whole picture, as wide as the console.

        ``height`` is in lines: the loss curve takes what the rest leaves of it. ``now`` is in
        seconds since 1970; without it nothing depends on the time."""
        run, width = self.log.run, console.width
        wide = width >= _NARROW
        side_width = width // 3 if wide else width
        header = self._header(run, width, now)
        side = Group(self._phases(run), self._memory(run), self._learning_rate(run, side_width))
        below = Group(
            *filter(None, (self._kernels(run, width), self._samples(run), self._notes(run)))
        )
        rest = height - self._lines(console, header, width) - self._lines(console, below, width)
        beside = self._lines(console, side, side_width)
        if not wide:
            curve = self._loss(run, width, max(10, rest - beside))
            return Group(header, curve, side, below)
        middle = Table.grid(expand=True)
        middle.add_column(width=width - side_width)
        middle.add_column(width=side_width)
        middle.add_row(self._loss(run, width - side_width, max(beside, rest)), side)
        return Group(header, middle, below)

    @staticmethod
    def _lines(console: Console, renderable: RenderableType, width: int) -> int:
        return len(console.render_lines(renderable, console.options.update(width=width)))

    def _header(self, run: Run, width: int, now: float | None) -> Panel:
        title = _plain(run.settings.get("model", "")) or _plain(self.log.path)
        device = _plain(run.settings.get("device", ""))
        lines = Text()
        if not self.log.exists:
            lines.append("waiting for " + _plain(self.log.path), "yellow")
        else:
            lines.append_text(self._progress(run, width))
            lines.append("\n")
            lines.append_text(self._figures(run))
        quiet = now - self.log.modified if now is not None and not run.end else 0
        if quiet >= 10:
            lines.append(f"\nnothing new for {_duration(quiet)}", "yellow")
        return Panel(
            lines,
            title=Text(title, "bold", overflow="ellipsis", no_wrap=True),
            subtitle=Text(device, overflow="ellipsis", no_wrap=True),
        )

    def _progress(self, run: Run, width: int) -> Text:
        text = Text()
        if run.last_step:
            share = run.step / run.last_step
            text.append(_bar(share, max(10, width // 3)), "green")
            text.append(f"  step {run.step} of {run.last_step}, {100 * share:.0f} %")
        else:
            text.append(f"step {run.step}")
        if run.end:
            style = "yellow" if run.end.interrupted else "green"
            text.append("  " + _plain(run.end.reason), style)
        elif run.seconds_left is not None:
            text.append(f"  {_duration(run.seconds_left)} left")
        return text

    def _figures(self, run: Run) -> Text:
        parts: list[tuple[str, str]] = []
        if run.steps:
            parts += [("loss", f"{run.losses[-1]:.4f}"), ("rate", f"{run.learning_rates[-1]:.3g}")]
        if run.evaluations:
            parts.append(("validation", f"{run.evaluations[-1].loss:.4f}"))
        if best := run.best:
            parts.append(("best", f"{best.loss:.4f} after step {best.step}"))
        if run.tokens_per_second:
            parts.append(("speed", _amount(run.tokens_per_second) + " tokens/s"))
        if run.engine_share:
            parts.append(("engine", f"{100 * run.engine_share:.0f} % of the FLOPs"))
        text = Text()
        for name, value in parts:
            text.append(name + " ", "dim").append(value, "bold").append("   ")
        return text

    def _loss(self, run: Run, width: int, height: int) -> Panel:
        shown = run.losses + [evaluation.loss for evaluation in run.evaluations]
        low, high = limits(shown)
        labels = [f"{value:.3g}" for value in (high, (low + high) / 2, low)]
        margin = max(map(len, labels)) + 1
        first = min([*run.steps[:1], *(e.step for e in run.evaluations[:1])], default=0)
        last = max(run.step, first + 1)
        # Beside the labels stand two borders with their padding; above and below a border, and
        # the steps.
        rows = max(3, height - 3)
        chart = Chart(max(10, width - margin - 4), rows, (first, last), (low, high))
        chart.curve(run.steps, run.losses)
        for evaluation in run.evaluations:
            chart.mark(*evaluation)
        text = Text(no_wrap=True)
        at = {0: labels[0], rows // 2: labels[1], rows - 1: labels[2]}
        for number, row in enumerate(chart.rows()):
            text.append(at.get(number, "").rjust(margin - 1) + " ", "dim")
            for character, marked in row:
                text.append(character, "yellow" if marked else "cyan")
            text.append("\n")
        steps = f"{first}{str(last).rjust(chart.width - len(str(first)))}"
        text.append(" " * margin + steps, "dim")
        return Panel(text, title="loss: ⠶ training  [yellow]●[/] validation")

    def _phases(self, run: Run) -> Panel:
        table = Table.grid(padding=(0, 1))
        total = run.step_seconds
        for name, seconds in run.phases.items():
            share = seconds / total if total > 0 else 0.0
            table.add_row(
                name,
                f"{1000 * seconds:.1f} ms",
                f"{100 * share:.0f} %",
                Text(_bar(share, 10), "cyan"),
            )
        for column in table.columns[1:3]:
            column.justify = "right"
        return Panel(table, title=f"step: {1000 * total:.1f} ms")

    def _memory(self, run: Run) -> Panel:
        table = Table.grid(padding=(0, 1))
        total = max(1, run.memory.get("total", 0))
        for name, size in run.memory.items():
            if size and name != "total":
                table.add_row(
                    Text(_plain(name)), _bytes(size), Text(_bar(size / total, 10), "cyan")
                )
        table.add_row("planned", _bytes(run.memory.get("total", 0)))
        table.add_row("process", _bytes(run.peak_resident_bytes), "at most so far")
        table.columns[1].justify = "right"
        return Panel(table, title="memory")

    def _learning_rate(self, run: Run, width: int) -> Panel:
        low, high = limits(run.learning_rates)
        chart = Chart(
            max(10, width - 4),
            2,
            (run.steps[0] if run.steps else 0, max(run.step, 1)),
            (min(low, 0.0), high),
        )
        chart.curve(run.steps, run.learning_rates)
        rows = ("".join(character for character, _ in row) for row in chart.rows())
        return Panel(
            Text("\n".join(rows), "cyan", no_wrap=True),
            title=f"learning rate: up to {high:.3g}" if run.steps else "learning rate",
        )

    def _kernels(self, run: Run, width: int) -> Panel | None:
        if not run.kernels:
            return None
        table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1), show_edge=False)
        table.add_column("program", no_wrap=True)
        table.add_column("where", no_wrap=True)
        # Known at the end, and of no use before the reason is readable.
        times = ("engine", "CPU", "copies") if run.end and width >= _NARROW else ()
        for name in (*times, "fallbacks"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("why the CPU has its part", ratio=1, overflow="ellipsis", no_wrap=True)
        for kernel in run.kernels:
            parts = (kernel.engine_seconds, kernel.host_seconds, kernel.copy_seconds)
            seconds = (f"{part:.2f} s" for part in parts[: len(times)])
            table.add_row(
                Text(_plain(kernel.label)),
                Text(_plain(kernel.where), _PLACES.get(kernel.where, "")),
                *seconds,
                Text(str(kernel.fallbacks), "red" if kernel.fallbacks else "dim"),
                Text(_plain(kernel.reason)),
            )
        return Panel(table, title="where the programs run")

    def _samples(self, run: Run) -> Panel | None:
        if not run.samples:
            return None
        table = Table.grid(padding=(0, 1))
        for sample in run.samples[-3:]:
            table.add_row(
                Text(f"step {sample.step}", "dim"),
                Text(_plain(sample.text), overflow="ellipsis", no_wrap=True),
            )
        return Panel(table, title="samples")

    def _notes(self, run: Run) -> Panel | None:
        notes = [
            f"line {line} is no record: {_plain(reason)}" for line, reason in self.log.damaged[-3:]
        ]
        if len(self.log.damaged) > 3:
            notes.insert(0, f"{len(self.log.damaged)} lines are no records; the latest:")
        if self.log.incomplete:
            notes.append(f"the last line is incomplete: {self.log.incomplete} bytes")
        for count, what in (
            (run.skipped, "updates overflowed and were skipped"),
            (run.retries, "evaluations of the engine were repeated"),
            (run.fallbacks, "parts of steps fell back to the CPU"),
        ):
            if count:
                notes.append(f"{count} {what}")
        if run.losses and not math.isfinite(run.losses[-1]):
            notes.append("the loss is not finite")
        if run.audit_error:
            notes.append(f"audits of the engine: largest relative error {run.audit_error:.2g}")
        if run.saved:
            notes.append("saved " + _plain(run.saved))
        return Panel(Text("\n".join(notes)), title="notes") if notes else None
