"""A few cycles of the stress test; `make python-stress` makes thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_nothing_is_left_behind() -> None:
    command = [sys.executable, str(Path(__file__).with_name("stress.py")), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" passed, 0 failed")
