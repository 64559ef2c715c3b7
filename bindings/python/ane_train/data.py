"""Examples that people write, and rows of tokens to train on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, borrow, fill, ids_array, set_progress, text
from .device import Device
from .options import DatasetOptions, ExamplesOptions, RowsOptions
from .text import ChatTemplate, Tokenizer

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch: int32 arrays [batch_size, sequence_length].

    A target is the id that its position must predict, -1 where nothing is to be learned. A position
    is a token's place in its document; None: 0, 1, 2, ... in each part. `parts` are the sequences
    side by side in each row.
    """

    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    positions: NDArray[np.int32] | None = None
    parts: int = 1


def batch_struct(batch: Batch) -> _native.anet_batch:
    tokens, targets = ids_array(batch.tokens), ids_array(batch.targets)
    positions = None if batch.positions is None else ids_array(batch.positions)
    for name, array in (("targets", targets), ("positions", positions)):
        if array is not None and array.shape != tokens.shape:
            raise ValueError(f"expected {name} of shape {tokens.shape}, seen {array.shape}")
    if tokens.ndim != 2:
        raise ValueError(f"expected tokens [batch_size, sequence_length], seen {tokens.shape}")
    struct = _native.anet_batch()
    struct.sequence_count, struct.sequence_length = tokens.shape
    struct.parts = batch.parts
    borrow(struct, tokens=tokens, targets=targets, positions=positions)
    return struct


def micro_batches(
    tokens: ArrayLike | Batch | Sequence[Batch],
    targets: ArrayLike | None,
    positions: ArrayLike | None,
) -> list[Batch]:
    """One micro-batch from arrays, or those that are given."""
    if isinstance(tokens, Batch):
        batches = [tokens]
    elif isinstance(tokens, Sequence) and tokens and all(isinstance(t, Batch) for t in tokens):
        batches = [batch for batch in tokens if isinstance(batch, Batch)]
    elif targets is None:
        raise TypeError("expected targets with tokens, or batches")
    else:
        held = None if positions is None else ids_array(positions)
        return [Batch(ids_array(tokens), ids_array(targets), held)]  # type: ignore[arg-type]
    if targets is not None or positions is not None:
        raise TypeError("expected batches alone: they have their targets and positions")
    return batches


def micro_batch(
    tokens: ArrayLike | Batch, targets: ArrayLike | None, positions: ArrayLike | None
) -> Batch:
    """For calls that take one alone."""
    batches = micro_batches(tokens, targets, positions)
    if len(batches) != 1:
        raise ValueError(f"expected one micro-batch, seen {len(batches)}; step takes several")
    return batches[0]


class Examples(Handle[_native.anet_examples]):
    """Token ids with the mask of what is to be learned. Immutable: any thread.

    Args:
        examples: the ids of each.
        masks: true where a token is to be learned, as many as ids for each example; None: all are.
        vocab_size: ids must be below it.
    """

    __slots__ = ()

    def __init__(
        self,
        examples: Sequence[ArrayLike],
        masks: Sequence[ArrayLike] | None = None,
        *,
        vocab_size: int,
    ) -> None:
        ids = [ids_array(example) for example in examples]
        lengths = np.array([len(example) for example in ids], np.uint64)
        mask = None
        if masks is not None:
            parts = [np.asarray(part, np.bool_) for part in masks]
            if [part.shape for part in parts] != [example.shape for example in ids]:
                raise ValueError("expected a mask as long as its example for each example")
            mask = np.concatenate(parts) if parts else np.empty(0, np.bool_)
        flat = np.concatenate(ids) if ids else np.empty(0, np.int32)
        self._object = _native.anet_examples_create(flat, mask, lengths, len(ids), vocab_size)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        tokenizer: Tokenizer,
        *,
        chat_template: ChatTemplate | None = None,
        device: Device | None = None,
        progress: Progress | None = None,
        **options: Unpack[ExamplesOptions],
    ) -> Examples:
        """Reads and tokenises a file, or a part of a folder.

        Args:
            path: .jsonl has one object a line: {"messages"}, {"prompt", "completion"}, {"text"} or
                {"ids", "mask"}; .bin has token ids, another suffix means text.
            chat_template: None: conversations are refused.
            device: its threads tokenise too; the result is the same.
            progress: called with file, bytes done and bytes in all; a true answer cancels.
        """
        struct = fill(_native.anet_examples_options(), ExamplesOptions, options)
        if chat_template is not None:
            borrow(struct, chat_template=chat_template._handle)
        if device is not None:
            borrow(struct, device=device._handle)
        set_progress(struct, progress)
        return cls._wrap(_native.anet_examples_open(os.fspath(path), tokenizer._handle, struct))

    def split(self, fraction: float) -> tuple[Examples, Examples]:
        """The examples without the last `fraction`, and those."""
        first, last = _native.anet_examples_split(self._handle, fraction)
        return Examples._wrap(first), Examples._wrap(last)

    def __len__(self) -> int:
        return _native.anet_examples_count(self._handle)

    @property
    def token_count(self) -> int:
        return _native.anet_examples_token_count(self._handle)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Ids, int32 [count], and mask, bool [count], of one example."""
        place = index + len(self) if index < 0 else index
        count = _native.anet_examples_read(self._handle, place, None, None, 0)
        ids, mask = np.empty(count, np.int32), np.empty(count, np.bool_)
        _native.anet_examples_read(self._handle, place, ids, mask, count)
        return ids, mask

    def __iter__(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
        return (self[index] for index in range(len(self)))

    def describe(self, index: int, tokenizer: Tokenizer) -> list[dict[str, Any]]:
        """The runs of an example's mask: {"text", "supervised", "tokens"} each."""
        found = json.loads(
            text(
                lambda room: _native.anet_examples_describe(
                    self._handle, index, tokenizer._handle, room
                )
            )
        )
        assert isinstance(found, list)
        return found

    @property
    def report(self) -> dict[str, Any]:
        """What the files held: rows by kind, rows that cannot be used and why, lengths, supervised
        tokens, duplicates. Reads all examples."""
        found = json.loads(text(lambda room: _native.anet_examples_get_report(self._handle, room)))
        assert isinstance(found, dict)
        return found

    def rows(self, sequence_length: int, **options: Unpack[RowsOptions]) -> Dataset:
        """Rows of sequence_length tokens; targets are shifted by one."""
        struct = fill(_native.anet_rows_options(), RowsOptions, options)
        struct.sequence_length = sequence_length
        return Dataset._wrap(_native.anet_dataset_create_rows(self._handle, struct))

    def __repr__(self) -> str:
        return "Examples(closed)" if self.closed else f"Examples({len(self)})"


class Dataset(Handle[_native.anet_dataset]):
    """Rows of tokens in a deterministic, endless order of epochs. Immutable: any thread.

    Made by Examples.rows, from a file, or from ids:

    Args:
        ids: tokens, int32 [count], copied.
        sequence_length: tokens a row; its targets are shifted by one.
        vocab_size: ids must be below it.
    """

    __slots__ = ()

    def __init__(
        self, ids: ArrayLike, sequence_length: int, **options: Unpack[DatasetOptions]
    ) -> None:
        struct = fill(_native.anet_dataset_options(), DatasetOptions, options)
        struct.sequence_length = sequence_length
        self._object = _native.anet_dataset_create_tokens(ids_array(ids), struct)

    @classmethod
    def open_tokens(
        cls,
        path: str | os.PathLike[str],
        sequence_length: int,
        **options: Unpack[DatasetOptions],
    ) -> Dataset:
        """Maps a file of token ids, little-endian uint16 or uint32, bare or with llm.c's header."""
        struct = fill(_native.anet_dataset_options(), DatasetOptions, options)
        struct.sequence_length = sequence_length
        return cls._wrap(_native.anet_dataset_open_tokens(os.fspath(path), struct))

    @classmethod
    def open_text(
        cls,
        path: str | os.PathLike[str],
        tokenizer: Tokenizer,
        sequence_length: int,
        **options: Unpack[DatasetOptions],
    ) -> Dataset:
        """Reads a text file through a tokenizer, whose vocabulary it uses."""
        struct = fill(_native.anet_dataset_options(), DatasetOptions, options)
        struct.sequence_length = sequence_length
        native = _native.anet_dataset_open_text(os.fspath(path), tokenizer._handle, struct)
        return cls._wrap(native)

    def split(self, fraction: float) -> tuple[Dataset, Dataset]:
        """The windows without the last `fraction` of the tokens, and those."""
        first, last = _native.anet_dataset_split(self._handle, fraction)
        return Dataset._wrap(first), Dataset._wrap(last)

    def __len__(self) -> int:
        """Rows in one epoch."""
        return _native.anet_dataset_window_count(self._handle)

    @property
    def sequence_length(self) -> int:
        return _native.anet_dataset_sequence_length(self._handle)

    def read(self, first: int, count: int) -> Batch:
        """Rows first to first + count - 1 of the endless order."""
        shape = (count, self.sequence_length)
        tokens, targets, positions = (np.empty(shape, np.int32) for _ in range(3))
        parts = np.empty(1, np.int32)
        _native.anet_dataset_read(self._handle, first, count, tokens, targets, positions, parts)
        return Batch(tokens, targets, positions, int(parts[0]))

    @property
    def report(self) -> dict[str, Any]:
        """What became of the examples: rows, density, truncated, skipped, split."""
        found = json.loads(text(lambda room: _native.anet_dataset_get_report(self._handle, room)))
        assert isinstance(found, dict)
        return found

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of tokens, masks and order. The first time it may read all data."""
        return text(lambda room: _native.anet_dataset_get_fingerprint(self._handle, room))

    def __repr__(self) -> str:
        if self.closed:
            return "Dataset(closed)"
        return f"Dataset({len(self)} rows of {self.sequence_length} tokens)"
