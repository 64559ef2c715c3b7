"""Buffers, programs and kernels: memory is shared, and lives as long as anybody looks at it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from ane_train import Buffer, Device, Direction, DType, Kernel, Program
from ane_train.errors import Busy, InvalidArgumentError, ShapeMismatchError, UnsupportedError
from ane_train.errors import TypeMismatchError

PROGRAM = """program(1.0)
{
  func main<ios16>(tensor<fp32, [4]> x, tensor<fp32, [4]> w) {
    tensor<fp32, [4]> p = mul(x = x, y = w)[name = tensor<string, []>("p")];
    tensor<fp32, [4]> y = add(x = p, y = w)[name = tensor<string, []>("y")];
  } -> (y);
}
"""


@pytest.fixture
def program() -> Program:
    return Program(PROGRAM)


def test_arrays_are_the_memory(device: Device) -> None:
    buffer = Buffer(device, (2, 3))
    with buffer.map() as memory:
        first, second = memory.array, memory.array
        assert first.ctypes.data == second.ctypes.data
        first[1, 2] = 5
        assert second[1, 2] == 5
        del first, second
    assert buffer.read()[1, 2] == 5
    assert buffer.shape == (2, 3) and buffer.dtype == DType.FP32
    assert buffer.strides[-1] == 4


def test_unmapping_under_an_array_is_refused(device: Device) -> None:
    buffer = Buffer(device, (8,), np.int32)
    mapped = buffer.map()
    view = mapped.array[2:4]
    with pytest.raises(BufferError, match="in use"):
        mapped.unmap()
    with pytest.raises(BufferError, match="in use"):
        buffer.close()
    view[:] = 7
    del view
    mapped.unmap()
    mapped.unmap()
    with pytest.raises(ValueError, match="unmapped"):
        mapped.array
    assert buffer.read().tolist() == [0, 0, 7, 7, 0, 0, 0, 0]


def test_views_outlive_everything_else() -> None:
    device = Device("cpu", threads=1)
    buffer = Buffer(device, (4,))
    mapped = buffer.map()
    array = mapped.array
    array[:] = [1, 2, 3, 4]
    gone = weakref.ref(mapped)
    del mapped, buffer
    device.close()
    del device
    gc.collect()
    assert gone() is not None
    assert array.tolist() == [1, 2, 3, 4]
    with pytest.warns(ResourceWarning, match="not unmapped"):
        del array
        gc.collect()
    assert gone() is None


def test_read_access_is_read_only(device: Device) -> None:
    with Buffer(device, (4,)).map("read") as memory:
        with pytest.raises(ValueError, match="read-only"):
            memory.array[0] = 1


def test_wrapped_arrays_are_shared(device: Device) -> None:
    array = device.aligned_empty((4,), np.float32)
    array[:] = [1, 2, 3, 4]
    buffer = Buffer.wrap(device, array)
    with buffer.map() as memory:
        assert memory.array.ctypes.data == array.ctypes.data
        memory.array[0] = 9
    assert array[0] == 9
    with pytest.raises(InvalidArgumentError, match="align"):
        Buffer.wrap(device, np.frombuffer(bytearray(64 + 17), np.uint8)[1:].view(np.uint8)[:16])


def test_wrapped_memory_lives_as_long_as_the_buffer(device: Device) -> None:
    array = device.aligned_empty((4,), np.float32)
    array[:] = 3
    base = weakref.ref(array)
    buffer = Buffer.wrap(device, array)
    del array
    gc.collect()
    assert base() is not None and buffer.read().tolist() == [3, 3, 3, 3]
    buffer.close()
    gc.collect()
    assert base() is None


def test_write_checks_shapes_and_converts(device: Device) -> None:
    buffer = Buffer(device, (2, 2), "fp16")
    buffer.write([[1, 2], [3, 4]])
    assert buffer.read().dtype == np.float16
    with pytest.raises(ShapeMismatchError):
        buffer.write([1, 2, 3, 4])
    with pytest.raises(TypeError, match="complex"):
        Buffer(device, (1,), np.complex64)
    with pytest.raises(TypeMismatchError):
        Buffer(device, (1,), DType.UNDEFINED)
    with pytest.raises(ValueError, match="at most 8"):
        Buffer(device, (1,) * 9)
    assert Buffer.from_array(device, np.arange(3, dtype=np.int8)).read().tolist() == [0, 1, 2]


def test_iosurfaces_need_the_engine(device: Device) -> None:
    with pytest.raises(UnsupportedError):
        Buffer.from_iosurface(device, 0x1000, (4,), np.float16)
    with pytest.raises(UnsupportedError):
        Buffer.from_iosurface_id(device, 1, (4,), np.float16)
    buffer = Buffer(device, (4,))
    assert buffer.iosurface is None and buffer.iosurface_id is None


def test_programs_tell_their_ports(program: Program) -> None:
    assert program.functions == ["main"]
    assert [port.name for port in program.inputs()] == ["x", "w"]
    assert program.outputs("main")[0].shape == (4,)
    assert Program(program.text).text == program.text


def test_kernels_are_called_with_arrays(program: Program, device: Device) -> None:
    kernel = program.compile(device)
    x, w = np.array([1, 2, 3, 4], np.float32), np.float32([5, 6, 7, 8])
    expected = x * w + w
    assert np.array_equal(kernel(x, w)["y"], expected)
    assert np.array_equal(kernel(w=w, x=x)["y"], expected)
    assert np.array_equal(kernel(x, w=w)["y"], expected)
    for arguments, named in [
        ((x,), {}),
        ((x, w, x), {}),
        ((x, w), {"x": x}),
        ((), {"x": x, "v": w}),
    ]:
        with pytest.raises(TypeError, match="expected"):
            kernel(*arguments, **named)
    assert kernel.statistics.runs == 3
    assert kernel.placement == ("cpu", "")


def test_kernels_run_on_buffers(program: Program, device: Device) -> None:
    kernel = Kernel(device, program)
    inputs = [kernel.create_buffer("input", index) for index in range(2)]
    output = kernel.create_buffer(Direction.OUTPUT, 0)
    inputs[0].write([1, 2, 3, 4])
    inputs[1].write([1, 1, 1, 1])
    with inputs[0].map():
        with pytest.raises(Busy):
            kernel.run(inputs, [output])
    kernel.run(inputs, [output])
    assert output.read().tolist() == [2, 3, 4, 5]
    with pytest.raises(TypeError, match="expected buffers"):
        from ane_train import _native

        _native.anet_kernel_run(kernel._handle, [kernel._handle], [])


def test_differentiate(program: Program, device: Device) -> None:
    derivative = program.differentiate("main", inputs=["x"], taps="none")
    assert derivative.functions == ["main", "main_backward"]
    backward = derivative.compile(device, "main_backward")
    values = {port.name: np.full(port.shape, 2, np.float32) for port in backward.inputs}
    assert backward(**values)["d_x"].tolist() == [4, 4, 4, 4]
    with pytest.raises(LookupError):
        program.differentiate(inputs=["z"])
