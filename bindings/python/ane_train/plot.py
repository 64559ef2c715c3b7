"""Charts of a training run. Needs matplotlib: ``pip install 'ane-train[plot]'``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._run import LogFile, Run
from .results import StepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]


def _run_of(history: Iterable[StepResult]) -> Run:
    run = Run()
    for step in history:
        run.add(
            {
                "event": "step",
                "step": step.step,
                "loss": step.loss,
                "learning_rate": step.learning_rate,
            }
        )
        if step.evaluation is not None:
            run.add({"event": "eval", "step": step.step, "loss": step.evaluation.loss})
    return run


def _run_of_log(path: str | os.PathLike[str]) -> Run:
    file = LogFile(path)
    file.poll()
    if not file.exists:
        raise FileNotFoundError(f"no such log: '{file.path}'")
    if file.damaged:
        line, reason = file.damaged[0]
        raise ValueError(f"{file.path}:{line}: {reason}")
    return file.run


def plot(history: Iterable[StepResult] | str | os.PathLike[str], ax: Axes | None = None) -> Axes:
    """Draws the loss (nats a token) by step, that of the validation data, and on an axis of its
    own at the right the learning rate.

    Args:
        history: ``Session.history``, or the path of a JSON log.
        ax: where to draw; None: a new figure.

    Returns the axes of the losses. Raises ImportError without matplotlib, ValueError where there
    is nothing to draw."""
    run = _run_of_log(history) if isinstance(history, (str, os.PathLike)) else _run_of(history)
    if not run.steps and not run.evaluations:
        raise ValueError("expected at least one step or evaluation in the history, seen none")
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError("plot needs matplotlib: pip install 'ane-train[plot]'") from error
        ax = pyplot.subplots()[1]
    lines = []
    if run.steps:
        lines += ax.plot(run.steps, run.losses, label="training", linewidth=1)
    if run.evaluations:
        steps, losses = zip(*run.evaluations)
        lines += ax.plot(steps, losses, label="validation", marker="o")
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nats a token)")
    if run.steps:
        rates = ax.twinx()
        lines += rates.plot(
            run.steps,
            run.learning_rates,
            label="learning rate",
            color="gray",
            linewidth=1,
            linestyle="--",
        )
        rates.set_ylabel("learning rate")
        rates.set_ylim(bottom=0)
    ax.legend(handles=lines)
    return ax
