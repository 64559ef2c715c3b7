"""Memory that kernels read and write."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _native
from ._support import Handle, Memory
from .device import Device
from .enums import DType, MapAccess
from .errors import ShapeMismatchError

# NumPy has no bf16: its bits are uint16 there.
_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.BOOL: np.dtype(np.bool_),
    DType.INT8: np.dtype(np.int8),
    DType.UINT8: np.dtype(np.uint8),
    DType.INT16: np.dtype(np.int16),
    DType.UINT16: np.dtype(np.uint16),
    DType.INT32: np.dtype(np.int32),
    DType.UINT32: np.dtype(np.uint32),
    DType.INT64: np.dtype(np.int64),
    DType.UINT64: np.dtype(np.uint64),
    DType.FP16: np.dtype(np.float16),
    DType.BF16: np.dtype(np.uint16),
    DType.FP32: np.dtype(np.float32),
}
_DTYPES: dict[np.dtype[Any], DType] = {
    numpy: dtype for dtype, numpy in _NUMPY.items() if dtype != DType.BF16
}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    return _NUMPY[dtype]


def dtype_of(wanted: DType | DTypeLike) -> DType:
    """The library's type for one of NumPy's, or for a name: "fp16", "bf16"."""
    if isinstance(wanted, DType):
        return wanted
    if isinstance(wanted, str):
        for dtype in DType:
            if str(dtype) == wanted:
                return dtype
    found = _DTYPES.get(np.dtype(wanted))
    if found is None:
        raise TypeError(f"expected an element type of the library, seen {np.dtype(wanted)}")
    return found


def descriptor(shape: Sequence[int], dtype: DType) -> _native.anet_tensor_desc:
    desc = _native.anet_tensor_desc()
    desc.dtype = dtype
    desc.rank = len(shape)
    desc.shape = tuple(shape)
    return desc


class MappedBuffer:
    """A buffer's memory, addressable until `unmap`; as a context manager it unmaps at the end.

    `array` is that memory, without a copy. Arrays keep it mapped: unmapping while one lives, or a
    view of one, is a BufferError.
    """

    __slots__ = ("_buffer", "_exports", "_view", "_writable", "__weakref__")

    def __init__(self, buffer: _native.anet_buffer, access: MapAccess) -> None:
        self._buffer: _native.anet_buffer | None = None
        self._exports: weakref.WeakSet[Memory] = weakref.WeakSet()
        self._writable = access != MapAccess.READ
        self._view = _native.anet_buffer_view()
        _native.anet_buffer_map(buffer, access, self._view)
        self._buffer = buffer

    @property
    def array(self) -> NDArray[Any]:
        """The elements, as the buffer's shape and strides have them; bf16 as uint16."""
        if self._buffer is None:
            raise ValueError("expected a mapped buffer, seen one that was unmapped")
        desc = self._view.desc
        memory = Memory(
            self,
            self._view.data,
            desc.shape[: desc.rank],
            numpy_dtype(DType(desc.dtype)),
            desc.strides[: desc.rank],
            self._writable,
        )
        self._exports.add(memory)
        return np.asarray(memory)

    @property
    def exported(self) -> bool:
        """True while an array of this memory lives."""
        return len(self._exports) > 0

    def unmap(self) -> None:
        """Gives the memory back; twice does no harm."""
        if self._buffer is None:
            return
        if self.exported:
            raise BufferError("expected no arrays of the mapped memory, seen one that is in use")
        buffer, self._buffer = self._buffer, None
        _native.anet_buffer_unmap(buffer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unmap()

    def __del__(self) -> None:
        if getattr(self, "_buffer", None) is not None:
            warnings.warn("a mapped buffer was not unmapped", ResourceWarning, source=self)
            self.unmap()


class Buffer(Handle[_native.anet_buffer]):
    """A tensor in a device's memory, zero at first. One thread at a time.

    Args:
        device: whose kernels read and write it.
        shape: extents, outermost first.
        dtype: of NumPy, or "fp16", "bf16", ...
    """

    __slots__ = ("_mappings",)

    def __init__(
        self, device: Device, shape: Sequence[int], dtype: DType | DTypeLike = DType.FP32
    ) -> None:
        desc = descriptor(shape, dtype_of(dtype))
        self._object = _native.anet_buffer_create(device._handle, desc)

    @classmethod
    def from_array(cls, device: Device, array: ArrayLike) -> Buffer:
        """A buffer with a copy of an array."""
        values = np.asarray(array)
        buffer = cls(device, values.shape, values.dtype)
        buffer.write(values)
        return buffer

    @classmethod
    def wrap(cls, device: Device, array: NDArray[Any]) -> Buffer:
        """Shares a C-contiguous array, which must be aligned (Device.aligned_empty makes such) and
        lives as long as the library needs it. Errors: UnsupportedError where the device cannot."""
        desc = descriptor(array.shape, dtype_of(array.dtype))
        owner = array.data
        return cls._wrap(_native.anet_buffer_import(device._handle, owner, desc, owner))

    @classmethod
    def from_iosurface(
        cls, device: Device, surface: int, shape: Sequence[int], dtype: DType | DTypeLike
    ) -> Buffer:
        """Shares an IOSurface, given by the address of its IOSurfaceRef."""
        desc = descriptor(shape, dtype_of(dtype))
        return cls._wrap(_native.anet_buffer_import_iosurface(device._handle, surface, desc))

    @classmethod
    def from_iosurface_id(
        cls, device: Device, number: int, shape: Sequence[int], dtype: DType | DTypeLike
    ) -> Buffer:
        """Shares the IOSurface that has this number, perhaps in another process."""
        desc = descriptor(shape, dtype_of(dtype))
        return cls._wrap(_native.anet_buffer_import_iosurface_id(device._handle, number, desc))

    @property
    def iosurface(self) -> int | None:
        """The address of its IOSurfaceRef; None for ordinary memory."""
        return _native.anet_buffer_get_iosurface(self._handle) or None

    @property
    def iosurface_id(self) -> int | None:
        return _native.anet_buffer_get_iosurface_id(self._handle) or None

    def _desc(self) -> _native.anet_tensor_desc:
        desc = _native.anet_tensor_desc()
        _native.anet_buffer_get_desc(self._handle, desc)
        return desc

    @property
    def shape(self) -> tuple[int, ...]:
        desc = self._desc()
        return desc.shape[: desc.rank]

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes between neighbours along each axis; a device may pad rows."""
        desc = self._desc()
        return desc.strides[: desc.rank]

    @property
    def dtype(self) -> DType:
        return DType(self._desc().dtype)

    def map(self, access: MapAccess | str = MapAccess.READ_WRITE) -> MappedBuffer:
        """Makes the memory addressable: `with buffer.map() as memory: memory.array[:] = 1`. A run
        that uses the buffer meanwhile is Busy. With access "read" arrays are read-only."""
        mapped = MappedBuffer(self._handle, MapAccess(access))
        if not hasattr(self, "_mappings"):
            self._mappings: weakref.WeakSet[MappedBuffer] = weakref.WeakSet()
        self._mappings.add(mapped)
        return mapped

    def write(self, array: ArrayLike) -> None:
        """Copies an array of the buffer's shape in, converted to its type."""
        values = np.ascontiguousarray(array, numpy_dtype(self.dtype))
        if np.shape(array) != self.shape:
            raise ShapeMismatchError(f"expected {self.shape}, seen {np.shape(array)}")
        _native.anet_buffer_write(self._handle, values)

    def read(self) -> NDArray[Any]:
        """A copy of the elements; bf16 as uint16."""
        values = np.empty(self.shape, numpy_dtype(self.dtype))
        _native.anet_buffer_read(self._handle, values)
        return values

    def close(self) -> None:
        """Lets go of the buffer. A BufferError while an array of its memory lives."""
        if any(mapped.exported for mapped in getattr(self, "_mappings", ())):
            raise BufferError("expected no arrays of the buffer's memory, seen one that is in use")
        super().close()

    def __repr__(self) -> str:
        return "Buffer(closed)" if self.closed else f"Buffer({self.shape}, {self.dtype})"
