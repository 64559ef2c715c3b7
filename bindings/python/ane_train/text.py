"""Text to token ids and back, and conversations as text."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, ids_array, text
from .enums import Tokenize


class Tokenizer(Handle[_native.anet_tokenizer]):
    """Text to token ids and back. Immutable: any thread."""

    __slots__ = ()

    @classmethod
    def bytes(cls) -> Tokenizer:
        """The byte tokenizer: ids 0 to 255 are bytes, 256 begins a text, 257 ends it."""
        return cls._wrap(_native.anet_tokenizer_create_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str], vocab_size: int = 0) -> Tokenizer:
        """Loads a tokenizer.json or tokenizer.bin, or that of a model folder.

        Args:
            vocab_size: the model's; required for tokenizer.bin, which does not say.
        """
        return cls._wrap(_native.anet_tokenizer_load(os.fspath(path), vocab_size))

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of all that decides how it encodes and decodes."""
        return _native.anet_tokenizer_fingerprint(self._handle)

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        return _native.anet_tokenizer_vocab_size(self._handle)

    @property
    def bos_id(self) -> int | None:
        found = _native.anet_tokenizer_bos_id(self._handle)
        return None if found < 0 else found

    @property
    def eos_id(self) -> int | None:
        found = _native.anet_tokenizer_eos_id(self._handle)
        return None if found < 0 else found

    def special(self, name: str) -> int:
        """The id of a special token, "<|im_end|>". Errors: NotFoundError."""
        return _native.anet_tokenizer_find_special(self._handle, name)

    def encode(self, text: str, flags: Tokenize | int = 0) -> NDArray[np.int32]:
        """Ids of a text, int32 [count]."""
        count = _native.anet_tokenizer_encode(self._handle, text, flags, None)
        ids = np.empty(count, np.int32)
        _native.anet_tokenizer_encode(self._handle, text, flags, ids)
        return ids

    def encode_ranges(
        self, text: str, flags: Tokenize | int = 0
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids, int32 [count], and the bytes [begin, end) of the text that each comes from, int64
        [count, 2]; empty for a token that is no part of it."""
        count = _native.anet_tokenizer_encode(self._handle, text, flags, None)
        ids, ranges = np.empty(count, np.int32), np.empty((count, 2), np.int64)
        _native.anet_tokenizer_encode_ranges(self._handle, text, flags, ids, ranges, count)
        return ids, ranges

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids; invalid bytes become U+FFFD. Errors: OutOfRangeError."""
        values = ids_array(ids)
        room = bytearray(_native.anet_tokenizer_decode(self._handle, values, None))
        _native.anet_tokenizer_decode(self._handle, values, room)
        return room.decode()

    def decoder(self) -> TextDecoder:
        return TextDecoder(self)

    def __repr__(self) -> str:
        return "Tokenizer(closed)" if self.closed else f"Tokenizer({self.vocab_size} ids)"


class TextDecoder(Handle[_native.anet_text_decoder]):
    """The text of a sequence as it grows, in whole characters. One thread at a time."""

    __slots__ = ()

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._object = _native.anet_text_decoder_create(tokenizer._handle)

    def prime(self, ids: ArrayLike) -> None:
        """Tokens whose text is known already, a prompt's."""
        _native.anet_text_decoder_prime(self._handle, ids_array(ids))

    def push(self, id: int) -> str:
        """What became complete with this token, perhaps nothing."""
        return _native.anet_text_decoder_push(self._handle, id)

    def flush(self) -> str:
        """What is left of an incomplete character, as U+FFFD; the decoder is then as new."""
        return _native.anet_text_decoder_flush(self._handle)


class ChatTemplate(Handle[_native.anet_chat_template]):
    """How a model writes a conversation down.

    Args:
        text: the Jinja template.
        bos_token, eos_token: what the template's variables of these names hold.
    """

    __slots__ = ()

    def __init__(self, text: str, bos_token: str = "", eos_token: str = "") -> None:
        self._object = _native.anet_chat_template_parse(text, bos_token, eos_token)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> ChatTemplate:
        """The template of a model folder. Errors: NotFoundError when it has none."""
        return cls._wrap(_native.anet_chat_template_load(os.fspath(directory)))

    @classmethod
    def built_in(cls, name: str) -> ChatTemplate:
        """ "chatml", "llama2", "llama3" or "zephyr"."""
        return cls._wrap(_native.anet_chat_template_built_in(name))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        generation_prompt: bool = False,
    ) -> str:
        """The conversation as text.

        Args:
            messages: {"role", "content", ...} each.
            variables: further variables of the template: {"enable_thinking": False}.
            generation_prompt: the text ends where the assistant is to go on.

        Errors:
            InvalidDataError with the template's words when it refuses the conversation.
        """
        written = [
            None if part is None else json.dumps(part) for part in (messages, tools, variables)
        ]
        return text(
            lambda room: _native.anet_chat_template_render(
                self._handle, written[0], written[1], written[2], int(generation_prompt), room
            )
        )

    @property
    def uses_date(self) -> bool:
        """True when the text depends on the day."""
        return bool(_native.anet_chat_template_uses_date(self._handle))

    def set_date(self, date: datetime) -> None:
        """The day that the template takes for today, from here on."""
        _native.anet_chat_template_set_date(self._handle, int(date.timestamp()))
