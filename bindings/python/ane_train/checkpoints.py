"""Checkpoints: folders of safetensors and state.json, written atomically, checksummed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import _native
from ._support import text
from .enums import CheckpointChoice


def find_checkpoint(
    root: str | os.PathLike[str], choice: CheckpointChoice | str = CheckpointChoice.LATEST
) -> Path:
    """The latest or the best checkpoint under a root; damaged ones are passed over.

    Errors:
        NotFoundError saying why each candidate was passed over.
    """
    wanted = CheckpointChoice(choice)
    return Path(text(lambda room: _native.anet_checkpoint_find(os.fspath(root), wanted, room)))


def inspect_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state of a checkpoint, after every file's checksum was verified.

    Errors:
        ChecksumError, InvalidCheckpointError, VersionError.
    """
    state = json.loads(text(lambda room: _native.anet_checkpoint_inspect(os.fspath(path), room)))
    assert isinstance(state, dict)
    return state
