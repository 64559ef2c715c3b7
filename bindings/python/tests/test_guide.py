"""docs/python.md: its programs, in their order, with a small model under the name of a real one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from run_logs import BUILD

ROOT = Path(__file__).resolve().parents[3]
FOLDER = "SmolLM2-135M-Instruct"
SHAPE = json.dumps(
    {"hidden_size": 64, "intermediate_size": 96, "layer_count": 2, "head_count": 4,
     "context_length": 256, "tie_embeddings": True})  # fmt: skip


def make_model(work: Path) -> None:
    """The model folder and the conversations that the guide begins with."""
    tiny = work / "tiny"
    subprocess.run([sys.executable, ROOT / "scripts" / "tiny_model.py", tiny], check=True)
    (tiny / "chats").rename(work / "chats")
    command = [BUILD / "ane-train", "train", "--model", SHAPE, "--data", tiny / "text.txt"]
    command += ["--tokenizer", tiny / "tokenizer", "--sequence-length", "64", "--steps", "2"]
    command += ["--export", work / FOLDER]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_the_guide_does_what_it_says(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 12
    make_model(tmp_path)
    program = tmp_path / "guide.py"
    # Each block is at the line of the page, so that a traceback points there.
    lines = [""] * guide.count("\n")
    for block in blocks:
        first = guide[: guide.index(block)].count("\n")
        lines[first : first + block.count("\n")] = block.splitlines()
    program.write_text("\n".join(lines), "utf-8")
    environment = dict(os.environ, ANE_TRAIN_FRAMEWORK=str(tmp_path / "none"))
    done = subprocess.run([sys.executable, "-X", "dev", program], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"validation (\d+\.\d+)", done.stdout)]
    assert len(losses) == 2 and losses[1] < losses[0] < float(
        re.findall(r"before: (\d+\.\d+)", done.stdout)[0])  # fmt: skip
    assert re.search(r"^25$", done.stdout, re.MULTILINE)
    assert "file not found" in done.stdout and "learning_rate" in done.stdout
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size > 10_000
    assert (tmp_path / "tuned.gguf").read_bytes()[:4] == b"GGUF"
    assert "Warning" not in done.stderr, done.stderr
    dashboard = [sys.executable, "-m", "ane_train.dashboard", "--once", tmp_path / "run.jsonl"]
    picture = subprocess.run(dashboard, capture_output=True, text=True, timeout=60)
    assert picture.returncode == 0 and f"step 45 of 45" in picture.stdout, picture


def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    [block] = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block.count("steps=100") == 1
    (tmp_path / "notes.txt").write_text("All that I know about notes. " * 100)
    (tmp_path / "program.py").write_text(block.replace("steps=100", "steps=2"))
    environment = dict(os.environ, ANE_TRAIN_FRAMEWORK=str(tmp_path / "none"))
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"1 \d\.\d+\n2 \d\.\d+\n", done.stdout), done.stdout
    assert (tmp_path / "checkpoints" / "step-00000002").is_dir()
