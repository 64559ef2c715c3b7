"""Adapters: what fine-tuning adds to a model that stays as it is."""

from __future__ import annotations

import os
from typing import Unpack

from . import _native
from ._support import Handle, borrow, borrow_all, fill, record
from .model import Model, Parameters
from .options import AdapterOptions, AdapterSaveOptions
from .results import AdapterInfo, AdapterModule


class Adapter(Handle[_native.anet_adapter]):
    """A low-rank adapter (LoRA): W x becomes W x + scale * B (A x) for some matrices W of a model,
    which it keeps alive and which may be compressed. Any number of readers, or one writer."""

    __slots__ = ()

    @classmethod
    def create(cls, model: Model, **options: Unpack[AdapterOptions]) -> Adapter:
        """A new adapter, which changes nothing yet: B is zero."""
        struct = _native.anet_adapter_options()
        overrides = []
        for override in options.pop("overrides", ()):
            item = _native.anet_adapter_override()
            borrow(item, pattern=override.pattern)
            item.rank, item.alpha = override.rank, override.alpha
            overrides.append(item)
        borrow_all(struct, _native.adapter_override_array, overrides=overrides)
        struct.override_count = len(overrides)
        fill(struct, AdapterOptions, options)
        return cls._wrap(_native.anet_adapter_create(model._handle, struct))

    @classmethod
    def load(cls, model: Model, path: str | os.PathLike[str]) -> Adapter:
        """An adapter of this model: a folder of PEFT or mlx-lm, a GGUF file, or a checkpoint of a
        session that trained one."""
        return cls._wrap(_native.anet_adapter_load(model._handle, os.fspath(path)))

    def save(self, path: str | os.PathLike[str], **options: Unpack[AdapterSaveOptions]) -> None:
        """Writes the adapter for other tools: format "peft", "mlx" or "gguf". Atomic."""
        struct = fill(_native.anet_adapter_save_options(), AdapterSaveOptions, options)
        _native.anet_adapter_save(self._handle, os.fspath(path), struct)

    @property
    def info(self) -> AdapterInfo:
        struct = _native.anet_adapter_info()
        _native.anet_adapter_get_info(self._handle, struct)
        return record(AdapterInfo, struct)

    @property
    def modules(self) -> list[AdapterModule]:
        """The adapted matrices."""
        found = []
        for index in range(self.info.module_count):
            struct = _native.anet_adapter_module()
            _native.anet_adapter_get_module(self._handle, index, struct)
            found.append(record(AdapterModule, struct))
        return found

    @property
    def model(self) -> Model:
        """The model that it adapts."""
        return Model._wrap(_native.anet_adapter_get_model(self._handle))

    @property
    def parameters(self) -> Parameters:
        """A, B and, with DoRA, the magnitudes of each module, by PEFT's names."""
        handle = self._handle
        return Parameters(
            _native.anet_adapter_parameter_count(handle),
            lambda index, struct: _native.anet_adapter_get_parameter(handle, index, struct),
            lambda name: _native.anet_adapter_find_parameter(handle, name),
            lambda index, values: _native.anet_adapter_read_parameter(handle, index, values),
            lambda index, values: _native.anet_adapter_write_parameter(handle, index, values),
        )

    def __repr__(self) -> str:
        return "Adapter(closed)" if self.closed else f"Adapter(rank {self.info.rank})"
