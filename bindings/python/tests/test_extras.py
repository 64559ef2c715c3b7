"""The JSON log, plots and progress bars; with the packages that they use, and without them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.figure
import pytest

import ane_train
from ane_train import Dataset, Session, log as log_module
from ane_train._run import LogFile, Run
from ane_train.log import JsonLog
from ane_train.plot import plot
from ane_train.progress import bar

from conftest import BATCH
from run_logs import cpu_log  # noqa: F401  (a fixture)

Make = Callable[..., Session]


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def run_of(path: Path) -> Run:
    file = LogFile(path)
    file.poll()
    assert file.damaged == [] and file.incomplete == 0
    return file.run


def test_log_of_a_fit(make_session: Make, dataset: Dataset, tmp_path: Path) -> None:
    path, session = tmp_path / "run.jsonl", make_session()
    train, validation = dataset.split(0.2)
    with JsonLog(path, session, steps=6, model="tiny", layers=2) as log:
        session.fit(train, validation, steps=6, callback=log, eval_every=3, save_every=6,
                    checkpoint_root=tmp_path / "checkpoints")  # fmt: skip
        log.sample("once\nmore ü")
    run = run_of(path)
    assert [record["event"] for record in records_of(path)] == [
        "start", "kernels", *["step"] * 3, "eval", *["step"] * 3, "eval", "save", "sample",
        "end"]  # fmt: skip
    assert run.losses == [step.loss for step in session.history]
    assert [tuple(e) for e in run.evaluations] == [
        (s.step, s.evaluation.loss) for s in session.history if s.evaluation
    ]
    assert run.saved == session.history[-1].checkpoint
    assert run.settings == {"model": "tiny", "layers": "2", "steps": "6"}
    assert run.memory["total"] == session.memory_plan.total
    assert run.peak_resident_bytes > session.memory_plan.total
    assert [kernel.label for kernel in run.kernels] == [k.label for k in session.kernel_reports]
    assert run.samples[0].text == "once\nmore ü"
    assert run.end is not None and run.end.reason == "done after step 6"


def test_log_of_a_loop(make_session: Make, dataset: Dataset, tmp_path: Path) -> None:
    """Written step by step; a run that breaks off says why, and one that is resumed goes on."""
    path, session = tmp_path / "run.jsonl", make_session()
    with pytest.raises(RuntimeError), JsonLog(path, session) as log:
        log.evaluation(session.evaluate(dataset, 2))
        for step in session.train(dataset, steps=9, callback=log):
            assert records_of(path)[-1]["step"] == step.step
            if step.step == 2:
                raise RuntimeError("the disk is on fire")
    assert records_of(path)[-1]["reason"] == "failed after step 2: the disk is on fire"
    with pytest.raises(KeyboardInterrupt), JsonLog(path, session, append=True) as log:
        log.step(session.step(dataset.read(0, BATCH)))
        raise KeyboardInterrupt
    run = run_of(path)
    assert run.steps == [1, 2, 3] and run.first_step == 2 and run.evaluations[0].step == 0
    assert run.end is not None and run.end.interrupted
    with JsonLog(path, session):
        pass
    assert run_of(path).steps == []


def test_log_outlives_its_session(make_session: Make, tmp_path: Path) -> None:
    session = make_session()
    with JsonLog(tmp_path / "log", session) as log:
        session.close()
    log.close()
    assert len(records_of(tmp_path / "log")[-1]["kernels"]) > 0
    with pytest.raises(FileNotFoundError):
        JsonLog(tmp_path / "none" / "run.jsonl", make_session())


def test_log_of_what_is_not_finite(make_session: Make, dataset: Dataset, tmp_path: Path) -> None:
    session = make_session()
    step = session.step(dataset.read(0, BATCH))
    with JsonLog(tmp_path / "log", session) as log:
        log.step(replace(step, loss=math.nan, skipped=True))
        log.evaluation(ane_train.Evaluation(loss=1e6, tokens=1, seconds=1.0))
    records = records_of(tmp_path / "log")
    assert records[2]["loss"] is None and records[2]["skipped"] == 1
    assert records[3]["perplexity"] is None


def test_log_tells_when_a_program_moves(
    make_session: Make, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session()
    with JsonLog(tmp_path / "log", session) as log:
        log.step(session.step(dataset.read(0, BATCH)))
        moved = [replace(report, where="ane+cpu") for report in session.kernel_reports]
        monkeypatch.setattr(Session, "kernel_reports", moved)
        log.step(session.step(dataset.read(0, BATCH)))
        log.step(session.step(dataset.read(0, BATCH)))
    events = [record["event"] for record in records_of(tmp_path / "log")]
    assert events == ["start", "kernels", "step", "step", "kernels", "step", "end"]


def test_log_has_what_the_command_writes(
    make_session: Make, dataset: Dataset, tmp_path: Path, cpu_log: Path
) -> None:
    """The same fields in each kind of record."""
    session = make_session()
    with JsonLog(tmp_path / "log", session, steps=1) as log:
        session.fit(dataset, dataset, steps=1, callback=log, eval_every=1, save_every=1,
                    checkpoint_root=tmp_path)  # fmt: skip
        log.sample("text")
    ours, theirs = ({record["event"]: record for record in records_of(path)}
                    for path in (tmp_path / "log", cpu_log))  # fmt: skip
    assert ours.keys() == theirs.keys()
    for event in ours.keys() - {"start"}:
        assert ours[event].keys() == theirs[event].keys(), event
    assert ours["start"].keys() <= theirs["start"].keys()
    assert ours["start"]["memory"].keys() == theirs["start"]["memory"].keys()
    for event in ("kernels", "end"):
        assert ours[event]["kernels"][0].keys() == theirs[event]["kernels"][0].keys()


def test_log_has_what_the_results_tell() -> None:
    def names(kind: Any) -> set[str]:
        return {field.name for field in fields(kind)}

    assert set(log_module._STEP_FIELDS) == names(ane_train.StepResult) - {
        "evaluation", "checkpoint"}  # fmt: skip
    assert set(log_module._MEMORY_FIELDS) == names(ane_train.MemoryPlan)
    assert set(log_module._KERNEL_FIELDS.values()) <= names(ane_train.KernelReport)


def test_plot(session: Session, dataset: Dataset) -> None:
    matplotlib.use("Agg")
    session.fit(dataset, dataset, steps=4, eval_every=2, eval_windows=2)
    history = session.history
    axes = session.plot()
    data = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert data == {
        "training": [[step.step, step.loss] for step in history],
        "validation": [[s.step, s.evaluation.loss] for s in history if s.evaluation]}  # fmt: skip
    assert len(data["validation"]) == 2
    rates = next(other for other in axes.figure.axes if other is not axes)
    assert rates.get_lines()[0].get_xydata().tolist() == [[s.step, 1e-3] for s in history]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training", "validation", "learning rate"]  # fmt: skip
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


def test_plot_without_matplotlib(
    session: Session, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.step(dataset.read(0, BATCH))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'ane-train\[plot\]'"):
        session.plot()


def test_bar(session: Session, dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    step = session.step(dataset.read(0, BATCH))
    with bar(3, "tuning") as shown:
        shown.update(replace(step, loss=1.25))
        shown.update(replace(step, skipped=True))
        shown.update(replace(step, loss=0.5, learning_rate=2e-3))
        assert shown._bar.n == 2
    text = capsys.readouterr().err
    assert "tuning" in text and "2/3" in text and "loss=0.500" in text and "2.00e-03" in text


def test_bar_of_a_run(
    session: Session, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    session.fit(dataset, steps=2, progress=True)
    assert "2/2" in capsys.readouterr().err
    list(session.train(dataset, steps=3, progress=True))
    assert "3/3" in capsys.readouterr().err


def test_bar_without_tqdm(
    session: Session,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    session.fit(dataset, steps=1, progress=True)
    assert capsys.readouterr() == ("", "")
