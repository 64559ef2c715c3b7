"""Models: a configuration and its weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from ._support import Handle, borrow, borrow_all, fill, record, set_progress, struct_array
from .device import Device
from .enums import Compression
from .errors import NotFoundError, ShapeMismatchError
from .options import ExportOptions, QuantizeOptions
from .results import ModelInfo, ParameterInfo, TensorReport

if TYPE_CHECKING:
    from .adapter import Adapter

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a transformer of the Llama family; 0 stands for the default.

    Sizes are in elements, context_length in tokens. dataclasses.replace makes a variant.
    """

    vocab_size: int = 0
    hidden_size: int = 0
    intermediate_size: int = 0
    layer_count: int = 0
    head_count: int = 0
    kv_head_count: int = 0
    head_dim: int = 0
    context_length: int = 0
    tie_embeddings: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    rope_theta: float = 0
    norm_epsilon: float = 0
    rope_scaling_factor: float = 0
    rope_low_frequency_factor: float = 0
    rope_high_frequency_factor: float = 0
    rope_original_context_length: int = 0

    @staticmethod
    def names() -> list[str]:
        """The built-in configurations."""
        count = _native.anet_model_config_count()
        return [
            name for i in range(count) if (name := _native.anet_model_config_name(i)) is not None
        ]

    @classmethod
    def named(cls, name: str) -> ModelConfig:
        """A built-in configuration, "tiny". Errors: NotFoundError with the nearest name."""
        struct = _native.anet_model_config()
        _native.anet_model_config_get(name, struct)
        return _config(struct)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """A JSON object whose keys are the fields. Errors: InvalidConfigError with line and
        column; an unknown key names the nearest known one."""
        struct = _native.anet_model_config()
        _native.anet_model_config_from_json(text, struct)
        return _config(struct)

    def _struct(self) -> _native.anet_model_config:
        struct = _native.anet_model_config()
        for name, value in asdict(self).items():
            setattr(struct, name, value)
        return struct


def _config(struct: _native.anet_model_config) -> ModelConfig:
    names = ModelConfig.__dataclass_fields__
    flags = ("tie_embeddings", "qkv_bias", "qk_norm")
    values = {name: getattr(struct, name) for name in names}
    return ModelConfig(**values | {name: bool(values[name]) for name in flags})


def parameter_info(struct: _native.anet_parameter) -> ParameterInfo:
    return ParameterInfo(
        name=struct.name,
        shape=struct.shape[: struct.rank],
        offset=None if struct.offset == _native.ANET_NO_OFFSET else struct.offset,
        element_count=struct.element_count,
        compression=Compression(struct.compression),
        block_size=struct.block_size,
        bytes=struct.bytes,
    )


class Parameters(MutableMapping[str, NDArray[np.float32]]):
    """Weights by name, as float32 copies; assigning writes. Names cannot be added or removed.

    `info` tells shape, place and compression without reading.
    """

    def __init__(
        self,
        count: int,
        get: Callable[[int, _native.anet_parameter], None],
        find: Callable[[str], int],
        read: Callable[[int, NDArray[np.float32]], None],
        write: Callable[[int, NDArray[np.float32]], None],
    ) -> None:
        self._count, self._get, self._find, self._read, self._write = count, get, find, read, write

    def info(self, name: str) -> ParameterInfo:
        return self._info_at(self._index(name))

    def _index(self, name: str) -> int:
        try:
            return self._find(name)
        except NotFoundError as error:
            raise KeyError(name) from error

    def _info_at(self, index: int) -> ParameterInfo:
        struct = _native.anet_parameter()
        self._get(index, struct)
        return parameter_info(struct)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (self._info_at(index).name for index in range(self._count))

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        index = self._index(name)
        values = np.empty(self._info_at(index).shape, np.float32)
        self._read(index, values)
        return values

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        index = self._index(name)
        array = np.ascontiguousarray(values, np.float32)
        if array.shape != (shape := self._info_at(index).shape):
            raise ShapeMismatchError(f"expected {shape} for {name}, seen {array.shape}")
        self._write(index, array)

    def __delitem__(self, name: str) -> None:
        raise TypeError("parameters cannot be removed")

    def __repr__(self) -> str:
        return f"Parameters({self._count} tensors)"


def quantize_struct(
    options: Mapping[str, Any], device: Device | None
) -> _native.anet_quantize_options:
    values = dict(options)
    struct = _native.anet_quantize_options()
    overrides = []
    for override in values.pop("overrides", ()):
        item = _native.anet_quantize_override()
        borrow(item, pattern=override.pattern)
        item.compression = Compression(override.compression)
        item.block_size = override.block_size
        overrides.append(item)
    borrow_all(struct, _native.quantize_override_array, overrides=overrides)
    struct.override_count = len(overrides)
    borrow(struct, device=None if device is None else device._handle)
    return fill(struct, QuantizeOptions, values)


class Model(Handle[_native.anet_model]):
    """A configuration and its weights. Any number of readers, or one writer."""

    __slots__ = ()

    @classmethod
    def create(cls, config: ModelConfig | str, seed: int = 0) -> Model:
        """A randomly initialised model of a configuration, or of a built-in one by its name."""
        named = ModelConfig.named(config) if isinstance(config, str) else config
        return cls._wrap(_native.anet_model_create(named._struct(), seed))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        quantize: QuantizeOptions | None = None,
        device: Device | None = None,
        progress: Progress | None = None,
    ) -> Model:
        """Loads a model: a folder of Hugging Face, a GGUF, llama2.c or BLZT file, a checkpoint, or a
        file of `save`.

        Args:
            quantize: each matrix is compressed as it is read.
            device: its threads compress too.
            progress: called with tensor, elements done and in all; a true answer cancels.
        """
        struct = _native.anet_model_load_options()
        set_progress(struct, progress)
        if quantize is not None:
            borrow(struct, quantize=quantize_struct(quantize, device))
        return cls._wrap(_native.anet_model_load(os.fspath(path), struct))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights alone as safetensors, as they are held. Atomic."""
        _native.anet_model_save(self._handle, os.fspath(path))

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        **options: Unpack[ExportOptions],
    ) -> None:
        """Writes the model for other tools: format "hugging_face", "gguf" or "llama2c". Atomic."""
        struct = fill(_native.anet_export_options(), ExportOptions, options)
        set_progress(struct, progress)
        _native.anet_model_export(self._handle, os.fspath(path), struct)

    def quantize(
        self,
        *,
        device: Device | None = None,
        progress: Progress | None = None,
        **options: Unpack[QuantizeOptions],
    ) -> Model:
        """A copy with compressed matrices: 8 bits with a scale for each row unless `compression`
        says otherwise. It can be evaluated, generate, and be the base of adapters."""
        struct = quantize_struct(options, device)
        set_progress(struct, progress)
        return Model._wrap(_native.anet_model_quantize(self._handle, struct))

    @property
    def quantization_report(self) -> list[TensorReport]:
        """What quantization made of each parameter, also of those that stayed fp32."""
        reports = []
        for index in range(_native.anet_model_parameter_count(self._handle)):
            struct = _native.anet_tensor_report()
            _native.anet_model_get_quantization_report(self._handle, index, struct)
            reports.append(record(TensorReport, struct))
        return reports

    def merge(self, *adapters: Adapter | tuple[Adapter, float]) -> Model:
        """A new fp32 model with adapters in its weights, each alone or with its weight."""
        array, count = weighted(adapters)
        return Model._wrap(_native.anet_model_merge(self._handle, array.cast(), count))

    def merge_in_place(self, *adapters: Adapter | tuple[Adapter, float]) -> None:
        """Adds adapters to the weights, until `unmerge`."""
        array, count = weighted(adapters)
        _native.anet_model_merge_in_place(self._handle, array.cast(), count)

    def unmerge(self) -> None:
        """Puts the weights back that merge_in_place replaced, bit for bit."""
        _native.anet_model_unmerge(self._handle)

    @property
    def config(self) -> ModelConfig:
        struct = _native.anet_model_config()
        _native.anet_model_get_config(self._handle, struct)
        return _config(struct)

    @property
    def info(self) -> ModelInfo:
        """What the model's files said besides its weights."""
        struct = _native.anet_model_info()
        _native.anet_model_get_info(self._handle, struct)
        return record(ModelInfo, struct)

    @property
    def weight_count(self) -> int:
        return _native.anet_model_weight_count(self._handle)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they are held."""
        return _native.anet_model_weight_bytes(self._handle)

    @property
    def parameters(self) -> Parameters:
        """Weights by name: `model.parameters["model.norm.weight"]`."""
        handle = self._handle
        return Parameters(
            _native.anet_model_parameter_count(handle),
            lambda index, struct: _native.anet_model_get_parameter(handle, index, struct),
            lambda name: _native.anet_model_find_parameter(handle, name),
            lambda index, values: _native.anet_model_read_parameter(handle, index, values),
            lambda index, values: _native.anet_model_write_parameter(handle, index, values),
        )

    def __repr__(self) -> str:
        return "Model(closed)" if self.closed else f"Model({self.weight_count} weights)"


def weighted(adapters: tuple[Adapter | tuple[Adapter, float], ...]) -> tuple[Any, int]:
    """Adapters with their weights side by side, and how many."""
    structs = []
    for item in adapters:
        adapter, weight = item if isinstance(item, tuple) else (item, 1.0)
        struct = _native.anet_weighted_adapter()
        borrow(struct, adapter=adapter._handle)
        struct.weight = weight
        structs.append(struct)
    return struct_array(_native.weighted_adapter_array, structs), len(structs)
