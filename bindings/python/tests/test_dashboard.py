"""The dashboard on logs that `ane-train train` wrote, whole, growing and damaged."""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from ane_train._chart import Chart, limits
from ane_train._picture import Picture
from ane_train._run import LogFile, Run
from ane_train.dashboard import main

from run_logs import cpu_log, engine_log  # noqa: F401  (fixtures)


def records_of(log: Path, event: str) -> list[dict[str, object]]:
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [record for record in records if record["event"] == event]


def read(log: Path) -> LogFile:
    file = LogFile(log)
    file.poll()
    return file


def picture_of(file: LogFile, width: int = 120, height: int = 0, now: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, height=40, color_system=None)
    console.print(Picture(file).render(console, height, now))
    return console.file.getvalue()


def test_run_has_what_the_log_says(cpu_log: Path) -> None:
    file = read(cpu_log)
    run, steps = file.run, records_of(cpu_log, "step")
    assert file.damaged == [] and file.incomplete == 0
    assert run.steps == list(range(1, 31)) and run.last_step == 30 and run.step == 30
    assert run.losses == [record["loss"] for record in steps]
    assert run.learning_rates == [record["learning_rate"] for record in steps]
    evaluations = records_of(cpu_log, "eval")
    assert [tuple(e) for e in run.evaluations] == [(e["step"], e["loss"]) for e in evaluations]
    assert run.best is not None and run.best.loss == min(e["loss"] for e in evaluations)
    assert [s.text for s in run.samples] == [s["text"] for s in records_of(cpu_log, "sample")]
    assert run.saved == records_of(cpu_log, "save")[-1]["path"]
    assert run.end is not None and run.end.reason == "done after step 30"
    assert run.memory == records_of(cpu_log, "start")[0]["memory"]
    assert {kernel.where for kernel in run.kernels} == {"cpu"}
    recent = steps[-Run.RECENT :]
    seconds = sum(record["seconds"] for record in recent)
    assert run.tokens_per_second == pytest.approx(sum(r["tokens"] for r in recent) / seconds)
    assert sum(run.phases.values()) == pytest.approx(seconds / len(recent), rel=0.01)
    assert run.seconds_left is None and run.engine_share == 0


def test_picture_shows_the_run(cpu_log: Path) -> None:
    picture = picture_of(read(cpu_log))
    for part in (
        "step 30 of 30, 100 %",
        "done after step 30",
        "validation",
        "tokens/s",
        "forward",
        "backward",
        "optimizer",
        "staging",
        "gradients",
        "planned",
        "learning rate",
        "block_backward",
        "1 and",
        "saved ",
    ):
        assert part in picture, part
    assert Chart.MARK in picture and "⣀" in picture


def test_engine_and_its_failures_are_shown(engine_log: Path) -> None:
    file = read(engine_log)
    steps = records_of(engine_log, "step")
    assert file.run.fallbacks == sum(record["fallbacks"] for record in steps) > 0
    kernels = {kernel.label: kernel for kernel in file.run.kernels}
    assert {kernel.where for kernel in kernels.values() if kernel.engine_seconds} == {"cpu"}
    assert any("status=0x" in kernel.reason for kernel in kernels.values())
    picture = picture_of(file, width=200)
    assert f"{file.run.fallbacks} parts of steps fell back to the CPU" in picture
    assert all(kernel.reason[:40] in picture for kernel in kernels.values())


def test_places_are_known_before_the_end(engine_log: Path, tmp_path: Path) -> None:
    """While the engine still worked it had programs, and the log said so."""
    run = Run()
    for line in engine_log.read_text().splitlines():
        run.add(json.loads(line))
        if run.steps:
            break
    assert run.end is None and run.engine_share > 0.5
    assert any("ane" in kernel.where for kernel in run.kernels)


@pytest.mark.parametrize("width", [20, 60, 89, 90, 200])
def test_picture_fits_the_width(cpu_log: Path, width: int) -> None:
    lines = picture_of(read(cpu_log), width).splitlines()
    assert max(map(len, lines)) <= width


def test_curve_fills_the_height(cpu_log: Path) -> None:
    file = read(cpu_log)
    assert len(picture_of(file, 120, 60).splitlines()) == 60
    assert len(picture_of(file, 120, 80).splitlines()) == 80


def test_growing_file(cpu_log: Path, tmp_path: Path) -> None:
    """Whatever part of the file is there, what it says is understood, and nothing twice."""
    data, copy = cpu_log.read_bytes(), tmp_path / "log"
    file = LogFile(copy)
    assert not file.poll() and "waiting for" in picture_of(file)
    with copy.open("wb") as out:
        for begin in range(0, len(data), 997):
            out.write(data[begin : begin + 997])
            out.flush()
            assert file.poll()
            picture_of(file)
            seen = data[: begin + 997]
            assert file.damaged == []
            assert len(file.run.steps) == seen[: seen.rfind(b"\n") + 1].count(b'"event":"step"')
            assert file.incomplete == len(seen) - seen.rfind(b"\n") - 1
    assert not file.poll()
    assert vars(file.run) == vars(read(cpu_log).run)


def test_incomplete_last_line_is_shown(cpu_log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "log"
    copy.write_bytes(cpu_log.read_bytes()[:-10])
    assert "the last line is incomplete" in picture_of(read(copy))


@pytest.mark.parametrize("way", ["truncated", "overwritten", "rotated"])
def test_log_that_is_begun_anew(cpu_log: Path, tmp_path: Path, way: str) -> None:
    """In the same file, shorter or longer, or in a new one of the same name."""
    data, copy = cpu_log.read_bytes(), tmp_path / "log"
    copy.write_bytes(b"".join(data.splitlines(True)[:12]))
    file = LogFile(copy)
    file.poll()
    before = list(file.run.steps)
    other = data.replace(b'"time":1', b'"time":2', 1)
    if way == "truncated":
        copy.write_bytes(b"".join(other.splitlines(True)[:4]))
    elif way == "overwritten":
        copy.write_bytes(other)
    else:
        copy.rename(tmp_path / "log.1")
        assert file.poll() and not file.exists and file.run.steps == before
        copy.write_bytes(data)
    assert file.poll()
    assert vars(file.run) == vars(read(copy).run)
    assert file.lines == copy.read_bytes().count(b"\n")


@pytest.mark.parametrize(
    "line, reason",
    [
        ("not JSON at all", "not JSON"),
        ('{"event":"step"', "not JSON"),
        ("[1, 2]", "expected an object, seen [1, 2]"),
        ('{"loss":1}', "an object with an 'event'"),
        ('{"event":"step","step":1}', "without 'loss'"),
        ('{"event":"step","step":"one","loss":1}', "for 'step'"),
        ('{"event":"step","step":-1,"loss":1}', "expected a count"),
        ('{"event":"step","step":1e999,"loss":1}', "expected a count"),
        ('{"event":"step","step":null,"loss":1}', "expected a count"),
        ('{"event":"step","step":1,"loss":1,"tokens":"many"}', "for 'tokens'"),
        ('{"event":"start","memory":7}', "expected an object, seen 7"),
        ('{"event":"kernels","step":0,"kernels":{}}', "expected a list"),
        ('{"event":"kernels","step":0,"kernels":[1]}', "expected an object, seen 1"),
        ('{"event":"sample","step":1,"text":3}', "expected a text"),
        ('{"event":"end","step":1}', "without 'reason'"),
        ("[" * 100000, "not JSON"),
        ("\udcff\udcfe", "not JSON"),
    ],
)
def test_damaged_lines(cpu_log: Path, tmp_path: Path, line: str, reason: str) -> None:
    """They are shown with their number; the rest of the log counts as if they were not there."""
    copy = tmp_path / "log"
    lines = cpu_log.read_bytes().splitlines(True)
    lines.insert(9, line.encode("utf-8", "surrogateescape") + b"\n")
    copy.write_bytes(b"".join(lines))
    file = read(copy)
    assert [damage.line for damage in file.damaged] == [10]
    assert reason in file.damaged[0].reason
    assert vars(file.run) == vars(read(cpu_log).run)
    assert "line 10 is no record" in picture_of(file)


def test_records_of_a_newer_version_are_passed_over(cpu_log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "log"
    copy.write_bytes(b'{"event":"weather","sky":"blue"}\n' + cpu_log.read_bytes())
    assert read(copy).damaged == []
    assert vars(read(copy).run) == vars(read(cpu_log).run)


def test_a_file_without_lines(tmp_path: Path) -> None:
    """Memory is bounded, and a log that begins behind it is read."""
    copy = tmp_path / "log"
    copy.write_bytes(bytes(20 << 20) + b'\n{"event":"step","step":1,"loss":2}\n')
    file = read(copy)
    assert file.run.losses == [2] and len(file.damaged) >= 1
    assert "too long" in file.damaged[0].reason


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '{"event":"step","step":1,"loss":2}\n{"event":"step","step":2,"loss":null}\n'
        '{"event":"eval","step":2,"loss":null}\n'
    )
    file = read(log)
    assert math.isnan(file.run.losses[1]) and file.run.best is None
    assert "the loss is not finite" in picture_of(file)


def test_resumed_run_counts_once(cpu_log: Path, tmp_path: Path) -> None:
    # It was killed after step 20 and goes on from step 10.
    log, lines = tmp_path / "log", cpu_log.read_text().splitlines(True)
    at = {
        step: next(i for i, line in enumerate(lines) if f'"event":"step","step":{step},' in line)
        for step in (11, 21)
    }
    resumed = lines[0].replace('"first_step":0', '"first_step":10')
    log.write_text("".join(lines[: at[21]]) + resumed + "".join(lines[at[11] :]))
    run = read(log).run
    assert run.steps == list(range(1, 31)) and run.first_step == 10
    assert run.losses == read(cpu_log).run.losses
    assert [tuple(e) for e in run.evaluations] == [tuple(e) for e in read(cpu_log).run.evaluations]


def test_time_that_is_left(tmp_path: Path) -> None:
    run = Run()
    run.add({"event": "start", "steps": "100"})
    assert run.seconds_left is None
    for step in (1, 2):
        run.add({"event": "step", "step": step, "loss": 1, "seconds": 0.5, "tokens": 10})
    assert run.seconds_left == pytest.approx(49) and run.tokens_per_second == pytest.approx(20)


def test_quiet_log_is_noticed(cpu_log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "log"
    copy.write_bytes(b"".join(cpu_log.read_bytes().splitlines(True)[:12]))
    file = read(copy)
    assert "nothing new for 1:15" in picture_of(file, now=file.modified + 75)
    assert "nothing new" not in picture_of(file, now=file.modified + 5)


def test_terminal_is_not_obeyed(tmp_path: Path) -> None:
    """A text of the model, or a file name, may hold anything."""
    log = tmp_path / "log"
    evil = "\x1b[2J\x1b]0;title\x07[bold red]text[/]\r\n\u009b31m"
    log.write_text(
        json.dumps({"event": "start", "model": evil, "device": evil})
        + "\n"
        + json.dumps({"event": "sample", "step": 0, "text": evil})
        + "\n"
        + json.dumps({"event": "save", "step": 0, "path": evil})
        + "\n"
    )
    picture = picture_of(read(log))
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", picture) is None
    assert "[bold red]text[/]" in picture


def test_chart() -> None:
    """Dots are where the values are: a diagonal, and a constant in the middle."""
    chart = Chart(4, 2, (0, 7), (0, 7))
    chart.curve(range(8), range(8))
    rows = ["".join(character for character, _ in row) for row in chart.rows()]
    assert rows == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]
    chart = Chart(2, 1, (0, 1), limits([5, 5]))
    chart.curve([0, 1], [5, math.nan])
    chart.mark(1, 5)
    assert [[mark for _, mark in row] for row in chart.rows()] == [[False, True]]
    assert limits([math.nan, math.inf]) == (0, 1)


def run_dashboard(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ane_train.dashboard", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_once(cpu_log: Path) -> None:
    done = run_dashboard("--once", cpu_log, env=dict(os.environ, COLUMNS="100"))
    assert done.returncode == 0 and done.stderr == ""
    assert "done after step 30" in done.stdout and "\x1b" not in done.stdout


def test_mistakes(cpu_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--once", str(tmp_path / "none")]) == 1
    assert "none: no such file" in capsys.readouterr().err
    assert main(["--once", str(tmp_path)]) == 1
    assert "directory" in capsys.readouterr().err
    done = run_dashboard(cpu_log)
    assert done.returncode == 2 and "--once" in done.stderr


def test_without_rich(cpu_log: Path) -> None:
    code = (
        "import sys\nsys.modules['rich'] = None\nfrom ane_train.dashboard import main\n"
        f"sys.exit(main(['--once', {str(cpu_log)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'ane-train[dashboard]'" in done.stderr and "Traceback" not in done.stderr


class Terminal:
    """A dashboard in a terminal of its own."""

    def __init__(self, log: Path, rows: int, columns: int):
        self.master, slave = pty.openpty()
        self.output = ""
        self.resize(rows, columns)
        environment = {k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ane_train.dashboard", str(log)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment, TERM="xterm"),
            # Jobs in the background of a shell ignore Ctrl-C, and so do their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Also when the test has failed."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + 30
        while not re.search(pattern, self.output):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.output[-3000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 1 << 16).decode("utf-8", "replace")


def test_live(cpu_log: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Waits for the log, follows it, notices another size of the window, ends with Ctrl-C."""
    copy, lines = tmp_path / "log", cpu_log.read_bytes().splitlines(True)
    terminal = Terminal(copy, 50, 120)
    request.addfinalizer(terminal.close)
    terminal.wait_for("waiting for")
    with copy.open("wb") as out:
        out.write(b"".join(lines[:15]))
        out.flush()
        terminal.wait_for(r"step \d of 30")
        out.write(b"".join(lines[15:]))
    terminal.wait_for("done after step 30")
    terminal.output = ""
    terminal.resize(50, 70)
    terminal.wait_for("╰─{68}╯")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(timeout=30) == 0
