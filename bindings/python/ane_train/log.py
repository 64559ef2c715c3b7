"""The JSON log of a training run, one object a line, as ``ane-train train --log`` writes it: what
``python -m ane_train.dashboard`` shows. docs/file-formats.md describes it."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any

__all__ = ["JsonLog"]

_STEP_FIELDS = (
    "step", "skipped", "tokens", "tokens_seen", "bytes_staged", "engine_evaluations",
    "engine_flops", "host_flops", "engine_bytes_in", "engine_bytes_out", "retries", "fallbacks",
    "audits", "loss", "grad_norm", "learning_rate", "loss_scale", "seconds", "forward_seconds",
    "backward_seconds", "loss_seconds", "optimizer_seconds", "staging_seconds", "engine_seconds",
    "host_seconds", "copy_seconds", "audit_error")
_MEMORY_FIELDS = ("weights", "gradients", "optimizer", "staged", "activations", "workspace",
                  "total")
# Keys of the log, and of the report where that has another.
_KERNEL_FIELDS = {
    "label": "label", "where": "where", "reason": "reason", "runs": "runs",
    "evaluations": "engine_evaluations", "retries": "retries", "fallbacks": "fallbacks",
    "engine_flops": "engine_flops", "host_flops": "host_flops", "audits": "audits",
    "audit_error": "audit_error", "engine_seconds": "engine_seconds",
    "host_seconds": "host_seconds", "copy_seconds": "copy_seconds"}
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
    """Writes a log; each record is complete on disk before the call returns.

    ``path``: the file. ``append``: go on with it, as a resumed run does, instead of beginning
    anew. Raises OSError when the file cannot be written. Use it in a ``with`` statement, or
    ``close`` it."""

    def __init__(self, path: str | os.PathLike[str], append: bool = False):
        self._file: IO[str] = open(path, "a" if append else "w", encoding="utf-8", newline="\n")
        self._places: list[tuple[Any, ...]] = []

    def _write(self, event: str, **fields: Any) -> None:
        record = {"event": event, **{key: _value(value) for key, value in fields.items()}}
        # In one piece, so that a reader sees at most one incomplete line.
        self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()

    def start(self, first_step: int, steps: int, memory_plan: Any = None,
              settings: Mapping[str, object] | None = None) -> None:
        """Before the first step.

        ``first_step``: steps done before; ``steps``: the number of the last one, or 0 when it is
        not known. ``memory_plan``: the session's. ``settings``: whatever describes the run;
        "model" and "device" are shown as its title."""
        texts = {key: str(value) for key, value in (settings or {}).items()}
        if steps:
            texts["steps"] = str(steps)
        memory = {} if memory_plan is None else {
            key: getattr(memory_plan, key) for key in _MEMORY_FIELDS}
        # The settings come first: they cannot replace what the format says.
        self._write("start", **{**texts, "time": int(time.time()), "first_step": first_step,
                                "memory": memory})

    def kernels(self, step: int, reports: Iterable[Any]) -> None:
        """Where the programs of the session run; written when it is not as it was."""
        reports = list(reports)
        places = [tuple(getattr(report, key) for key in _PLACE_FIELDS) for report in reports]
        if places != self._places:
            self._write("kernels", step=step, kernels=self._kernels(reports))
        self._places = places

    @staticmethod
    def _kernels(reports: Iterable[Any]) -> list[dict[str, Any]]:
        return [{key: _value(getattr(report, name)) for key, name in _KERNEL_FIELDS.items()}
                for report in reports]

    def step(self, result: Any) -> None:
        """After each step, with its ``StepResult``."""
        self._write("step", **{key: getattr(result, key) for key in _STEP_FIELDS},
                    peak_resident_bytes=_peak_resident_bytes())

    def evaluation(self, step: int, result: Any) -> None:
        """An ``EvalResult`` of the weights after ``step``."""
        try:
            perplexity = math.exp(result.loss)
        except OverflowError:
            perplexity = math.inf
        self._write("eval", step=step, loss=result.loss, perplexity=perplexity,
                    seconds=result.seconds)

    def save(self, step: int, path: str | os.PathLike[str]) -> None:
        """A checkpoint."""
        self._write("save", step=step, path=os.fspath(path))

    def sample(self, step: int, text: str) -> None:
        """What the model writes after ``step``, the prompt included."""
        self._write("sample", step=step, text=text)

    def end(self, step: int, reason: str, reports: Iterable[Any] = (),
            interrupted: bool = False) -> None:
        """The last record. ``reason``: in one line; ``reports``: of the session's kernels."""
        self._write("end", step=step, interrupted=interrupted, reason=reason,
                    kernels=self._kernels(reports))

    def close(self) -> None:
        """Closes the file; once is enough."""
        self._file.close()

    def __enter__(self) -> JsonLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()
