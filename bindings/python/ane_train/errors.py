"""Errors of the library as Python exceptions.

Every one derives from AneTrainError and, where one fits, from the built-in exception that Python
programs expect: a wrong option is a ValueError, a missing file a FileNotFoundError.
"""

from __future__ import annotations

from . import _native
from .enums import Status


class AneTrainError(RuntimeError):
    """A call of the library failed.

    Attributes:
        status: what kind of failure, as a number that never changes its meaning.
        name: the status in words, "shape mismatch".
        message: one line that says what was expected and what was seen.
        domain: where native_code comes from: "errno", an NSError domain, or "".
        native_code: the system's number; 0 when there is none.
        line, column: from 1, in the text that was read; 0 when there is none.
    """

    status: Status = Status.INTERNAL
    domain: str = ""
    native_code: int = 0
    line: int = 0
    column: int = 0

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    @property
    def name(self) -> str:
        return _native.anet_status_name(self.status)

    @property
    def retryable(self) -> bool:
        """True when the same call may succeed later: busy, out of memory, disk full."""
        return bool(_native.anet_status_is_retryable(self.status))

    def __str__(self) -> str:
        place = f" (line {self.line}, column {self.column})" if self.line else ""
        native = f" [{self.domain} {self.native_code}]" if self.domain else ""
        return f"{self.name} ({int(self.status)}): {self.message}{place}{native}"


class InvalidArgumentError(AneTrainError, ValueError):
    status = Status.INVALID_ARGUMENT


class InvalidHandleError(AneTrainError, ValueError):
    """The object was closed."""

    status = Status.INVALID_HANDLE


class InvalidStructSizeError(AneTrainError):
    status = Status.INVALID_STRUCT_SIZE


class UnsupportedOptionError(AneTrainError, ValueError):
    status = Status.UNSUPPORTED_OPTION


class ShapeMismatchError(AneTrainError, ValueError):
    status = Status.SHAPE_MISMATCH


class TypeMismatchError(AneTrainError, TypeError):
    status = Status.TYPE_MISMATCH


class OutOfRangeError(AneTrainError, IndexError, ValueError):
    status = Status.OUT_OF_RANGE


class NotFoundError(AneTrainError, LookupError):
    status = Status.NOT_FOUND


class InvalidStateError(AneTrainError):
    status = Status.INVALID_STATE


class UnavailableError(AneTrainError):
    """This machine lacks the device."""

    status = Status.UNAVAILABLE


class UnsupportedError(AneTrainError, NotImplementedError):
    status = Status.UNSUPPORTED


class AccessError(AneTrainError, PermissionError):
    status = Status.PERMISSION


class InputOutputError(AneTrainError, OSError):
    status = Status.IO


class DiskFullError(AneTrainError, OSError):
    status = Status.DISK_FULL


class MissingFileError(AneTrainError, FileNotFoundError):
    status = Status.FILE_NOT_FOUND


class DeviceError(AneTrainError):
    status = Status.DEVICE


class OutOfMemoryError(AneTrainError, MemoryError):
    status = Status.OUT_OF_MEMORY


class MemoryLimitError(AneTrainError, MemoryError):
    """The memory plan exceeds max_memory."""

    status = Status.MEMORY_LIMIT


class CompileBudgetError(AneTrainError):
    status = Status.COMPILE_BUDGET


class InvalidProgramError(AneTrainError, ValueError):
    status = Status.INVALID_PROGRAM


class InvalidBlobError(AneTrainError, ValueError):
    status = Status.INVALID_BLOB


class InvalidConfigError(AneTrainError, ValueError):
    status = Status.INVALID_CONFIG


class InvalidCheckpointError(AneTrainError, ValueError):
    status = Status.INVALID_CHECKPOINT


class InvalidDataError(AneTrainError, ValueError):
    status = Status.INVALID_DATA


class ChecksumError(AneTrainError, ValueError):
    status = Status.CHECKSUM


class VersionError(AneTrainError, ValueError):
    status = Status.VERSION


class NumericError(AneTrainError, ArithmeticError):
    """The loss is not finite."""

    status = Status.NUMERIC


class Cancelled(AneTrainError):
    status = Status.CANCELLED


class Busy(AneTrainError):
    """Calls overlap, a buffer is mapped, or a model is in training."""

    status = Status.BUSY


class CallbackError(AneTrainError):
    status = Status.CALLBACK


class InternalError(AneTrainError):
    """A defect of the library."""

    status = Status.INTERNAL


_BY_STATUS = {error.status: error for error in AneTrainError.__subclasses__()}


def from_native(error: _native.anet_error) -> AneTrainError:
    """The exception for a failed call; _native raises it."""
    number = _native.anet_error_status(error)
    exception = _BY_STATUS.get(Status(number), InternalError)(_native.anet_error_message(error))
    exception.domain = _native.anet_error_domain(error)
    exception.native_code = _native.anet_error_native_code(error)
    exception.line = _native.anet_error_line(error)
    exception.column = _native.anet_error_column(error)
    if OSError in type(exception).__mro__ and exception.domain == "errno":
        setattr(exception, "errno", exception.native_code)
    return exception
