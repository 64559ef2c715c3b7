"""Writing text with a model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, borrow, fill, ids_array, struct_array
from .adapter import Adapter
from .device import Device
from .enums import FinishReason, Tokenize
from .errors import Cancelled, InvalidHandleError
from .model import Model, weighted
from .options import GeneratorOptions, SamplingOptions
from .results import Generation
from .text import Tokenizer

TokenCallback = Callable[[int, str], object]
BatchTokenCallback = Callable[[int, int, str], object]


def _generation(
    struct: _native.anet_generation_result, ids: NDArray[np.int32], pieces: list[str]
) -> Generation:
    return Generation(
        text="".join(pieces),
        ids=ids,
        finish_reason=FinishReason(struct.finish_reason),
        prompt_tokens=struct.prompt_tokens,
        generated_tokens=struct.generated_tokens,
        prefill_seconds=struct.prefill_seconds,
        decode_seconds=struct.decode_seconds,
    )


class Generator(Handle[_native.anet_generator]):
    """Writes text with a model, and with adapters that can be exchanged at any token. It sees the
    weights as they are at each call. One thread at a time, except `cancel`.

    Args:
        tokenizer: for prompts and results as text; None: ids alone.
    """

    __slots__ = ("_tokenizer", "_vocab_size")

    def __init__(
        self,
        device: Device,
        model: Model,
        tokenizer: Tokenizer | None = None,
        **options: Unpack[GeneratorOptions],
    ) -> None:
        struct = fill(_native.anet_generator_options(), GeneratorOptions, options)
        held = None if tokenizer is None else tokenizer._handle
        self._tokenizer = tokenizer
        self._vocab_size = model.config.vocab_size
        self._object = _native.anet_generator_create(device._handle, model._handle, held, struct)

    def _prompt(self, prompt: str | ArrayLike) -> NDArray[np.int32]:
        if not isinstance(prompt, str):
            return ids_array(prompt)
        if self._tokenizer is None:
            raise TypeError("expected ids, because the generator has no tokenizer; seen text")
        return self._tokenizer.encode(prompt, Tokenize.AS_TRAINED)

    def generate(
        self,
        prompt: str | ArrayLike,
        *,
        callback: TokenCallback | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Generation:
        """Continues a prompt.

        Args:
            prompt: text, or ids, int32 [count].
            callback: called with each id and the text that it completes, perhaps none; a true answer
                ends the text, an exception too and comes out of this call.

        Errors:
            InvalidDataError for an empty prompt or one longer than the context, OutOfRangeError,
            Cancelled.
        """
        prompt_ids = self._prompt(prompt)
        sampling = fill(_native.anet_sampling_options(), SamplingOptions, options)
        result = _native.anet_generation_result()
        ids: list[int] = []
        pieces: list[str] = []

        def on_token(id: int, piece: str) -> object:
            ids.append(id)
            pieces.append(piece)
            return callback is not None and callback(id, piece)

        _native.anet_generator_generate(self._handle, prompt_ids, sampling, on_token, None, result)
        return _generation(result, np.array(ids, np.int32), pieces)

    def stream(self, prompt: str | ArrayLike, **options: Unpack[SamplingOptions]) -> Iterator[str]:
        """The text as it grows: `for piece in generator.stream("Once"): ...`.

        The generator works on a thread of its own meanwhile. Leaving the loop ends the text and waits
        for that thread.
        """
        pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        left = threading.Event()

        def on_token(id: int, piece: str) -> bool:
            if piece:
                pieces.put(piece)
            return left.is_set()

        def work() -> None:
            try:
                self.generate(prompt, callback=on_token, **options)
                pieces.put(None)
            except BaseException as error:
                pieces.put(error)

        worker = threading.Thread(target=work, name="ane_train.stream")
        worker.start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            left.set()
            with suppress(InvalidHandleError):  # closed meanwhile: the next token ends the text
                self.cancel()
            worker.join()

    def generate_batch(
        self,
        prompts: Sequence[str | ArrayLike],
        *,
        seeds: Sequence[int] | None = None,
        callback: BatchTokenCallback | None = None,
        **options: Unpack[SamplingOptions],
    ) -> list[Generation]:
        """Continues several prompts, `batch_size` of the generator at a time.

        Args:
            seeds: one a prompt; None: `seed` for all.
            callback: called with the prompt's index, id and text; a true answer ends its text.
        """
        sampling = fill(_native.anet_sampling_options(), SamplingOptions, options)
        structs = []
        for index, prompt in enumerate(prompts):
            struct = _native.anet_prompt()
            prompt_ids = self._prompt(prompt)
            borrow(struct, ids=prompt_ids)
            struct.count = len(prompt_ids)
            struct.seed = seeds[index] if seeds is not None else sampling.seed
            structs.append(struct)
        ids: list[list[int]] = [[] for _ in prompts]
        pieces: list[list[str]] = [[] for _ in prompts]

        def on_token(index: int, id: int, piece: str) -> object:
            ids[index].append(id)
            pieces[index].append(piece)
            return callback is not None and callback(index, id, piece)

        array = struct_array(_native.prompt_array, structs)
        results = struct_array(
            _native.generation_result_array, [_native.anet_generation_result() for _ in prompts]
        )
        _native.anet_generator_generate_batch(
            self._handle, array.cast(), len(structs), sampling, on_token, results.cast()
        )
        return [
            _generation(results[index], np.array(ids[index], np.int32), pieces[index])
            for index in range(len(structs))
        ]

    def logits(self, prompt: str | ArrayLike) -> NDArray[np.float32]:
        """The logits that follow a prompt, float32 [vocab_size]."""
        values = np.empty(self._vocab_size, np.float32)
        _native.anet_generator_logits(self._handle, self._prompt(prompt), values)
        return values

    def set_adapters(self, *adapters: Adapter | tuple[Adapter, float]) -> None:
        """Attaches adapters, each alone or with its weight, in place of those before; none: detaches
        all. Also in a callback: it then holds from the next token on."""
        array, count = weighted(adapters)
        _native.anet_generator_set_adapters(self._handle, array.cast(), count)

    def cancel(self) -> None:
        """Makes the running call raise Cancelled. Any thread."""
        _native.anet_generator_cancel(self._handle)
