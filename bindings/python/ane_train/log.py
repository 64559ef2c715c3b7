"""The JSON log of a training run, one object a line, as ``ane-train train --log`` writes it: what
``python -m ane_train.dashboard`` shows. docs/file-formats.md describes it."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from .enums import EventKind
from .results import Evaluation, FitEvent, KernelReport, StepResult

if TYPE_CHECKING:
    from .session import Session

__all__ = ["JsonLog"]

_STEP_FIELDS = (
    "step", "skipped", "tokens", "tokens_seen", "bytes_staged", "engine_evaluations",
    "engine_flops", "host_flops", "engine_bytes_in", "engine_bytes_out", "retries", "fallbacks",
    "audits", "loss", "grad_norm", "learning_rate", "loss_scale", "seconds", "forward_seconds",
    "backward_seconds", "loss_seconds", "optimizer_seconds", "staging_seconds", "engine_seconds",
    "host_seconds", "copy_seconds", "audit_error")  # fmt: skip
_MEMORY_FIELDS = ("weights", "gradients", "optimizer", "staged", "activations", "workspace",
                  "total")  # fmt: skip
# Keys of the log, and of the report.
_KERNEL_FIELDS = {
    "label": "label", "where": "where", "reason": "reason", "runs": "runs",
    "evaluations": "engine_evaluations", "retries": "retries", "fallbacks": "fallbacks",
    "engine_flops": "engine_flops", "host_flops": "host_flops", "audits": "audits",
    "audit_error": "audit_error", "engine_seconds": "engine_seconds",
    "host_seconds": "host_seconds", "copy_seconds": "copy_seconds"}  # fmt: skip
_PLACE_FIELDS = ("label", "where", "reason", "retries", "fallbacks")


def _peak_resident_bytes() -> int:
    """The most memory that this process has had at a time; macOS counts bytes, Linux KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _value(value: Any) -> Any:
    """JSON has no word for numbers that are not finite."""
    if isinstance(value, bool):
        return int(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


class JsonLog:
    """Writes the log of a session's run; each record is in the file before the call returns.

    ``session.fit(rows, steps=100, callback=log)`` and ``session.train`` with the same argument
    write all of it; a loop of one's own calls ``step`` and the others. The last record is written
    when a ``with`` statement ends, or by ``close``.

    Args:
        path: the file. OSError when it cannot be written.
        session: whose run it is.
        steps: the number of the run's last step, for the time that is left; 0: not known.
        append: go on with the file, as a resumed run does, instead of beginning anew.
        settings: what else describes the run; ``model`` and ``device`` are the dashboard's title.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        session: Session,
        *,
        steps: int = 0,
        append: bool = False,
        **settings: object,
    ) -> None:
        self._file: IO[str] = open(path, "a" if append else "w", encoding="utf-8", newline="\n")
        self._session = session
        self._step = session.step_count
        self._reports: list[KernelReport] = []
        texts = {key: str(value) for key, value in settings.items()}
        if steps:
            texts["steps"] = str(steps)
        memory = {key: getattr(session.memory_plan, key) for key in _MEMORY_FIELDS}
        # The settings come first: they cannot replace what the format says.
        self._write(
            "start",
            **{**texts, "time": int(time.time()), "first_step": self._step, "memory": memory},
        )
        self._write_places()

    def _write(self, event: str, **fields: Any) -> None:
        record = {"event": event, **{key: _value(value) for key, value in fields.items()}}
        # In one piece, so that a reader sees at most one incomplete line.
        self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def _write_places(self) -> None:
        """Where the programs of the session run, if that is not as it was."""

        def places(reports: Iterable[KernelReport]) -> list[tuple[Any, ...]]:
            return [tuple(getattr(report, key) for key in _PLACE_FIELDS) for report in reports]

        before, self._reports = self._reports, self._session.kernel_reports
        if places(before) != places(self._reports):
            self._write("kernels", step=self._step, kernels=self._kernels())

    def _kernels(self) -> list[dict[str, Any]]:
        return [
            {key: _value(getattr(report, name)) for key, name in _KERNEL_FIELDS.items()}
            for report in self._reports
        ]

    def __call__(self, event: FitEvent) -> None:
        """A callback of ``Session.fit`` and ``Session.train``."""
        if event.kind == EventKind.STEP:
            self.step(event.step)
        elif event.kind == EventKind.EVAL and event.evaluation is not None:
            self.evaluation(event.evaluation)
        elif event.kind == EventKind.SAVE and event.checkpoint is not None:
            self.save(event.checkpoint)

    def step(self, result: StepResult) -> None:
        """After each step."""
        self._step = result.step
        self._write(
            "step",
            **{key: getattr(result, key) for key in _STEP_FIELDS},
            peak_resident_bytes=_peak_resident_bytes(),
        )
        self._write_places()

    def evaluation(self, result: Evaluation) -> None:
        """Of the weights as they are."""
        try:
            perplexity = math.exp(result.loss)
        except OverflowError:
            perplexity = math.inf
        self._write(
            "eval", step=self._step, loss=result.loss, perplexity=perplexity, seconds=result.seconds
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """The path of a checkpoint."""
        self._write("save", step=self._step, path=os.fspath(path))

    def sample(self, text: str) -> None:
        """What the model writes now, the prompt included."""
        self._write("sample", step=self._step, text=text)

    def close(self, reason: str = "", interrupted: bool = False) -> None:
        """Writes the last record and closes the file; once is enough.

        Args:
            reason: why the run ended, in one line; "": it is done.
        """
        if self._file.closed:
            return
        if not self._session.closed:
            self._reports = self._session.kernel_reports
        self._write(
            "end",
            step=self._step,
            interrupted=interrupted,
            reason=reason or f"done after step {self._step}",
            kernels=self._kernels(),
        )
        self._file.close()

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.close(f"interrupted after step {self._step}", interrupted=True)
        elif error is not None:
            self.close(f"failed after step {self._step}: {error}")
        else:
            self.close()
