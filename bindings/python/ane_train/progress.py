"""A progress bar where tqdm is installed (``pip install 'ane-train[progress]'``), else nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .results import StepResult

__all__ = ["Bar", "bar"]


class Bar:
    """Shows how far a run has come: a context manager, fed with the result of each step."""

    def __init__(self, total: int, description: str):
        self._bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, desc=description, unit="step")

    def update(self, result: StepResult) -> None:
        """One step more, unless its update was skipped."""
        if self._bar is None:
            return
        self._bar.set_postfix(
            loss=f"{result.loss:.3f}", rate=f"{result.learning_rate:.2e}", refresh=False
        )
        self._bar.update(0 if result.skipped else 1)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def bar(total: int, description: str = "training") -> Bar:
    """A bar of ``total`` steps, in a notebook too. Without tqdm nothing is shown."""
    return Bar(total, description)
