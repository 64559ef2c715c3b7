"""What the classes share: handles that close, options from keywords, results from structs."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import operator
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .errors import InvalidHandleError

Result = TypeVar("Result")
Struct = TypeVar("Struct")
Native = TypeVar("Native")


class Handle(typing.Generic[Native]):
    """An object of the library. It holds what it needs, so objects may be closed in any order."""

    __slots__ = ("_object", "__weakref__")

    _object: Native | None

    def __init__(self) -> None:
        raise TypeError(f"expected one of the class methods that make a {type(self).__name__}")

    @classmethod
    def _wrap(cls, native: Native) -> Self:
        handle = cls.__new__(cls)
        handle._object = native
        return handle

    @property
    def _handle(self) -> Native:
        native = getattr(self, "_object", None)
        if native is None:
            raise InvalidHandleError(f"expected an open {type(self).__name__}, seen a closed one")
        return typing.cast(Native, native)

    @property
    def closed(self) -> bool:
        return getattr(self, "_object", None) is None

    def close(self) -> None:
        """Lets go of the object; twice does no harm. What still uses it goes on."""
        self._object = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: save it to a file instead")


class Memory:
    """Memory of the library as NumPy sees it; arrays of it keep the owner alive through this."""

    __slots__ = ("__array_interface__", "owner", "__weakref__")

    def __init__(
        self,
        owner: object,
        address: int,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        strides: tuple[int, ...] | None = None,
        writable: bool = True,
    ) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, not writable),
            "shape": shape,
            "strides": strides,
            "typestr": np.dtype(dtype).str,
            "version": 3,
        }


def keep(struct: Struct, *values: object) -> Struct:
    """Structs borrow what they point to, so they hold it as long as they live."""
    struct.__dict__.setdefault("_kept", []).extend(values)
    return struct


def borrow(struct: object, **fields: Any) -> None:
    """Sets fields to what the struct then points to."""
    for name, value in fields.items():
        setattr(struct, name, value)
    keep(struct, *fields.values())


@functools.cache
def option_types(schema: type) -> dict[str, object]:
    return typing.get_type_hints(schema)


def enumeration(hint: object) -> type[IntEnum] | None:
    """The enumeration in `Precision | str`."""
    for choice in (hint, *typing.get_args(hint)):
        if isinstance(choice, type) and issubclass(choice, IntEnum):
            return choice
    return None


def fill(struct: Struct, schema: type, values: Mapping[str, object]) -> Struct:
    """Sets the fields of a struct from keywords that a TypedDict describes; None is the default."""
    known = option_types(schema)
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{schema.__name__} have no {name!r}{hint}")
        if value is not None:
            assign(struct, name, value, enumeration(known[name]))
    return struct


def assign(struct: object, name: str, value: Any, choices: type[IntEnum] | None) -> None:
    if name == "stop_ids":
        value = ids_array(value)
        setattr(struct, "stop_count", len(value))
    elif choices is not None:
        value = choices(value)
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        borrow(struct, **{name: value})
    except OverflowError as error:
        raise ValueError(f"expected {name} in the range of its type, seen {value!r}") from error
    except TypeError as error:
        raise TypeError(f"expected another type for {name}, seen {value!r}") from error


def set_progress(struct: Any, progress: Callable[[str, int, int], object] | None) -> None:
    """Also without a callable: it is where Ctrl-C is noticed."""
    borrow(struct, progress=progress, user_data=progress)


Converters = list[tuple[int, Callable[[Any], object]]]


@functools.cache
def _reader(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], Converters]:
    """How a dataclass is read from a struct: all fields, and those that become something else."""
    # A field with a default is not of the struct.
    fields = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
    hints = typing.get_type_hints(cls)
    converters: Converters = []
    for index, name in enumerate(fields):
        if hints[name] is bool or enumeration(hints[name]) is not None:
            converters.append((index, hints[name]))
    return operator.attrgetter(*fields), converters


def record(cls: Callable[..., Result], struct: Any) -> Result:
    """The fields of a struct as a frozen dataclass."""
    getter, converters = _reader(typing.cast(type, cls))
    values = list(getter(struct))
    for index, convert in converters:
        values[index] = convert(values[index])
    return cls(*values)


def text(call: Callable[[bytearray | None], int]) -> str:
    """What a call writes that tells the length when it is given no room."""
    room = bytearray(call(None) + 1)
    return room[: call(room)].decode()


def ids_array(values: ArrayLike) -> NDArray[np.int32]:
    """Token ids as C-contiguous int32, without a copy where they are that already."""
    array = np.asarray(values)
    if array.dtype != np.int32:
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"expected whole numbers, seen {array.dtype}")
        limits = np.iinfo(np.int32)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise ValueError("expected numbers of 32 bits")
        array = array.astype(np.int32)
    return np.ascontiguousarray(array)


def struct_array(array: type, structs: Sequence[Any]) -> Any:
    """Copies of structs, or strings, side by side; the result holds what they hold."""
    room = array(len(structs))
    for index, struct in enumerate(structs):
        room[index] = struct
    return keep(room, structs)


def borrow_all(struct: Any, array: type, **fields: Sequence[Any]) -> None:
    """Sets fields to several values side by side."""
    for name, values in fields.items():
        room = struct_array(array, values)
        setattr(struct, name, room.cast())
        keep(struct, room)
