"""Logs that `ane-train train` writes, for the tests of what reads them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

# Where the command is: beside the built package.
BUILD = Path(os.environ["ANE_TRAIN_PACKAGE"]).parent
MODEL = """{"hidden_size": 32, "intermediate_size": 48, "layer_count": 2, "head_count": 2,
            "context_length": 32, "tie_embeddings": true}"""


def train(folder: Path, flags: str, emulator: str = "") -> Path:
    """The log of a run of `ane-train train`."""
    text, log = folder / "text.txt", folder / "run.jsonl"
    text.write_text("".join(f"{n} and one make {n + 1}.\n" for n in range(200)))
    environment = dict(os.environ, ANE_EMULATOR=emulator, XDG_CACHE_HOME=str(folder))
    command = [BUILD / "ane-train", "train", "--model", MODEL, "--data", text, "--log", log]
    command += ["--batch-size", "2", "--learning-rate", "0.003", *shlex.split(flags)]
    command += ["--checkpoint-root", folder / "checkpoints"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return log


@pytest.fixture(scope="session")
def cpu_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = "--device cpu --steps 30 --schedule cosine --warmup-steps 5"
    samples = "--sample '1 and' --sample-tokens 5"
    return train(tmp_path_factory.mktemp("cpu"), f"{flags} {samples}")


@pytest.fixture(scope="session")
def engine_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On the emulated engine, which fails from the middle of the run on."""
    if sys.platform != "linux":
        pytest.skip("the emulator of the Neural Engine runs on Linux alone")
    flags = f"--device ane --framework {BUILD}/libane_emulator.so --placement engine --steps 8"
    return train(tmp_path_factory.mktemp("ane"), flags, emulator="fail_evaluate=150+")
