"""The JSON log, plots and progress bars; with the packages that they use, and without them."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.figure
import pytest

from ane_train import log as log_module
from ane_train._run import LogFile
from ane_train.log import JsonLog
from ane_train.plot import plot
from ane_train.progress import bar

from run_logs import cpu_log  # noqa: F401  (a fixture)

Step = make_dataclass("Step", [(name, Any, 0) for name in log_module._STEP_FIELDS])
Memory = make_dataclass("Memory", [(name, int, 8) for name in log_module._MEMORY_FIELDS])
Report = make_dataclass("Report", [(name, Any, 0) for name in log_module._KERNEL_FIELDS.values()])


@dataclass
class Eval:
    loss: float
    seconds: float = 0.5
    tokens: int = 10


def test_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    report = Report(label="block_forward", where="cpu", reason="")
    with JsonLog(path) as log:
        log.start(0, 10, Memory(), {"model": "tiny", "layers": 2})
        log.kernels(0, [report])
        log.evaluation(0, Eval(math.log(7)))
        log.step(Step(step=1, loss=2.5, learning_rate=0.1, seconds=1.0, tokens=3, skipped=True))
        log.kernels(1, [report])  # nothing moved
        report.where, report.reason = "ane+cpu", "gather"
        log.kernels(1, [report])
        log.step(Step(step=1, loss=math.nan, learning_rate=0.1))
        log.sample(1, "once\nmore ü")
        log.save(1, tmp_path / "step-1")
        log.evaluation(1, Eval(1e6))
        log.end(1, "done", [report])
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [record["event"] for record in records] == [
        "start", "kernels", "eval", "step", "kernels", "step", "sample", "save", "eval", "end"]
    assert records[2]["perplexity"] == pytest.approx(7)
    assert records[3]["skipped"] == 1 and records[5]["loss"] is None
    assert records[8]["perplexity"] is None
    file = LogFile(path)
    file.poll()
    run = file.run
    assert file.damaged == [] and run.skipped == 1 and run.last_step == 10
    assert run.settings == {"model": "tiny", "layers": "2", "steps": "10"}
    assert run.memory["total"] == 8 and run.peak_resident_bytes > 1 << 20
    assert run.kernels[0].where == "ane+cpu" and run.samples[0].text == "once\nmore ü"
    assert run.end is not None and not run.end.interrupted


def test_log_has_what_the_command_writes(tmp_path: Path, cpu_log: Path) -> None:
    """The same fields in each kind of record."""
    path = tmp_path / "run.jsonl"
    with JsonLog(path) as log:
        log.start(0, 10, Memory())
        log.kernels(0, [Report(label="a", where="cpu", reason="")])
        log.step(Step(step=1))
        log.evaluation(1, Eval(1.0))
        log.save(1, "path")
        log.sample(1, "text")
        log.end(1, "done", [Report(label="a", where="cpu", reason="")])
    ours, theirs = ({record["event"]: record for record in map(json.loads, text.splitlines())}
                    for text in (path.read_text(), cpu_log.read_text()))
    assert ours.keys() == theirs.keys()
    for event in ours.keys() - {"start"}:
        assert ours[event].keys() == theirs[event].keys(), event
    assert ours["start"].keys() <= theirs["start"].keys()
    assert ours["start"]["memory"].keys() == theirs["start"]["memory"].keys()
    for event in ("kernels", "end"):
        assert ours[event]["kernels"][0].keys() == theirs[event]["kernels"][0].keys()


def test_log_goes_on_or_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    for append, lines in ((False, 1), (True, 2), (False, 1)):
        with JsonLog(path, append) as log:
            log.save(1, "path")
            assert path.read_text().count("\n") == lines  # before it is closed
        log.close()
    with pytest.raises(FileNotFoundError):
        JsonLog(tmp_path / "none" / "run.jsonl")


def test_plot() -> None:
    matplotlib.use("Agg")
    history = [(0, Eval(3.0)), Step(step=1, loss=2.0, learning_rate=0.1),
               Step(step=2, loss=1.0, learning_rate=0.2), (2, Eval(1.5))]
    axes = plot(history)
    data = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert data == {"training": [[1, 2], [2, 1]], "validation": [[0, 3], [2, 1.5]]}
    rates = next(other for other in axes.figure.axes if other is not axes)
    assert rates.get_lines()[0].get_xydata().tolist() == [[1, 0.1], [2, 0.2]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training", "validation", "learning rate"]
    own = matplotlib.figure.Figure().subplots()
    assert plot(history, ax=own) is own
    with pytest.raises(ValueError, match="seen none"):
        plot([])


def test_plot_of_a_log(cpu_log: Path, tmp_path: Path) -> None:
    matplotlib.use("Agg")
    lines = plot(cpu_log).get_lines()
    assert lines[0].get_xdata().tolist() == list(range(1, 31))
    with pytest.raises(FileNotFoundError, match="none"):
        plot(tmp_path / "none")
    (tmp_path / "log").write_text("nonsense\n")
    with pytest.raises(ValueError, match="log:1: not JSON"):
        plot(str(tmp_path / "log"))


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'ane-train\[plot\]'"):
        plot([Step(step=1, loss=1.0)])


def test_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(3, "tuning") as shown:
        shown.update(Step(step=1, loss=1.25, learning_rate=1e-3))
        shown.update(Step(step=1, loss=9.0, learning_rate=1e-3, skipped=1))
        shown.update(Step(step=2, loss=0.5, learning_rate=2e-3))
        assert shown._bar.n == 2
    text = capsys.readouterr().err
    assert "tuning" in text and "2/3" in text and "loss=0.500" in text and "2.00e-03" in text


def test_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    with bar(3) as shown:
        shown.update(Step(step=1, loss=1.0))
    assert capsys.readouterr() == ("", "")
