"""The example in Python prints what the example in C prints, losses to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUILD = Path(os.environ["ANE_TRAIN_PACKAGE"]).parent
CONFIG = {"hidden_size": 32, "intermediate_size": 64, "layer_count": 2, "head_count": 2}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def model_folder(tmp_path: Path, text_file: Path) -> Path:
    """A small chat model as Hugging Face's tools would leave it, and chats beside it."""
    run(sys.executable, ROOT / "scripts" / "tiny_model.py", tmp_path / "tiny")
    options = ["--tokenizer", tmp_path / "tiny" / "tokenizer", "--data", text_file, "--steps", "1"]
    options += ["--model", json.dumps(CONFIG), "--sequence-length", "32"]
    run(BUILD / "ane-train", "train", *options, "--export", tmp_path / "tiny" / "base")
    return tmp_path / "tiny"


def test_the_example_is_that_of_c(model_folder: Path, tmp_path: Path) -> None:
    inputs = [model_folder / "base", model_folder / "chats"]
    in_c = run(BUILD / "examples" / "07_finetune_jsonl", *inputs, tmp_path / "c", "6")
    example = ROOT / "examples" / "python" / "finetune.py"
    in_python = run(sys.executable, example, *inputs, tmp_path / "python", "6")
    assert "step         6  loss" in in_c
    assert in_python == in_c
    for name in ("adapter/adapter_model.safetensors", "model.gguf"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "python" / name).read_bytes()
