"""Processors that compile and run programs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _native
from ._support import Handle, borrow, fill, record, text
from .enums import LogLevel
from .options import AneOptions
from .results import DeviceInfo, DeviceListing

Log = Callable[[LogLevel, str], object]

_LOGGING_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}


def log_to_logging(level: LogLevel, message: str) -> None:
    """The default of Device: messages go to the logger "ane_train" of the module logging."""
    logging.getLogger("ane_train").log(_LOGGING_LEVELS[level], "%s", message)


def devices() -> list[DeviceListing]:
    """The devices that this build knows, also those that are not available here."""
    listings = []
    for index in range(_native.anet_device_listing_count()):
        struct = _native.anet_device_listing()
        _native.anet_device_listing_get(index, struct)
        listings.append(record(DeviceListing, struct))
    return listings


class Device(Handle[_native.anet_device]):
    """An open device. Any thread may use it.

    Args:
        name: "cpu", "ane" for the Apple Neural Engine, or "auto": "ane" where it is available,
            else "cpu".
        threads: worker threads of the CPU, the caller's included; 0: one a core.
        log: called with level and message, on any thread; it must not use the library.
        log_level: "error", "warning", "info" or "debug"; "off": silent.
        ane: options of the device "ane".
    """

    __slots__ = ()

    def __init__(
        self,
        name: str = "auto",
        *,
        threads: int = 0,
        log: Log = log_to_logging,
        log_level: LogLevel | str = LogLevel.OFF,
        ane: AneOptions | None = None,
    ) -> None:
        options = _native.anet_device_options()
        options.threads = threads
        options.log_level = LogLevel(log_level)
        if ane is not None:
            borrow(options, ane=fill(_native.anet_ane_options(), AneOptions, ane))
        if options.log_level != LogLevel.OFF:
            options.set_log(lambda level, message: log(LogLevel(level), message))
        self._object = _native.anet_device_open(name, options)

    @property
    def info(self) -> DeviceInfo:
        struct = _native.anet_device_info()
        _native.anet_device_get_info(self._handle, struct)
        return record(DeviceInfo, struct)

    @property
    def report(self) -> dict[str, Any]:
        """What the device has found out about itself; on "ane" the chip, what was probed, and the
        use of the compile budget."""
        found = json.loads(text(lambda room: _native.anet_device_get_report(self._handle, room)))
        assert isinstance(found, dict)
        return found

    def aligned_empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array that Buffer.wrap can share with this device."""
        alignment = self.info.buffer_alignment
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        memory = np.empty(size + alignment, np.uint8)
        begin = -memory.ctypes.data % alignment
        return memory[begin : begin + size].view(dtype).reshape(shape)

    def __repr__(self) -> str:
        return "Device(closed)" if self.closed else f"Device({self.info.description!r})"
