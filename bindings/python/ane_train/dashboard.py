"""A live dashboard of a training run in the terminal: ``python -m ane_train.dashboard LOG``.

LOG is what ``ane-train train --log LOG`` or ``ane_train.log.JsonLog`` writes. The log is followed
while it grows, also over a restart of the run; Ctrl-C leaves the dashboard and not the run.
Needs rich: ``pip install 'ane-train[dashboard]'``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._run import LogFile

if TYPE_CHECKING:
    from rich.console import Console

    from ._picture import Picture

__all__ = ["main"]

_INTERVAL = 0.25  # seconds between looks at the file


def _follow(picture: Picture, console: Console) -> None:
    """Draws until Ctrl-C: when the log or the window changes, and once a second."""
    from rich.live import Live

    with Live(console=console, screen=True, auto_refresh=False) as live:
        drawn: tuple[object, ...] = ()
        while True:
            start = time.monotonic()
            changed = picture.log.poll()
            state = (console.size, int(time.time()))
            if changed or state != drawn:
                live.update(picture.render(console, console.height, time.time()), refresh=True)
                drawn = state
            # The picture of a long run takes a while; most of the processor is for the run.
            time.sleep(max(_INTERVAL, 9 * (time.monotonic() - start)))


def _fail(message: str) -> int:
    print(f"ane-train-dashboard: {message}", file=sys.stderr)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``ane-train-dashboard``. Returns its exit code: 0 done, 1 the log cannot be
    read or rich is not there, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="ane-train-dashboard", description="Shows a training run while it goes on."
    )
    parser.add_argument("log", metavar="LOG", help="what --log of ane-train, or JsonLog, writes")
    parser.add_argument(
        "--once",
        action="store_true",
        help="print the present state and end; also where there is no terminal",
    )
    options = parser.parse_args(arguments)
    try:
        from rich.console import Console

        from ._picture import Picture
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        return _fail("this needs rich: pip install 'ane-train[dashboard]'")
    console = Console()
    if not options.once and not console.is_terminal:
        parser.error("the output is no terminal; --once prints the present state")
    picture = Picture(LogFile(options.log))
    try:
        if not options.once:
            _follow(picture, console)
        picture.log.poll()
        if not picture.log.exists:
            return _fail(f"{options.log}: no such file")
        console.print(picture.render(console))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        return _fail(f"{options.log}: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
