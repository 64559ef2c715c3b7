"""Options by keyword. They have the names and meanings of the C header; left out means the default.

Where an enumeration is expected, its name in lower case will do: precision="f16".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .enums import (
    AdapterFormat,
    AuditAction,
    Compression,
    DataFormat,
    DataPart,
    ExportFormat,
    ExportType,
    LongExamples,
    Optimizer,
    Placement,
    Precision,
    RowLayout,
    Schedule,
    Supervision,
    Switch,
    Taps,
)

Path = str | os.PathLike[str]


class AneOptions(TypedDict, total=False):
    """Of the device "ane", the Apple Neural Engine."""

    compile_budget: int  # programs that this process may compile
    framework_path: Path
    cache_directory: Path  # for what the device learns about the chip
    qos: int  # the framework's quality-of-service class, up to 63
    forward: Placement | str
    loss: Placement | str
    input_gradients: Placement | str
    weight_gradients: Placement | str
    programs: Placement | str
    audit_every: int  # runs of a program between two that the CPU repeats
    audit_action: AuditAction | str
    audit_tolerance: float  # relative to the tensor's largest value
    audit_kernels: str  # labels separated by commas


class DifferentiateOptions(TypedDict, total=False):
    """Of Program.differentiate."""

    taps: Taps | str
    inputs: Sequence[str]  # to differentiate by; default: every floating one
    outputs: Sequence[str]  # that get a seed gradient; default: every floating one


class ProgramQuantizeOptions(TypedDict, total=False):
    """Of Program.quantize."""

    coverage: float  # share of the observed magnitudes that a range holds


@dataclass(frozen=True)
class QuantizeOverride:
    """An exception for the matrices whose names match `pattern`: "layers.0.*"."""

    pattern: str
    compression: Compression | str = Compression.DEFAULT
    block_size: int = 0


class QuantizeOptions(TypedDict, total=False):
    """Which matrices are compressed, and how."""

    compression: Compression | str
    block_size: int  # columns that share a scale, or rows that share a palette
    overrides: Sequence[QuantizeOverride]  # the last that matches decides


class ExportOptions(TypedDict, total=False):
    """Of Model.export."""

    format: ExportFormat | str
    type: ExportType | str
    companion: Path  # the folder the model came from: its tokenizer and templates go along
    max_shard_bytes: int


@dataclass(frozen=True)
class AdapterOverride:
    """Another rank or alpha for the modules that match `pattern`: "layers.0.*", "q_proj"."""

    pattern: str
    rank: int = 0
    alpha: float = 0


class AdapterOptions(TypedDict, total=False):
    """Of Adapter.create."""

    rank: int  # 8
    alpha: float  # 2 * rank
    dropout: float  # of the adapter's input, in training
    rslora: bool  # scale = alpha / sqrt(rank)
    dora: bool  # magnitudes of rows are learned apart
    targets: str  # patterns of modules separated by commas
    first_layer: int  # negative: from the end
    layer_count: int
    overrides: Sequence[AdapterOverride]  # the last that matches decides
    seed: int


class AdapterSaveOptions(TypedDict, total=False):
    """Of Adapter.save."""

    format: AdapterFormat | str
    type: ExportType | str
    base_name: str  # what the files call the model


class ExamplesOptions(TypedDict, total=False):
    """Of Examples.open. Keys are the names of a record's fields in the file."""

    part: DataPart | str
    format: DataFormat | str
    supervision: Supervision | str
    template_variables: str  # a JSON object
    stop_ids: Sequence[int]  # that end a turn
    strict: bool  # the first row that cannot be used is an error
    add_bos: Switch | str
    add_eos: Switch | str
    parse_special: bool
    token_bytes: int  # of a token file without a header: 2 or 4
    text_key: str
    prompt_key: str
    completion_key: str
    messages_key: str
    tools_key: str
    document_separator: str
    max_line_bytes: int
    memory_limit: int  # bytes; above it, examples go to a temporary file
    temporary_directory: Path
    round_trips: int  # conversations whose decoded tokens are compared


class DatasetOptions(TypedDict, total=False):
    """Of windows of tokens."""

    vocab_size: int  # ids must be below it; required for token files and arrays
    token_bytes: int  # of a token file without a header: 2 or 4
    seed: int  # of the order
    sequential: bool  # file order instead of a shuffle


class RowsOptions(TypedDict, total=False):
    """Of rows of examples."""

    layout: RowLayout | str
    long_examples: LongExamples | str
    batch_size: int  # required for bucketed rows: the session's
    length_buckets: int
    seed: int  # of the order
    sequential: bool  # the order of the examples instead of a shuffle


class SessionOptions(TypedDict, total=False):
    """Of training. Bytes, steps and tokens are whole numbers."""

    precision: Precision | str
    batch_size: int  # sequences in one micro-batch
    sequence_length: int  # tokens in one sequence
    accumulation_steps: int  # micro-batches for one update, in fit and train
    activation_checkpointing: bool
    loss_chunk: int
    optimizer: Optimizer | str
    optimizer_precision: Precision | str  # of the optimizer's state: f32 or bf16
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    momentum: float
    weight_decay: float
    clip_norm: float
    schedule: Schedule | str
    warmup_steps: int
    total_steps: int
    decay_steps: int
    min_learning_rate: float
    initial_loss_scale: float
    loss_scale_growth_steps: int
    seed: int
    max_memory: int  # bytes that the memory plan may reach
    documents: bool  # attention is confined to documents
    length_buckets: int
    trainable: str  # patterns of the trained parameters, separated by commas


class FitOptions(TypedDict, total=False):
    """Of Session.fit and Session.train."""

    eval_every: int  # steps
    eval_windows: int  # rows; 0: the whole validation set
    save_every: int  # steps
    checkpoint_root: Path | None
    keep_last: int  # checkpoints kept besides the best; 0: all
    patience: int  # evaluations without improvement
    min_delta: float  # nats
    sample_every: int  # steps
    eval_at_end: bool


class GeneratorOptions(TypedDict, total=False):
    """Of a generator."""

    context_length: int  # tokens in the KV cache
    precision: Precision | str
    batch_size: int  # prompts that generate_batch decodes at once
    adapter_rank: int  # room for adapters


class SamplingOptions(TypedDict, total=False):
    """How the next token is chosen. Temperature 0, the default, takes the likeliest."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    stop_ids: Sequence[int]  # generation ends before any of these
    seed: int
    repetition_penalty: float
    min_p: float
