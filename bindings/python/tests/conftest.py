"""What the tests share: a small model, text, and the objects made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ane_train import Dataset, Device, Model, Session, Tokenizer

LENGTH = 32
BATCH = 2
TEXT = "".join(f"Line {n}: the number after {n} is {n + 1}.\n" for n in range(120))


@pytest.fixture(scope="session")
def device() -> Device:
    return Device("cpu", threads=2)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.bytes()


@pytest.fixture(scope="session")
def dataset(tokenizer: Tokenizer) -> Dataset:
    return Dataset(tokenizer.encode(TEXT), LENGTH, vocab_size=512, seed=3)


@pytest.fixture
def model() -> Model:
    return Model.create("stories260K", seed=7)


@pytest.fixture
def make_session(device: Device) -> Iterator[Callable[..., Session]]:
    """Sessions that are closed after the test."""
    made = []

    def make(trained: Any = None, **options: Any) -> Session:
        settings = {"batch_size": BATCH, "sequence_length": LENGTH, "learning_rate": 1e-3} | options
        trained = trained or Model.create("stories260K", seed=7)
        made.append(Session(device, trained, **settings))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: Callable[..., Session]) -> Session:
    return make_session()


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path
