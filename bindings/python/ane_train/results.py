"""What calls tell. Durations are in seconds, losses in nats, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .enums import Compression, DType, EventKind, FinishReason, FitEnd


@dataclass(frozen=True, slots=True)
class DeviceListing:
    """A device that this build knows; `reason` says why it is not available here."""

    name: str
    available: bool
    description: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """An open device. Imported memory must be aligned to `buffer_alignment` bytes."""

    name: str
    description: str
    threads: int
    buffer_alignment: int
    has_f32: bool


@dataclass(frozen=True, slots=True)
class Port:
    """A named input or output of a function. Strides are in bytes."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """A kernel, and what its runs so far did. A multiply-add counts two flops."""

    op_count: int
    workspace_bytes: int
    constant_bytes: int
    flops: int
    seconds: float
    runs: int
    engine_evaluations: int
    engine_seconds: float
    host_seconds: float
    copy_seconds: float
    engine_flops: int
    host_flops: int
    engine_bytes_in: int
    engine_bytes_out: int
    retries: int
    fallbacks: int
    audits: int
    audit_error: float


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One of a session's programs: where it runs ("cpu", "ane", "ane+cpu"), why the CPU has a part,
    and what it has done since the session began."""

    label: str
    where: str
    reason: str
    runs: int
    engine_evaluations: int
    engine_seconds: float
    host_seconds: float
    copy_seconds: float
    engine_flops: int
    host_flops: int
    engine_bytes_in: int
    engine_bytes_out: int
    retries: int
    fallbacks: int
    audits: int
    audit_error: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model's files said besides its weights."""

    format: str
    tokenizer_path: str
    stop_ids: tuple[int, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """One weight tensor. `offset` is that of its first element in the flat array of
    Session.weights, None for a compressed one; `bytes` are those of its values as they are held."""

    name: str
    shape: tuple[int, ...]
    offset: int | None
    element_count: int
    compression: Compression
    block_size: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What quantization made of one parameter. Errors are those against fp32."""

    name: str
    compression: Compression
    block_size: int
    has_error: bool
    bytes_before: int
    bytes_after: int
    worst: float
    rms: float
    relative_rms: float


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """An adapter; rank is the largest of its modules, alpha that module's."""

    rank: int
    alpha: float
    dropout: float
    rslora: bool
    dora: bool
    module_count: int
    weight_count: int


@dataclass(frozen=True, slots=True)
class AdapterModule:
    """One adapted matrix: W x + scale * B (A x)."""

    name: str
    rank: int
    alpha: float
    scale: float


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes by purpose."""

    weights: int
    gradients: int
    optimizer: int
    staged: int
    activations: int
    workspace: int
    total: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A loss, the mean over the counted tokens; exp(loss) is the perplexity."""

    loss: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StepSummary:
    """A step in short, as a fit ends with it."""

    skipped: bool
    step: int
    loss: float
    tokens: int
    grad_norm: float
    learning_rate: float
    loss_scale: float
    seconds: float
    forward_seconds: float
    backward_seconds: float
    loss_seconds: float
    optimizer_seconds: float
    staging_seconds: float
    bytes_staged: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """An optimizer step.

    `loss` is the mean over the `tokens` counted, `grad_norm` that of the mean gradient before
    clipping. `skipped`: gradients overflowed in F16 and there was no update. The seconds of the
    phases are parts of `seconds`; work on the Neural Engine and on the CPU is counted, not estimated.
    `tokens_seen` are those of all updates. In Session.train the evaluation that came after the step
    and the path of its checkpoint are there too.
    """

    skipped: bool
    step: int
    loss: float
    tokens: int
    grad_norm: float
    learning_rate: float
    loss_scale: float
    seconds: float
    forward_seconds: float
    backward_seconds: float
    loss_seconds: float
    optimizer_seconds: float
    staging_seconds: float
    bytes_staged: int
    engine_evaluations: int
    engine_seconds: float
    host_seconds: float
    copy_seconds: float
    engine_flops: int
    host_flops: int
    engine_bytes_in: int
    engine_bytes_out: int
    retries: int
    fallbacks: int
    audits: int
    audit_error: float
    tokens_seen: int
    evaluation: Evaluation | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class FitEvent:
    """What Session.fit reports: `step` is the latest, on every event.

    EVAL has the evaluation and whether it `improved` on the best of the run, SAVE the path of the
    checkpoint; SAMPLE is the moment to generate.
    """

    kind: EventKind
    step: StepResult
    evaluation: Evaluation | None
    checkpoint: str | None
    improved: bool


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a fit ended: the last step and evaluation, and the best evaluation of the run."""

    end: FitEnd
    step: StepSummary
    evaluation: Evaluation | None
    best_loss: float | None
    best_step: int | None


@dataclass(frozen=True, slots=True)
class DocumentLoss:
    """What one document costs: its row in the unshuffled order, its number and first column in that
    row, the sum of its losses, and the tokens counted."""

    row: int
    document: int
    begin: int
    loss_sum: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Generation:
    """A generated text: its ids, why it ended, and how long it took."""

    text: str
    ids: NDArray[np.int32]
    finish_reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    prefill_seconds: float
    decode_seconds: float
