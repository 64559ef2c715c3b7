#!/usr/bin/env python3
"""Writes the golden adapters: PEFT's own files, and mlx-lm's by its format with NumPy.

    python tests/golden/adapters/make.py      needs peft 0.21 with PyTorch 2.6 or later

Each folder holds an adapter of a model of ../model_files, with values that are not those of the
start. expected.safetensors has parts of the weights after PEFT (for mlx-lm: NumPy) has merged it.
"""
import json
import pathlib
import shutil

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / "model_files"
ROWS, COLUMNS = 7, 5  # strides of the parts that are kept

# Folder: (model, type of the file, settings)
CASES = {
    "lora": ("qwen3", "float32", dict(r=4, lora_alpha=8, lora_dropout=0.125,
                                      target_modules="all-linear")),
    "rslora": ("llama", "float16", dict(r=4, lora_alpha=6, use_rslora=True,
                                        target_modules=["q_proj", "k_proj", "v_proj"])),
    "dora": ("qwen2", "float32", dict(r=2, lora_alpha=4, use_dora=True,
                                      target_modules=["k_proj", "down_proj"])),
    "patterns": ("llama", "float32", dict(
        r=4, lora_alpha=8, target_modules=r"model\.layers\.\d+\.\w+\.(q_proj|up_proj|down_proj)",
        exclude_modules=r".*\.0\.self_attn.*",
        # The first that matches decides, and PEFT sorts them when it saves.
        rank_pattern={r"^model\.layers\.0\.mlp.*": 5, "layers.1.self_attn.q_proj": 2, "up_proj": 3},
        alpha_pattern={r"(q|down)_proj": 3})),
    "layers": ("llama3", "bfloat16", dict(r=3, lora_alpha=3, layers_to_transform=[1],
                                          layers_pattern="layers",
                                          target_modules=["q_proj", "mlp.gate_proj"])),
    "embedding": ("llama", "float32", dict(r=2, lora_alpha=2,
                                           target_modules=["embed_tokens", "lm_head", "o_proj"])),
}


def base_model(name):
    import torch
    import transformers
    return transformers.AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)


def write_peft(folder, name, dtype, settings):
    import peft
    import torch
    torch.manual_seed(len(folder.name))
    model = peft.get_peft_model(base_model(name),
                                peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    for key, value in model.named_parameters():
        if "lora_magnitude_vector" in key:
            value.data *= 1 + 0.2 * torch.rand_like(value)
        elif "lora_" in key:
            value.data = 0.1 * torch.randn_like(value)
    for key, module in model.named_modules():  # the base stays as it is
        if key.endswith(".default"):
            module.to(getattr(torch, dtype))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = name
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    merged = peft.PeftModel.from_pretrained(base_model(name), folder).merge_and_unload()
    return {key: value.numpy() for key, value in merged.state_dict().items()}


def write_mlx(folder, name, dora):
    random = np.random.default_rng(5)
    base = {key: value.numpy() for key, value in base_model(name).state_dict().items()}
    rank, scale, keys = 3, 2.5, ["self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"]
    tensors, merged = {}, dict(base)
    for key in keys:
        module = f"model.layers.1.{key}"  # the last of two
        weight = base[f"{module}.weight"]
        a = random.normal(0, 0.1, (weight.shape[1], rank)).astype(np.float32)
        b = random.normal(0, 0.1, (rank, weight.shape[0])).astype(np.float32)
        tensors |= {f"{module}.lora_a": a, f"{module}.lora_b": b}
        changed = weight + (scale * b.T.astype(np.float64)) @ a.T
        if dora:
            m = random.uniform(0.5, 2, weight.shape[0]).astype(np.float32)
            tensors[f"{module}.m"] = m
            changed *= (m / np.linalg.norm(changed, axis=1))[:, None]
        merged[f"{module}.weight"] = changed.astype(np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapters.safetensors", {"format": "mlx"})
    config = {"fine_tune_type": "dora" if dora else "lora", "num_layers": 1, "model": name,
              "batch_size": 4, "iters": 100, "learning_rate": 1e-5,
              "lora_parameters": {"rank": rank, "scale": scale, "dropout": 0.0, "keys": keys}}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return merged


def save_expected(folder, name, merged):
    base = base_model(name).state_dict()
    parts = {}
    for key, value in merged.items():
        original = base[key].numpy()
        if value.ndim == 2 and not np.array_equal(original, value):
            parts[key] = np.ascontiguousarray(value[::ROWS, ::COLUMNS])
    save_file(parts, folder / "expected.safetensors")


def main():
    for case, (name, dtype, settings) in CASES.items():
        folder = HERE / case
        shutil.rmtree(folder, ignore_errors=True)
        save_expected(folder, name, write_peft(folder, name, dtype, settings))
    for case, dora in (("mlx", False), ("mlx-dora", True)):
        folder = HERE / case
        shutil.rmtree(folder, ignore_errors=True)
        save_expected(folder, "qwen3", write_mlx(folder, "qwen3", dora))


if __name__ == "__main__":
    main()
