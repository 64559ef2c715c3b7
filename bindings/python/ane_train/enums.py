"""Enumerations. Where one is expected, its name in lower case will do: "f16", "cosine"."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Self

from . import _native


class Choice(IntEnum):
    """A number with a name; `Precision("f16")` is `Precision.F16`."""

    if TYPE_CHECKING:

        def __new__(cls, value: int | str) -> Self: ...

    @classmethod
    def _missing_(cls, value: object) -> Choice | None:
        if isinstance(value, str):
            for member in cls:
                if member.name.lower() == value.lower():
                    return member
        known = ", ".join(repr(member.name.lower()) for member in cls)
        raise ValueError(f"expected one of {known} as {cls.__name__}, seen {value!r}")

    def __str__(self) -> str:
        return self.name.lower()


class Status(Choice):
    """What kind of failure an AneTrainError is; OK is none."""

    OK = _native.ANET_OK
    INVALID_ARGUMENT = _native.ANET_E_INVALID_ARGUMENT
    INVALID_HANDLE = _native.ANET_E_INVALID_HANDLE
    INVALID_STRUCT_SIZE = _native.ANET_E_INVALID_STRUCT_SIZE
    UNSUPPORTED_OPTION = _native.ANET_E_UNSUPPORTED_OPTION
    SHAPE_MISMATCH = _native.ANET_E_SHAPE_MISMATCH
    TYPE_MISMATCH = _native.ANET_E_TYPE_MISMATCH
    OUT_OF_RANGE = _native.ANET_E_OUT_OF_RANGE
    NOT_FOUND = _native.ANET_E_NOT_FOUND
    INVALID_STATE = _native.ANET_E_INVALID_STATE
    UNAVAILABLE = _native.ANET_E_UNAVAILABLE
    UNSUPPORTED = _native.ANET_E_UNSUPPORTED
    PERMISSION = _native.ANET_E_PERMISSION
    IO = _native.ANET_E_IO
    DISK_FULL = _native.ANET_E_DISK_FULL
    FILE_NOT_FOUND = _native.ANET_E_FILE_NOT_FOUND
    DEVICE = _native.ANET_E_DEVICE
    OUT_OF_MEMORY = _native.ANET_E_OUT_OF_MEMORY
    MEMORY_LIMIT = _native.ANET_E_MEMORY_LIMIT
    COMPILE_BUDGET = _native.ANET_E_COMPILE_BUDGET
    INVALID_PROGRAM = _native.ANET_E_INVALID_PROGRAM
    INVALID_BLOB = _native.ANET_E_INVALID_BLOB
    INVALID_CONFIG = _native.ANET_E_INVALID_CONFIG
    INVALID_CHECKPOINT = _native.ANET_E_INVALID_CHECKPOINT
    INVALID_DATA = _native.ANET_E_INVALID_DATA
    CHECKSUM = _native.ANET_E_CHECKSUM
    VERSION = _native.ANET_E_VERSION
    NUMERIC = _native.ANET_E_NUMERIC
    CANCELLED = _native.ANET_E_CANCELLED
    BUSY = _native.ANET_E_BUSY
    CALLBACK = _native.ANET_E_CALLBACK
    INTERNAL = _native.ANET_E_INTERNAL


class LogLevel(Choice):
    """How much a device says."""

    OFF = _native.ANET_LOG_OFF
    ERROR = _native.ANET_LOG_ERROR
    WARNING = _native.ANET_LOG_WARNING
    INFO = _native.ANET_LOG_INFO
    DEBUG = _native.ANET_LOG_DEBUG


class Placement(Choice):
    """Where a part of the work runs on the device "ane"."""

    MEASURED = _native.ANET_PLACEMENT_MEASURED
    ENGINE = _native.ANET_PLACEMENT_ENGINE
    HOST = _native.ANET_PLACEMENT_HOST


class AuditAction(Choice):
    """What happens when the engine and the CPU disagree."""

    FALLBACK = _native.ANET_AUDIT_FALLBACK
    ERROR = _native.ANET_AUDIT_ERROR


class DType(Choice):
    """The element type of a tensor."""

    UNDEFINED = _native.ANET_DTYPE_UNDEFINED
    BOOL = _native.ANET_DTYPE_BOOL
    INT8 = _native.ANET_DTYPE_INT8
    UINT8 = _native.ANET_DTYPE_UINT8
    INT16 = _native.ANET_DTYPE_INT16
    UINT16 = _native.ANET_DTYPE_UINT16
    INT32 = _native.ANET_DTYPE_INT32
    UINT32 = _native.ANET_DTYPE_UINT32
    INT64 = _native.ANET_DTYPE_INT64
    UINT64 = _native.ANET_DTYPE_UINT64
    FP16 = _native.ANET_DTYPE_FP16
    BF16 = _native.ANET_DTYPE_BF16
    FP32 = _native.ANET_DTYPE_FP32

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return _native.anet_dtype_size(self)

    def __str__(self) -> str:
        return _native.anet_dtype_name(self)


class MapAccess(Choice):
    """What mapped memory is wanted for."""

    READ = _native.ANET_MAP_READ
    WRITE = _native.ANET_MAP_WRITE
    READ_WRITE = _native.ANET_MAP_READ_WRITE


class Direction(Choice):
    """Whether a port is read or written."""

    INPUT = _native.ANET_INPUT
    OUTPUT = _native.ANET_OUTPUT


class Taps(Choice):
    """Which forward values a backward function is given; the others it computes again."""

    AUTOMATIC = _native.ANET_TAPS_AUTOMATIC
    ALL = _native.ANET_TAPS_ALL
    NONE = _native.ANET_TAPS_NONE


class Compression(Choice):
    """How the values of a matrix are held."""

    NONE = _native.ANET_COMPRESSION_NONE
    DEFAULT = _native.ANET_COMPRESSION_DEFAULT
    INT8_CHANNEL = _native.ANET_COMPRESSION_INT8_CHANNEL
    INT8_BLOCK = _native.ANET_COMPRESSION_INT8_BLOCK
    INT4_BLOCK = _native.ANET_COMPRESSION_INT4_BLOCK
    PALETTE4 = _native.ANET_COMPRESSION_PALETTE4

    def __str__(self) -> str:
        """The library's name; that of NONE is "fp32"."""
        return _native.anet_compression_name(self)


class ExportFormat(Choice):
    """The files of an exported model."""

    HUGGING_FACE = _native.ANET_EXPORT_HUGGING_FACE
    GGUF = _native.ANET_EXPORT_GGUF
    LLAMA2C = _native.ANET_EXPORT_LLAMA2C


class ExportType(Choice):
    """The type of exported matrices."""

    FP32 = _native.ANET_EXPORT_FP32
    FP16 = _native.ANET_EXPORT_FP16
    BF16 = _native.ANET_EXPORT_BF16
    Q8_0 = _native.ANET_EXPORT_Q8_0


class AdapterFormat(Choice):
    """The files of a saved adapter."""

    PEFT = _native.ANET_ADAPTER_PEFT
    MLX = _native.ANET_ADAPTER_MLX
    GGUF = _native.ANET_ADAPTER_GGUF


class Tokenize(IntFlag):
    """What a tokenizer adds, and how it reads special tokens."""

    ADD_BOS = _native.ANET_TOKENIZE_ADD_BOS
    ADD_EOS = _native.ANET_TOKENIZE_ADD_EOS
    PARSE_SPECIAL = _native.ANET_TOKENIZE_PARSE_SPECIAL
    AS_TRAINED = _native.ANET_TOKENIZE_AS_TRAINED


class Supervision(Choice):
    """Which tokens a model learns to predict."""

    ASSISTANT = _native.ANET_SUPERVISE_ASSISTANT
    LAST = _native.ANET_SUPERVISE_LAST
    EVERYTHING = _native.ANET_SUPERVISE_EVERYTHING


class DataPart(Choice):
    """The part of a folder of data."""

    TRAIN = _native.ANET_DATA_TRAIN
    VALIDATION = _native.ANET_DATA_VALIDATION
    TEST = _native.ANET_DATA_TEST


class DataFormat(Choice):
    """What a file of data holds."""

    AUTOMATIC = _native.ANET_DATA_AUTOMATIC
    JSONL = _native.ANET_DATA_JSONL
    TEXT = _native.ANET_DATA_TEXT
    TOKENS = _native.ANET_DATA_TOKENS


class Switch(Choice):
    """A choice whose default depends on something else."""

    DEFAULT = _native.ANET_SWITCH_DEFAULT
    ON = _native.ANET_SWITCH_ON
    OFF = _native.ANET_SWITCH_OFF


class RowLayout(Choice):
    """How examples lie in rows."""

    PADDED = _native.ANET_ROWS_PADDED
    PACKED = _native.ANET_ROWS_PACKED
    BUCKETED = _native.ANET_ROWS_BUCKETED


class LongExamples(Choice):
    """What becomes of an example that is longer than a row."""

    TRUNCATE = _native.ANET_LONG_TRUNCATE
    SKIP = _native.ANET_LONG_SKIP
    SPLIT = _native.ANET_LONG_SPLIT


class Precision(Choice):
    """The arithmetic of programs."""

    DEFAULT = _native.ANET_PRECISION_DEFAULT
    F32 = _native.ANET_PRECISION_F32
    F16 = _native.ANET_PRECISION_F16
    BF16 = _native.ANET_PRECISION_BF16


class Optimizer(Choice):
    """The rule of an update."""

    ADAMW = _native.ANET_OPTIMIZER_ADAMW
    SGD = _native.ANET_OPTIMIZER_SGD


class Schedule(Choice):
    """The learning rate after the warm-up."""

    CONSTANT = _native.ANET_SCHEDULE_CONSTANT
    LINEAR = _native.ANET_SCHEDULE_LINEAR
    COSINE = _native.ANET_SCHEDULE_COSINE
    WSD = _native.ANET_SCHEDULE_WSD


class EventKind(Choice):
    """What a FitEvent tells."""

    STEP = _native.ANET_EVENT_STEP
    EVAL = _native.ANET_EVENT_EVAL
    SAVE = _native.ANET_EVENT_SAVE
    SAMPLE = _native.ANET_EVENT_SAMPLE


class FitEnd(Choice):
    """Why a fit ended."""

    STEPS = _native.ANET_FIT_STEPS
    CALLBACK = _native.ANET_FIT_CALLBACK
    NO_IMPROVEMENT = _native.ANET_FIT_NO_IMPROVEMENT


class CheckpointChoice(Choice):
    """Which checkpoint of a root."""

    LATEST = _native.ANET_CHECKPOINT_LATEST
    BEST = _native.ANET_CHECKPOINT_BEST


class FinishReason(Choice):
    """Why a text ended."""

    LENGTH = _native.ANET_FINISH_LENGTH
    STOP = _native.ANET_FINISH_STOP
    CONTEXT = _native.ANET_FINISH_CONTEXT
    CALLBACK = _native.ANET_FINISH_CALLBACK
