"""The annotations hold: mypy reads package and example, stubtest compares with what runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(os.environ["ANE_TRAIN_PACKAGE"])
CONFIG = Path(__file__).parents[1] / "pyproject.toml"
CACHE = PACKAGE.parent / "python-objects" / "mypy"


def check(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    environment = os.environ | {"MYPYPATH": str(PACKAGE), "MYPY_CACHE_DIR": str(CACHE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=PACKAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy_strict() -> None:
    assert "no issues found" in check("mypy", "--config-file", str(CONFIG), "-p", "ane_train")


def test_mypy_strict_of_a_program() -> None:
    example = Path(__file__).parents[3] / "examples" / "python" / "finetune.py"
    assert "no issues found" in check("mypy", "--config-file", str(CONFIG), str(example))


def test_stubtest() -> None:
    output = check("mypy.stubtest", "ane_train", "--mypy-config-file", str(CONFIG))
    assert "no issues found" in output
