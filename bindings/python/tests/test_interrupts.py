"""Ctrl-C, cancelling, threads and callbacks: nothing hangs, and the session is as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from ane_train import Busy, Cancelled, Dataset, Device, LogLevel, Model, Session

from conftest import BATCH

# A step of about a second, an interrupt in the midst of it, and the step again.
PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
from ane_train import Dataset, Device, Generator, Model, Session

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
device = Device("cpu", threads=2)
model = Model.create("stories15M", seed=1)
ids = np.random.default_rng(0).integers(0, 32000, (2, 257)).astype(np.int32)
batch = ids[:, :-1], ids[:, 1:]
session = Session(device, model, batch_size=2, sequence_length=256)
began = time.monotonic()
session.step(*batch)
took = time.monotonic() - began
before, step = session.weights.copy(), session.step_count

def interrupt():
    time.sleep(took / 4)
    os.kill(os.getpid(), signal.SIGINT)

def interrupted(call):
    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    try:
        call()
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted", "in the midst" if time.monotonic() - began < took * 0.9 else "late")
    thread.join()
"""

STEP = """
interrupted(lambda: session.step(*batch))
print(np.array_equal(before, session.weights), session.step_count == step)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
session.step(*batch)
print("goes on", session.step_count - step)
"""

LOOPS = """
data = Dataset(np.tile(ids.reshape(-1), 200), 256, vocab_size=32000)  # no call ends by itself
interrupted(lambda: session.fit(data, steps=50))
interrupted(lambda: list(session.train(data, steps=50)))
interrupted(lambda: session.evaluate(data, 200))
session.fit(data, steps=1, callback=lambda event: interrupted(lambda: session.evaluate(data, 200)))
"""

OWN_HANDLER = """
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
interrupted(lambda: session.step(*batch))
print(seen == [signal.SIGINT], session.step_count - step)
"""


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_ctrl_c_stops_within_a_step() -> None:
    assert run(STEP) == ["interrupted in the midst", "True True", "True", "goes on 1"]


def test_ctrl_c_stops_loops_and_calls_in_callbacks() -> None:
    assert [line.split()[0] for line in run(LOOPS)] == ["interrupted"] * 4


def test_a_handler_of_the_program_stays_in_charge() -> None:
    assert run(OWN_HANDLER) == ["not interrupted", "True 1"]


def test_ctrl_c_in_a_callback_comes_out(session: Session, dataset: Dataset) -> None:
    def interrupt(event: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        session.fit(dataset, steps=5, callback=interrupt)
    assert session.step_count == 1
    assert session.fit(dataset, steps=1).step.step == 2


def test_cancel_undoes_the_step(session: Session, dataset: Dataset) -> None:
    before = session.weights.copy()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                session.evaluate(dataset)
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        session.cancel()
        time.sleep(0.001)
    thread.join()
    assert len(raised) == 1 and np.array_equal(before, session.weights)


def test_overlapping_calls_are_busy(session: Session, dataset: Dataset) -> None:
    batch = dataset.read(0, BATCH)

    def step(event: object) -> None:
        with pytest.raises(Busy) as raised:
            session.step(batch)
        assert raised.value.retryable

    session.fit(dataset, steps=1, callback=step)
    assert session.step_count == 1


def test_other_threads_run_during_a_call(device: Device) -> None:
    """Without the lock released they would count once, before the call or after it."""
    model = Model.create("stories15M")
    ids = np.zeros((2, 128), np.int32)
    during = 0
    done = threading.Event()

    def count() -> None:
        nonlocal during
        while not done.is_set():
            during += 1
            time.sleep(0.001)

    with Session(device, model, batch_size=2, sequence_length=128) as session:
        session.eval(ids, ids)
        thread = threading.Thread(target=count)
        thread.start()
        during = 0
        seconds = session.eval(ids, ids).seconds
        seen = during
        done.set()
        thread.join()
    assert seen > 100 * seconds


def test_closing_during_a_call_does_no_harm(device: Device, dataset: Dataset, model: Model) -> None:
    session = Session(device, model, batch_size=BATCH, sequence_length=32)
    result = session.fit(dataset, steps=2, callback=lambda event: session.close())
    assert session.closed and result.step.step == 2


def test_log_messages_arrive_and_the_callable_is_released() -> None:
    import gc
    import weakref

    class Log:
        messages: list[tuple[LogLevel, str]] = []

        def __call__(self, level: LogLevel, message: str) -> None:
            self.messages.append((level, message))

    log = Log()
    gone = weakref.ref(log)
    device = Device("cpu", threads=1, log=log, log_level="debug")
    assert any(level == LogLevel.INFO and "cpu" in text for level, text in log.messages)
    with pytest.raises(LookupError):
        Device("gpu", log=log, log_level="debug")
    del log
    gc.collect()
    assert gone() is not None
    device.close()
    gc.collect()
    assert gone() is None


def test_log_goes_to_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="ane_train"):
        Device("cpu", threads=1, log_level="info").close()
    assert any("cpu" in record.getMessage() for record in caplog.records)


def test_an_exception_in_a_log_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda args: seen.append(args.exc_value)
    try:
        Device("cpu", threads=1, log=lambda level, text: 1 / 0, log_level="info").close()
    finally:
        sys.unraisablehook = before
    assert seen and all(isinstance(error, ZeroDivisionError) for error in seen)
