"""Training sessions."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, Memory, enumeration, fill, keep, option_types, record
from ._support import struct_array
from .adapter import Adapter
from .data import Batch, Dataset, batch_struct, micro_batch, micro_batches
from .device import Device
from .enums import EventKind, FitEnd
from .errors import OutOfRangeError
from .model import Model, ModelConfig
from .options import FitOptions, SessionOptions
from .properties import Properties
from .results import DocumentLoss, Evaluation, FitEvent, FitResult, KernelReport, MemoryPlan
from .results import StepResult, StepSummary

Callback = Callable[[FitEvent], object]
Callbacks = Callback | Mapping[str, Callback]

# A run's steps and evaluations for `plot`; older ones are forgotten.
HISTORY_LENGTH = 100_000

_DOCUMENT_LOSS = np.dtype(
    [("row", "u8"), ("document", "u4"), ("begin", "u4"), ("loss_sum", "f8"), ("tokens", "u8")]
)


def _options(values: Mapping[str, Any]) -> _native.anet_session_options:
    return fill(_native.anet_session_options(), SessionOptions, values)


def options_from_json(text: str) -> SessionOptions:
    """Session options from a JSON object whose keys are their names, enumerations by name.

    Errors:
        InvalidConfigError with line and column; an unknown key names the nearest known one.
    """
    struct = _native.anet_session_options()
    _native.anet_session_options_from_json(text, struct)
    return _read_options(struct)


def _read_options(struct: _native.anet_session_options) -> SessionOptions:
    values = SessionOptions()
    for name, hint in option_types(SessionOptions).items():
        value = getattr(struct, name)
        convert = enumeration(hint) or (bool if hint is bool else None)
        values[name] = value if convert is None else convert(value)  # type: ignore[literal-required]
    return values


class Session(Handle[_native.anet_session]):
    """Trains a model, or an adapter of a model that stays as it is. One thread at a time, except
    `cancel`.

    A step is atomic: when it fails, is cancelled or interrupted with Ctrl-C, weights and optimizer
    are as before. While a session trains a model, the weights belong to it.

    Args:
        device: where it runs.
        trained: the model, or the adapter.
    """

    __slots__ = ("history",)

    #: The latest steps, evaluations among them, for `plot`.
    history: deque[StepResult]

    def __init__(
        self, device: Device, trained: Model | Adapter, **options: Unpack[SessionOptions]
    ) -> None:
        struct = _options(options)
        if isinstance(trained, Adapter):
            self._object = _native.anet_session_create_adapter(
                device._handle, trained._handle, struct
            )
        else:
            self._object = _native.anet_session_create(device._handle, trained._handle, struct)
        self.history = deque(maxlen=HISTORY_LENGTH)

    @classmethod
    def resume(
        cls,
        device: Device,
        path: str | os.PathLike[str],
        *,
        model: Model | None = None,
        **options: Unpack[SessionOptions],
    ) -> Session:
        """Continues from a checkpoint, or from the latest under a root: bit for bit as if training
        had never stopped (F32, same thread count).

        Args:
            model: the one that was adapted, for a checkpoint of an adapter.
            options: none: the checkpoint's. Else they replace all of those.
        """
        struct = _options(options) if options else None
        name = os.fspath(path)
        if model is None:
            session = cls._wrap(_native.anet_session_resume(device._handle, name, struct))
        else:
            session = cls._wrap(
                _native.anet_session_resume_adapter(device._handle, model._handle, name, struct)
            )
        session.history = deque(maxlen=HISTORY_LENGTH)
        return session

    @staticmethod
    def plan_memory(
        device: Device,
        trained: Model | ModelConfig | Adapter,
        **options: Unpack[SessionOptions],
    ) -> MemoryPlan:
        """The bytes that a session would use; allocates none of them."""
        struct, plan = _options(options), _native.anet_memory_plan()
        if isinstance(trained, Adapter):
            _native.anet_session_plan_adapter_memory(device._handle, trained._handle, struct, plan)
        else:
            config = trained.config if isinstance(trained, Model) else trained
            _native.anet_session_plan_memory(device._handle, config._struct(), struct, plan)
        return record(MemoryPlan, plan)

    # --- Steps ---

    def step(
        self,
        tokens: ArrayLike | Batch | Sequence[Batch],
        targets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> StepResult:
        """Forward, backward and update over one micro-batch or several, whose gradients are averaged
        over all their counted tokens.

        Args:
            tokens: int32 [batch_size, sequence_length], used in place; or a Batch, or several.
            targets: the same shape; -1 where nothing is to be learned.
            positions: the same shape, each token's place in its document; None: 0, 1, 2, ...

        Errors:
            ShapeMismatchError, OutOfRangeError, InvalidDataError, NumericError, Cancelled.
        """
        structs = [batch_struct(batch) for batch in micro_batches(tokens, targets, positions)]
        first = structs[0]
        if len(structs) > 1:
            array = struct_array(_native.batch_array, structs)
            first = keep(array.cast(), array)
        struct = _native.anet_step_result()
        _native.anet_session_step(self._handle, first, len(structs), struct)
        return self._note(record(StepResult, struct))

    def forward_backward(
        self,
        tokens: ArrayLike | Batch,
        targets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> StepResult:
        """Adds the gradient of one micro-batch to the accumulated one."""
        batch = batch_struct(micro_batch(tokens, targets, positions))
        struct = _native.anet_step_result()
        _native.anet_session_forward_backward(self._handle, batch, struct)
        return record(StepResult, struct)

    def optimizer_step(self) -> StepResult:
        """Updates the weights from the accumulated gradient and clears it."""
        struct = _native.anet_step_result()
        _native.anet_session_optimizer_step(self._handle, struct)
        return self._note(record(StepResult, struct))

    def zero_gradients(self) -> None:
        """Discards the accumulated gradient."""
        _native.anet_session_zero_gradients(self._handle)

    def eval(
        self,
        tokens: ArrayLike | Batch,
        targets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> Evaluation:
        """The loss of one micro-batch; changes nothing."""
        batch = batch_struct(micro_batch(tokens, targets, positions))
        struct = _native.anet_eval_result()
        _native.anet_session_eval(self._handle, batch, struct)
        return record(Evaluation, struct)

    def evaluate(self, dataset: Dataset, max_windows: int = 0) -> Evaluation:
        """The loss over the first rows of a dataset, 0: all of one epoch."""
        struct = _native.anet_eval_result()
        _native.anet_session_evaluate(self._handle, dataset._handle, max_windows, struct)
        return record(Evaluation, struct)

    def score(self, dataset: Dataset, max_rows: int = 0) -> list[DocumentLoss]:
        """The losses of single documents: of the first rows of a dataset, 0: all."""
        rows = min(max_rows or len(dataset), len(dataset))
        # A document has a token and its target, so no row has more than its tokens.
        most = max(rows, min(rows * self.options["sequence_length"], 1 << 16))
        losses = np.empty(most, _DOCUMENT_LOSS)
        score = _native.anet_session_score
        try:
            count = score(self._handle, dataset._handle, max_rows, losses)
        except OutOfRangeError:  # more documents: asking how many costs as much again
            losses = np.empty(score(self._handle, dataset._handle, max_rows, None), _DOCUMENT_LOSS)
            count = score(self._handle, dataset._handle, max_rows, losses)
        return [DocumentLoss(*loss.item()) for loss in losses[:count]]

    def cancel(self) -> None:
        """Makes the running step, evaluation or fit raise Cancelled at its next kernel. Any
        thread."""
        _native.anet_session_cancel(self._handle)

    # --- Loops ---

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        steps: int,
        callback: Callbacks | None = None,
        progress: bool = False,
        **options: Unpack[FitOptions],
    ) -> FitResult:
        """Trains on rows of a dataset, from the cursor on.

        Args:
            steps: updates to make.
            callback: called with each FitEvent, or one for each kind: {"eval": ...}. It may evaluate,
                save, read weights and generate, but not step. A true answer stops the fit; an
                exception stops it too and comes out of this call.
            progress: shows a bar where tqdm is installed.

        Errors:
            As `step` and `save`. Steps before a failure stand.
        """
        struct = fill(_native.anet_fit_options(), FitOptions, options)
        struct.steps = steps
        if not progress:
            return self._run_fit(train, validation, struct, _dispatch(callback))
        from .progress import bar

        with bar(steps, "training") as shown:
            return self._run_fit(train, validation, struct, _dispatch(callback), shown.update)

    def train(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        steps: int,
        callback: Callbacks | None = None,
        progress: bool = False,
        **options: Unpack[FitOptions],
    ) -> Iterator[StepResult]:
        """`fit` as a loop: `for step in session.train(data, steps=100): ...`.

        Yields each step when its evaluation and checkpoint are done; both are in the result. Between
        steps the session is free: evaluate, save, change the learning rate, or leave the loop.
        """
        struct = fill(_native.anet_fit_options(), FitOptions, options)
        struct.steps = 1
        at_end, struct.eval_at_end = struct.eval_at_end, 0
        report = _dispatch(callback)
        if not progress:
            yield from self._steps(train, validation, struct, steps, at_end, report)
            return
        from .progress import bar

        with bar(steps, "training") as shown:
            for step in self._steps(train, validation, struct, steps, at_end, report):
                shown.update(step)
                yield step

    def _steps(
        self,
        train: Dataset,
        validation: Dataset | None,
        struct: _native.anet_fit_options,
        steps: int,
        at_end: int,
        report: Callback,
    ) -> Iterator[StepResult]:
        for left in range(steps, 0, -1):
            struct.eval_at_end = at_end if left == 1 else 0
            done: list[StepResult] = []
            result = self._run_fit(train, validation, struct, report, done.append)
            if done:
                done[-1] = self.history[-1]  # with its evaluation and checkpoint
            yield from done
            if result.end != FitEnd.STEPS:
                return

    def _run_fit(
        self,
        train: Dataset,
        validation: Dataset | None,
        struct: _native.anet_fit_options,
        report: Callback,
        on_step: Callable[[StepResult], object] | None = None,
    ) -> FitResult:
        def on_event(native: _native.anet_fit_event) -> object:
            event = self._event(native)
            if event.kind == EventKind.STEP and on_step is not None:
                on_step(event.step)
            return report(event)

        struct.callback = on_event  # both borrow it, for this call
        struct.user_data = on_event
        result = _native.anet_fit_result()
        held = None if validation is None else validation._handle
        _native.anet_session_fit(self._handle, train._handle, held, struct, result)
        return _fit_result(result)

    def _event(self, native: _native.anet_fit_event) -> FitEvent:
        kind = EventKind(native.kind)
        if kind == EventKind.STEP:
            self._note(record(StepResult, native.result))
        elif kind == EventKind.EVAL:
            self.history[-1] = replace(self.history[-1], evaluation=record(Evaluation, native.eval))
        elif kind == EventKind.SAVE:
            self.history[-1] = replace(self.history[-1], checkpoint=native.checkpoint)
        step = self.history[-1]
        improved = kind == EventKind.EVAL and bool(native.improved)
        return FitEvent(kind, step, step.evaluation, step.checkpoint, improved)

    def _note(self, step: StepResult) -> StepResult:
        self.history.append(step)
        return step

    # --- State ---

    @property
    def step_count(self) -> int:
        """Optimizer steps done."""
        return _native.anet_session_get_step(self._handle)

    @property
    def cursor(self) -> int:
        """The next row that fit and train read."""
        return _native.anet_session_get_cursor(self._handle)

    @cursor.setter
    def cursor(self, row: int) -> None:
        _native.anet_session_set_cursor(self._handle, row)

    @property
    def options(self) -> SessionOptions:
        """With what the library made of the defaults."""
        struct = _native.anet_session_options()
        _native.anet_session_get_options(self._handle, struct)
        return _read_options(struct)

    @property
    def learning_rate(self) -> float:
        """The options' learning rate, which the schedule scales; settable between steps."""
        return self.options["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        _native.anet_session_set_learning_rate(self._handle, value)

    @property
    def memory_plan(self) -> MemoryPlan:
        struct = _native.anet_memory_plan()
        _native.anet_session_get_memory_plan(self._handle, struct)
        return record(MemoryPlan, struct)

    @property
    def kernel_reports(self) -> list[KernelReport]:
        """Where each of the session's programs runs, and what it has done."""
        reports = []
        for index in range(_native.anet_session_kernel_count(self._handle)):
            struct = _native.anet_kernel_report()
            _native.anet_session_get_kernel_report(self._handle, index, struct)
            reports.append(record(KernelReport, struct))
        return reports

    @property
    def model(self) -> Model:
        """The model that is trained, or whose adapter is."""
        return Model._wrap(_native.anet_session_get_model(self._handle))

    @property
    def adapter(self) -> Adapter:
        """The adapter that is trained. Errors: InvalidStateError when a model is."""
        return Adapter._wrap(_native.anet_session_get_adapter(self._handle))

    def swap_adapter(self, adapter: Adapter) -> None:
        """Goes on with another adapter of the same model, ranks and modules, compiling nothing."""
        _native.anet_session_swap_adapter(self._handle, adapter._handle)

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights in place, one flat array; ParameterInfo.offset tells where each tensor begins.
        Padding is zero and must stay so. Call weights_changed after writing."""
        address, count = _native.anet_session_get_weights(self._handle)
        return np.asarray(Memory(self._handle, address, (count,), np.float32))

    @property
    def gradients(self) -> NDArray[np.float32]:
        """The accumulated gradients in place: sums over counted tokens times the loss scale. Between
        forward_backward and optimizer_step an all-reduce can sit here; see `tokens`."""
        address, count = _native.anet_session_get_gradients(self._handle)
        return np.asarray(Memory(self._handle, address, (count,), np.float32))

    @property
    def tokens(self) -> int:
        """Counted tokens behind the accumulated gradient, the divisor of the next update. After
        adding other ranks' gradients, set it to the sum of theirs."""
        return _native.anet_session_get_tokens(self._handle)

    @tokens.setter
    def tokens(self, count: int) -> None:
        _native.anet_session_set_tokens(self._handle, count)

    def weights_changed(self) -> None:
        """Call it after writing into `weights`, so that copies in F16 and BF16 are renewed."""
        _native.anet_session_weights_changed(self._handle)

    @property
    def properties(self) -> Properties:
        """Strings that checkpoints keep: `session.properties["epoch"] = "3"`."""
        return Properties(self._handle)

    def save(
        self,
        root: str | os.PathLike[str],
        *,
        keep_last: int = 0,
        validation_loss: float | None = None,
    ) -> None:
        """Saves everything that resuming needs as `<root>/step-<8 digits>`.

        Args:
            keep_last: checkpoints kept under the root besides the best; 0: all.
            validation_loss: this checkpoint's, in nats; the lowest so far is marked as the best.

        Errors:
            InvalidArgumentError: the root has checkpoints of later steps, which are another run's.
        """
        struct = _native.anet_save_options()
        struct.keep_last = keep_last
        if validation_loss is not None:
            struct.has_validation_loss, struct.validation_loss = 1, validation_loss
        _native.anet_session_save(self._handle, os.fspath(root), struct)

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses of `history` with matplotlib; returns the axes."""
        from . import plot

        return plot.plot(list(self.history), ax=ax)

    def __repr__(self) -> str:
        return "Session(closed)" if self.closed else f"Session(step {self.step_count})"

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn("a session was not closed", ResourceWarning, source=self)


def _dispatch(callback: Callbacks | None) -> Callback:
    """One callable from those for single kinds of events."""
    if callback is None:
        return lambda event: False
    if callable(callback):
        return callback
    chosen = {EventKind(kind): function for kind, function in callback.items()}
    return lambda event: chosen[event.kind](event) if event.kind in chosen else False


def _fit_result(struct: _native.anet_fit_result) -> FitResult:
    return FitResult(
        end=FitEnd(struct.end),
        step=record(StepSummary, struct.step),
        evaluation=record(Evaluation, struct.eval) if struct.eval.tokens else None,
        best_loss=struct.best_loss if struct.has_best else None,
        best_step=struct.best_step if struct.has_best else None,
    )
