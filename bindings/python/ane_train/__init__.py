"""Fine-tunes language models on the user's own device.

    import ane_train

    device = ane_train.Device("auto")
    model = ane_train.Model.load("SmolLM2-135M-Instruct")
    adapter = ane_train.Adapter.create(model, rank=8)
    session = ane_train.Session(device, adapter, batch_size=4, sequence_length=256)
    for step in session.train(rows, steps=100):
        print(step.step, step.loss)

Objects hold what they need and may be closed in any order; each is a context manager. Errors derive
from AneTrainError and the fitting built-in exception. Options are keywords with the names of the C
header, and an unknown one is a TypeError.
"""

from . import _native
from .adapter import Adapter
from .buffers import Buffer, MappedBuffer
from .checkpoints import find_checkpoint, inspect_checkpoint
from .data import Batch, Dataset, Examples
from .device import Device, devices
from .enums import (
    AdapterFormat,
    AuditAction,
    CheckpointChoice,
    Compression,
    DataFormat,
    DataPart,
    Direction,
    DType,
    EventKind,
    ExportFormat,
    ExportType,
    FinishReason,
    FitEnd,
    LogLevel,
    LongExamples,
    MapAccess,
    Optimizer,
    Placement,
    Precision,
    RowLayout,
    Schedule,
    Status,
    Supervision,
    Switch,
    Taps,
    Tokenize,
)
from .errors import AneTrainError, Busy, Cancelled
from .generator import Generator
from .model import Model, ModelConfig, Parameters
from .options import AdapterOverride, QuantizeOverride
from .programs import Kernel, Program
from .results import (
    AdapterInfo,
    AdapterModule,
    DeviceInfo,
    DeviceListing,
    DocumentLoss,
    Evaluation,
    FitEvent,
    FitResult,
    Generation,
    KernelReport,
    KernelStatistics,
    MemoryPlan,
    ModelInfo,
    ParameterInfo,
    Port,
    StepResult,
    StepSummary,
    TensorReport,
)
from .session import Session, options_from_json
from .text import ChatTemplate, TextDecoder, Tokenizer

__version__ = _native.anet_version_string()

if _native.anet_abi_version() != _native.ANET_ABI_VERSION:
    raise ImportError(
        f"expected a library with the ABI {_native.ANET_ABI_VERSION}, "
        f"seen {_native.anet_abi_version()} ({_native.anet_build_info()})"
    )


def version_number() -> int:
    """10000 * major + 100 * minor + patch of the library that is loaded."""
    return _native.anet_version_number()


def build_info() -> str:
    """One line: version, compiler, devices built in."""
    return _native.anet_build_info()


__all__ = [
    "Adapter",
    "AdapterFormat",
    "AdapterInfo",
    "AdapterModule",
    "AdapterOverride",
    "AneTrainError",
    "AuditAction",
    "Batch",
    "Buffer",
    "Busy",
    "Cancelled",
    "ChatTemplate",
    "CheckpointChoice",
    "Compression",
    "DType",
    "DataFormat",
    "DataPart",
    "Dataset",
    "Device",
    "DeviceInfo",
    "DeviceListing",
    "Direction",
    "DocumentLoss",
    "Evaluation",
    "EventKind",
    "Examples",
    "ExportFormat",
    "ExportType",
    "FinishReason",
    "FitEnd",
    "FitEvent",
    "FitResult",
    "Generation",
    "Generator",
    "Kernel",
    "KernelReport",
    "KernelStatistics",
    "LogLevel",
    "LongExamples",
    "MapAccess",
    "MappedBuffer",
    "MemoryPlan",
    "Model",
    "ModelConfig",
    "ModelInfo",
    "Optimizer",
    "ParameterInfo",
    "Parameters",
    "Placement",
    "Port",
    "Precision",
    "Program",
    "QuantizeOverride",
    "RowLayout",
    "Schedule",
    "Session",
    "Status",
    "StepResult",
    "StepSummary",
    "Supervision",
    "Switch",
    "Taps",
    "TensorReport",
    "TextDecoder",
    "Tokenize",
    "Tokenizer",
    "build_info",
    "devices",
    "find_checkpoint",
    "inspect_checkpoint",
    "options_from_json",
    "version_number",
]
