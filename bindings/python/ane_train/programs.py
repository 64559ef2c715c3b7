"""MIL programs, and their functions compiled for a device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, borrow, borrow_all, fill, record, struct_array
from .buffers import Buffer, numpy_dtype
from .device import Device
from .enums import Direction, DType
from .errors import InvalidArgumentError
from .options import DifferentiateOptions, ProgramQuantizeOptions
from .results import KernelStatistics, Port


def _port(struct: _native.anet_port) -> Port:
    desc = struct.desc
    shape, strides = desc.shape[: desc.rank], desc.strides[: desc.rank]
    return Port(struct.name, DType(desc.dtype), shape, strides)


class Program(Handle[_native.anet_program]):
    """A verified MIL program. Immutable: any thread.

    Args:
        text: the MIL text.
        blobs: the contents of the files that BLOBFILE names, by their path in the text.

    Errors:
        InvalidProgramError with line and column, InvalidBlobError.
    """

    __slots__ = ()

    def __init__(self, text: str, blobs: Mapping[str, Any] | None = None) -> None:
        files = []
        for path, data in (blobs or {}).items():
            file = _native.anet_blob_file()
            borrow(file, path=path, data=data)
            file.size_bytes = memoryview(data).nbytes
            files.append(file)
        array = struct_array(_native.blob_file_array, files)
        self._object = _native.anet_program_parse(text, array.cast(), len(files))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """Reads a .mil file; "@model_path" in it stands for its folder."""
        return cls._wrap(_native.anet_program_load(os.fspath(path)))

    @property
    def text(self) -> str:
        return _native.anet_program_get_text(self._handle)

    @property
    def functions(self) -> list[str]:
        count = _native.anet_program_function_count(self._handle)
        return [_native.anet_program_function_name(self._handle, index) for index in range(count)]

    def _ports(self, function: str | None, direction: Direction) -> list[Port]:
        ports = []
        for index in range(_native.anet_program_port_count(self._handle, function, direction)):
            port = _native.anet_port()
            _native.anet_program_get_port(self._handle, function, direction, index, port)
            ports.append(_port(port))
        return ports

    def inputs(self, function: str | None = None) -> list[Port]:
        """The inputs of a function, or of the first one, in the order of their declaration."""
        return self._ports(function, Direction.INPUT)

    def outputs(self, function: str | None = None) -> list[Port]:
        return self._ports(function, Direction.OUTPUT)

    def differentiate(
        self, function: str | None = None, **options: Unpack[DifferentiateOptions]
    ) -> Program:
        """The vector-Jacobian product: a program of two functions.

        `<function>` returns, after its own outputs, the values that the other one needs.
        `<function>_backward` takes the inputs it reads, those values and a seed `d_<output>` for each
        seeded output; it returns `d_<input>` for each chosen input.
        """
        struct = _native.anet_differentiate_options()
        inputs, outputs = options.pop("inputs", ()), options.pop("outputs", ())
        borrow_all(struct, _native.string_array, inputs=inputs, outputs=outputs)
        struct.input_count, struct.output_count = len(inputs), len(outputs)
        fill(struct, DifferentiateOptions, options)
        return Program._wrap(_native.anet_program_differentiate(self._handle, function, struct))

    def quantize(
        self,
        device: Device,
        samples: Sequence[Sequence[ArrayLike]],
        function: str | None = None,
        **options: Unpack[ProgramQuantizeOptions],
    ) -> Program:
        """A program whose products run on 8-bit activations and weights.

        Args:
            samples: sets of inputs, each in the order of the ports; they show how large activations
                are.
        """
        ports = self.inputs(function)
        buffers = []
        for sample in samples:
            if len(sample) != len(ports):
                raise InvalidArgumentError(f"expected {len(ports)} inputs, seen {len(sample)}")
            for port, values in zip(ports, sample):
                buffer = Buffer(device, port.shape, port.dtype)
                buffer.write(values)
                buffers.append(buffer)
        struct = fill(_native.anet_program_quantize_options(), ProgramQuantizeOptions, options)
        handles = [buffer._handle for buffer in buffers]
        return Program._wrap(
            _native.anet_program_quantize(device._handle, self._handle, function, handles, struct)
        )

    def compile(self, device: Device, function: str | None = None) -> Kernel:
        """Compiles a function, or the first one, for a device."""
        return Kernel(device, self, function)

    def __repr__(self) -> str:
        return "Program(closed)" if self.closed else f"Program({', '.join(self.functions)})"


class Kernel(Handle[_native.anet_kernel]):
    """A compiled function. One thread at a time.

    Call it with arrays, by position or by port name; it returns the outputs by name:
    `kernel(x=x)["y"]`. `run` takes buffers and copies nothing.
    """

    __slots__ = ("_inputs", "_outputs", "_buffers")

    def __init__(self, device: Device, program: Program, function: str | None = None) -> None:
        self._object = _native.anet_kernel_compile(device._handle, program._handle, function)
        self._inputs = self._ports(Direction.INPUT)
        self._outputs = self._ports(Direction.OUTPUT)
        self._buffers: tuple[list[Buffer], list[Buffer]] | None = None

    def _ports(self, direction: Direction) -> list[Port]:
        ports = []
        for index in range(_native.anet_kernel_port_count(self._handle, direction)):
            port = _native.anet_port()
            _native.anet_kernel_get_port(self._handle, direction, index, port)
            ports.append(_port(port))
        return ports

    @property
    def inputs(self) -> list[Port]:
        """The layout that bound buffers must have."""
        return list(self._inputs)

    @property
    def outputs(self) -> list[Port]:
        return list(self._outputs)

    def create_buffer(self, direction: Direction | str, index: int) -> Buffer:
        """A buffer of zeros that fits a port."""
        native = _native.anet_kernel_create_buffer(self._handle, Direction(direction), index)
        return Buffer._wrap(native)

    def run(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        """Runs on buffers in port order; returns when the outputs are written."""
        _native.anet_kernel_run(
            self._handle,
            [buffer._handle for buffer in inputs],
            [buffer._handle for buffer in outputs],
        )

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike) -> dict[str, NDArray[Any]]:
        names = [port.name for port in self._inputs]
        if len(arrays) > len(names):
            raise TypeError(f"expected at most {len(names)} inputs, seen {len(arrays)}")
        values = dict(zip(names, arrays))
        if again := sorted(values.keys() & named.keys()):
            raise TypeError(f"expected one value for {again[0]!r}, seen two")
        values |= named
        if values.keys() != set(names):
            raise TypeError(f"expected the inputs {names}, seen {list(values)}")
        if self._buffers is None:
            self._buffers = (
                [self.create_buffer(Direction.INPUT, i) for i in range(len(self._inputs))],
                [self.create_buffer(Direction.OUTPUT, i) for i in range(len(self._outputs))],
            )
        inputs, outputs = self._buffers
        for buffer, port in zip(inputs, self._inputs):
            buffer.write(np.asarray(values[port.name], numpy_dtype(port.dtype)))
        self.run(inputs, outputs)
        return {port.name: buffer.read() for buffer, port in zip(outputs, self._outputs)}

    @property
    def statistics(self) -> KernelStatistics:
        struct = _native.anet_kernel_statistics()
        _native.anet_kernel_get_statistics(self._handle, struct)
        return record(KernelStatistics, struct)

    @property
    def placement(self) -> tuple[str, str]:
        """Where it runs, "cpu", "ane" or "ane+cpu", and why the CPU has its part, else ""."""
        where, reason = _native.anet_kernel_get_placement(self._handle)
        return where, reason

    def __repr__(self) -> str:
        ports = ", ".join(port.name for port in self._inputs)
        return "Kernel(closed)" if self.closed else f"Kernel({ports})"
