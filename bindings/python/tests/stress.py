"""Creates, uses and destroys objects of every class, many times, and looks for what is left.

    python stress.py [cycles] [kind...]

After a fifth of the cycles as a warm-up, the bytes in use of C's heap and the blocks of Python's must
stay what they are. Under AddressSanitizer its leak check replaces the count.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ane_train
from ane_train import Adapter, AneTrainError, Buffer, ChatTemplate, Dataset, Device, Examples
from ane_train import Generator, Model, ModelConfig, Program, Session, Tokenizer

from test_buffers import PROGRAM

# Growth that is no leak: caches of the allocators and of the interpreter.
HEAP_BYTES, PYTHON_BLOCKS = 64 * 1024, 2000
# The fields of glibc's mallinfo2.
MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

CONFIG = ModelConfig(
    vocab_size=258,
    hidden_size=16,
    intermediate_size=32,
    layer_count=1,
    head_count=2,
    context_length=32,
)
IDS = np.arange(16, dtype=np.int32).reshape(1, 16)
FOLDER = Path(tempfile.mkdtemp())
TEXT = FOLDER / "text.jsonl"
TEXT.write_text("".join(json.dumps({"text": f"number {n}"}) + "\n" for n in range(4)))

device = Device("cpu", threads=1)
model = Model.create(CONFIG)
tokenizer = Tokenizer.bytes()
program = Program(PROGRAM)
dataset = Dataset(np.arange(64) % 32, 16, vocab_size=258)
session = Session(device, model, batch_size=1, sequence_length=16)
generator = Generator(device, model, tokenizer)


class Planned(Exception):
    """Raised by callbacks."""


def fail(*arguments: object) -> None:
    raise Planned


def expect(kind: type[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


def devices() -> None:
    messages: list[str] = []
    with Device(
        "cpu", threads=1, log=lambda level, text: messages.append(text), log_level=4
    ) as one:
        assert one.info.threads == 1 and messages


def buffers() -> None:
    buffer = Buffer(device, (4, 4))
    with buffer.map() as memory:
        memory.array[:] = 1
    assert buffer.read().sum() == 16
    shared = device.aligned_empty((8,), np.float32)
    shared[:] = 2
    assert Buffer.wrap(device, shared).read().sum() == 16


def views() -> None:
    """Arrays that are the last to go."""
    mapped = Buffer(Device("cpu", threads=1), (16,)).map()
    array = mapped.array[::2]
    del mapped
    array[:] = 3
    assert array.sum() == 24


def programs() -> None:
    derivative = Program(PROGRAM).differentiate(inputs=["x"])
    kernel = derivative.compile(device)
    assert kernel(np.ones(4), np.ones(4))["y"].tolist() == [2, 2, 2, 2]


def models() -> None:
    one = Model.create(CONFIG)
    names = list(one.parameters)
    one.parameters[names[0]] = one.parameters[names[0]] + 1
    assert one.quantize().weight_bytes < one.weight_bytes


def adapters() -> None:
    base = Model.create(CONFIG)
    adapter = Adapter.create(base, rank=2, overrides=[ane_train.AdapterOverride("q_proj", rank=1)])
    assert adapter.info.rank == 2 and base.merge((adapter, 0.5)).weight_count
    with Session(device, adapter, batch_size=1, sequence_length=16) as short:
        short.step(IDS, IDS)


def texts() -> None:
    one = Tokenizer.bytes()
    decoder = one.decoder()
    assert "".join(map(decoder.push, one.encode("añb").tolist())) == "añb"
    template = ChatTemplate.built_in("chatml")
    assert "hello" in template.render([{"role": "user", "content": "hello"}])


def data() -> None:
    examples = Examples.open(TEXT, tokenizer, progress=lambda *where: None)
    assert examples.rows(16).read(0, 1).tokens.shape == (1, 16)
    assert Dataset(np.arange(64), 16, vocab_size=258).split(0.5)[0].fingerprint


def sessions() -> None:
    with Session(device, Model.create(CONFIG), batch_size=1, sequence_length=16) as one:
        weights = one.weights[5:]
        one.step(IDS, IDS)
        one.forward_backward(IDS, IDS)
        one.properties["n"] = str(one.gradients.size)
        one.optimizer_step()
        assert one.step_count == 2
    del one
    assert np.isfinite(weights).all()


def loops() -> None:
    session.history.clear()
    for _ in session.train(dataset, dataset, steps=3, eval_every=1):
        break
    session.fit(dataset, steps=1, callback=lambda event: None)


def generators() -> None:
    one = Generator(device, model, tokenizer, batch_size=2)
    assert one.generate("ab", max_tokens=2).generated_tokens == 2
    assert len(one.generate_batch(["a", "b"], max_tokens=2)) == 2
    for _ in generator.stream("ab", max_tokens=9):
        break


def failures() -> None:
    expect(FileNotFoundError, lambda: Model.load("/nowhere"))
    expect(ValueError, lambda: session.step(IDS[:, :3], IDS[:, :3]))
    expect(TypeError, lambda: Session(device, model, rate=1))  # type: ignore[call-arg]
    expect(AneTrainError, lambda: Program("nonsense"))


def callbacks() -> None:
    session.history.clear()
    expect(Planned, lambda: session.fit(dataset, steps=2, callback=fail))
    expect(Planned, lambda: generator.generate("a", max_tokens=3, callback=fail))
    expect(Planned, lambda: generator.generate_batch(["a", "b"], max_tokens=3, callback=fail))
    expect(Planned, lambda: Examples.open(TEXT, tokenizer, progress=fail))


def interrupts() -> None:
    """Ctrl-C at some moment of a step; weights move by whole steps alone."""
    session.history.clear()
    before, step = session.weights.copy(), session.step_count
    timer = threading.Timer(random.random() * 2e-3, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        while True:
            session.step(IDS, IDS)
            before, step = session.weights.copy(), session.step_count
    except KeyboardInterrupt:
        pass
    timer.join()
    if session.step_count == step:
        assert np.array_equal(before, session.weights)


pool: list[Any] = []


def orders() -> None:
    """Objects released in random order, parents before children and after."""
    parent = Device("cpu", threads=1)
    one = Model.create(CONFIG)
    adapter = Adapter.create(one, rank=1)
    training = Session(parent, adapter, batch_size=1, sequence_length=16)
    writing = Generator(parent, one, tokenizer)
    buffer = Buffer(parent, (4,))
    mapped = buffer.map()
    pool.extend([parent, one, adapter, training, writing, buffer, training.weights, mapped.array])
    random.shuffle(pool)
    while len(pool) > 24:
        gone = pool.pop()
        if hasattr(gone, "close") and random.random() < 0.5 and not isinstance(gone, Buffer):
            gone.close()


KINDS = [devices, buffers, views, programs, models, adapters, texts, data, sessions, loops]
KINDS += [generators, failures, callbacks, interrupts, orders]


class Heap:
    """What is in use: bytes of C's heap (0 where glibc does not say), blocks of Python's."""

    def __init__(self) -> None:
        class Info(ctypes.Structure):
            _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO]

        self.c_library = ctypes.CDLL(None)
        self.mallinfo = getattr(self.c_library, "mallinfo2", None)
        if self.mallinfo is not None:
            self.mallinfo.restype = Info
        self.sanitized = hasattr(self.c_library, "__lsan_do_recoverable_leak_check")

    def measure(self) -> tuple[int, int]:
        session.history.clear()
        pool.clear()
        gc.collect()
        if self.mallinfo is None or self.sanitized:
            return 0, sys.getallocatedblocks()
        info = self.mallinfo()
        return info.hblkhd + info.uordblks, sys.getallocatedblocks()


def main() -> int:
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    chosen = [kind for kind in KINDS if not sys.argv[2:] or kind.__name__ in sys.argv[2:]]
    warnings.simplefilter("ignore", ResourceWarning)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    random.seed(1)
    heap, bad = Heap(), 0
    for kind in chosen:
        began = time.monotonic()
        for cycle in range(cycles):
            if cycle == cycles // 5:
                before = heap.measure()
            kind()
        grown = [after - earlier for after, earlier in zip(heap.measure(), before)]
        leaks = grown[0] > HEAP_BYTES or grown[1] > PYTHON_BLOCKS
        bad += leaks
        print(
            f"{kind.__name__:<12} {cycles} cycles {time.monotonic() - began:7.1f} s"
            f" {grown[0]:9} bytes {grown[1]:6} blocks{'  LEAKS' if leaks else ''}",
            flush=True,
        )
    print(f"{len(chosen) - bad} passed, {bad} failed")
    return bad


def leak_check() -> int:
    """AddressSanitizer's. It does not see the frames of Python, so it comes when main has none."""
    sanitizer = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)
    leaks = sanitizer is not None and sanitizer() != 0
    if sanitizer is not None:
        print("leak check of the sanitizer:", "LEAKS" if leaks else "nothing found")
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main() + leak_check() > 0)
