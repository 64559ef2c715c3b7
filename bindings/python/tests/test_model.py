"""Models and adapters: weights by name, files, quantization, merging."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ane_train import Adapter, AdapterOverride, Compression, Device, Model, ModelConfig
from ane_train import QuantizeOverride, Session
from ane_train.errors import InvalidArgumentError, InvalidConfigError, InvalidStateError
from ane_train.errors import ShapeMismatchError

NORM = "model.norm.weight"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def test_configurations() -> None:
    assert "tiny" in ModelConfig.names()
    config = ModelConfig.named("stories260K")
    assert (config.hidden_size, config.tie_embeddings) == (64, True)
    text = '{"vocab_size": 64, "hidden_size": 32, "qk_norm": true, "head_count": 2}'
    assert ModelConfig.from_json(text) == ModelConfig(
        vocab_size=64, hidden_size=32, qk_norm=True, head_count=2
    )
    wider = replace(config, intermediate_size=128)
    assert Model.create(wider).config.intermediate_size == 128
    with pytest.raises(InvalidConfigError, match="head_count"):
        Model.create(replace(config, head_count=7))
    with pytest.raises(InvalidConfigError, match="hidden_size"):
        ModelConfig.from_json('{"hiden_size": 3}')


def test_weights_by_name(model: Model) -> None:
    parameters = model.parameters
    assert len(parameters) == len(list(parameters)) and NORM in parameters
    assert parameters[NORM].tolist() == [1] * 64
    assert parameters[QUERY].shape == parameters.info(QUERY).shape == (64, 64)
    total = sum(values.size for values in parameters.values())
    assert total == model.weight_count and model.weight_bytes == 4 * total
    parameters[NORM] = np.arange(64)
    assert parameters[NORM].tolist() == list(range(64))
    with pytest.raises(KeyError, match="nothing"):
        parameters["nothing"]
    with pytest.raises(ShapeMismatchError):
        parameters[NORM] = np.ones(63)
    with pytest.raises(TypeError):
        del parameters[NORM]
    assert "nothing" not in parameters


def test_same_seed_same_weights() -> None:
    first, again, other = (Model.create("stories260K", seed) for seed in (1, 1, 2))
    assert np.array_equal(first.parameters[QUERY], again.parameters[QUERY])
    assert not np.array_equal(first.parameters[QUERY], other.parameters[QUERY])


def test_files(model: Model, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    model.save(tmp_path / "model.safetensors")
    model.export(tmp_path / "folder", type="fp16", progress=lambda *where: seen.append(where))
    assert seen and seen[-1][1] == seen[-1][2]
    again = Model.load(tmp_path / "model.safetensors")
    assert np.array_equal(again.parameters[QUERY], model.parameters[QUERY])
    rounded = Model.load(tmp_path / "folder")
    assert rounded.info.format == "hugging_face"
    expected = model.parameters[QUERY].astype(np.float16).astype(np.float32)
    assert np.array_equal(rounded.parameters[QUERY], expected)


def test_quantize(model: Model, device: Device, tmp_path: Path) -> None:
    seen: list[int] = []
    small = model.quantize(
        device=device,
        compression="int4_block",
        block_size=32,
        overrides=[
            QuantizeOverride("q_proj.weight", "int8_channel"),
            QuantizeOverride("down_proj.weight", "int8_channel"),  # 172 columns
        ],
        progress=lambda what, done, total: seen.append(done),
    )
    assert seen and small.weight_bytes < model.weight_bytes / 4
    assert small.parameters.info(QUERY).compression == Compression.INT8_CHANNEL
    assert small.parameters.info(QUERY).offset is None
    assert small.parameters.info(NORM).compression == Compression.NONE
    by_name = {report.name: report for report in small.quantization_report}
    assert by_name[QUERY].has_error and 0 < by_name[QUERY].relative_rms < 0.02
    difference = small.parameters[QUERY] - model.parameters[QUERY]
    assert np.abs(difference).max() == pytest.approx(by_name[QUERY].worst)
    model.save(tmp_path / "model.safetensors")
    loaded = Model.load(tmp_path / "model.safetensors", quantize={"compression": "int8_channel"})
    assert np.array_equal(loaded.parameters[QUERY], small.parameters[QUERY])
    with pytest.raises(InvalidArgumentError, match="nothing"):
        model.quantize(overrides=[QuantizeOverride("nothing")])


def test_adapters_are_created_and_saved(model: Model, tmp_path: Path) -> None:
    adapter = Adapter.create(
        model, rank=4, targets="q_proj,v_proj", overrides=[AdapterOverride("layers.0.*", rank=2)]
    )
    info = adapter.info
    assert (info.rank, info.alpha, info.module_count) == (4, 8.0, 10)
    assert {module.rank for module in adapter.modules} == {2, 4}
    assert sum(values.size for values in adapter.parameters.values()) == info.weight_count
    name = "model.layers.1.self_attn.q_proj.lora_B.weight"
    assert not adapter.parameters[name].any()
    adapter.parameters[name] = np.ones((64, 4))
    adapter.save(tmp_path / "adapter", base_name="mine")
    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    again = Adapter.load(model, tmp_path / "adapter")
    assert np.array_equal(again.parameters[name], np.ones((64, 4)))
    assert adapter.model.weight_count == model.weight_count


def test_merging(model: Model) -> None:
    adapter = Adapter.create(model, rank=2, alpha=2, targets="layers.0.self_attn.q_proj")
    a, b = (f"model.layers.0.self_attn.q_proj.lora_{part}.weight" for part in "AB")
    adapter.parameters[b] = np.ones((64, 2))
    base = model.parameters[QUERY]
    change = adapter.parameters[b] @ adapter.parameters[a]
    merged = model.merge((adapter, 0.5))
    assert np.allclose(merged.parameters[QUERY], base + 0.5 * change, atol=1e-6)
    model.merge_in_place(adapter)
    assert np.allclose(model.parameters[QUERY], base + change, atol=1e-6)
    model.unmerge()
    assert np.array_equal(model.parameters[QUERY], base)
    with pytest.raises(InvalidStateError):
        model.unmerge()


def test_children_keep_their_parents() -> None:
    device = Device("cpu", threads=1)
    model = Model.create("stories260K")
    adapter = Adapter.create(model, rank=2)
    session = Session(device, adapter, batch_size=1, sequence_length=8)
    for parent in (device, model, adapter):
        parent.close()
    tokens = np.arange(8, dtype=np.int32).reshape(1, 8)
    assert session.step(tokens, tokens).step == 1
    assert session.adapter.info.rank == 2 and session.model.weight_count == 260032
    session.close()
