#!/usr/bin/env python3
"""The golden adapters, converted by us, read by the reference readers: safetensors, gguf, PEFT.

    build/venv/bin/python tests/golden/adapters/check.py build/release/tools/adapter_driver
    python tests/golden/adapters/check.py DRIVER --torch

Tensors are equal in the type that was asked for; mlx-lm's files are read by its format, and the
gguf package reads llama.cpp's. --torch has PEFT load our files: settings and tensors are equal, and
logits within 1e-5 of those of PEFT's own file and of our merged model. It needs PEFT with PyTorch
2.6 or later, which `make venv` does not install.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / "model_files"
PREFIX = "base_model.model."
# Adapter: the model; what mlx-lm and GGUF cannot hold is left out below.
CASES = {"lora": "qwen3", "rslora": "llama", "dora": "qwen2", "patterns": "llama",
         "layers": "llama3", "embedding": "llama"}
MLX = [case for case in CASES if case != "patterns"]  # one rank for all
GGUF = [case for case in CASES if case != "dora"]
checks = 0


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {' '.join(map(str, what))}")


def read(path):
    """Name: (type, float32 values)."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        raw = data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        tensors[name] = entry["dtype"], values.astype(np.float32).reshape(entry["shape"])
    return tensors


def adapter_tensors(folder):
    """PEFT's tensors without the copies of the embedding and the head."""
    return {name.removeprefix(PREFIX): values
            for name, (_, values) in read(folder / "adapter_model.safetensors").items()
            if "base_layer" not in name}


def read_config(folder):
    return json.loads((folder / "adapter_config.json").read_text())


def rounded(values, kind):
    if kind == "fp16":
        return values.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        bf16 = gguf.GGMLQuantizationType.BF16
        return gguf.quants.dequantize(gguf.quants.quantize(values, bf16), bf16)
    return values


def by_pattern(patterns, name, fallback):
    """As PEFT looks up ranks and alphas."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return fallback


def scales_of(config, tensors):
    scales = {}
    for name in tensors:
        module = re.sub(r"\.lora_.*", "", name)
        rank = by_pattern(config["rank_pattern"], module, config["r"])
        alpha = by_pattern(config["alpha_pattern"], module, config["lora_alpha"])
        scales[module] = alpha / (rank ** 0.5 if config["use_rslora"] else rank)
    return scales


def convert(driver, case, target, form, kind="fp32"):
    subprocess.run([driver, "convert", MODELS / CASES[case], HERE / case, target, form, kind],
                   check=True)


def check_peft(driver, case, target):
    expected, given = adapter_tensors(HERE / case), read_config(HERE / case)
    for kind, dtype in (("fp32", "F32"), ("fp16", "F16"), ("bf16", "BF16")):
        folder = target / f"{case}-{kind}"
        convert(driver, case, folder, "peft", kind)
        seen = read(folder / "adapter_model.safetensors")
        check({PREFIX + name for name in expected} == seen.keys(), case, "names")
        for name, values in expected.items():
            check(seen[PREFIX + name][0] == dtype, case, name, seen[PREFIX + name][0])
            check(np.array_equal(seen[PREFIX + name][1], rounded(values, kind)), case, kind, name)
        config = read_config(folder)
        check(scales_of(config, expected) == scales_of(given, expected), case, "scales")
        check(config["base_model_name_or_path"] == "test/base", "base")
        for key in ("r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "peft_type",
                    "task_type", "bias", "fan_in_fan_out", "modules_to_save"):
            check(config[key] == given[key], case, key, config[key], given[key])


def check_mlx(driver, case, target):
    expected = adapter_tensors(HERE / case)
    folder = target / f"{case}-mlx"
    convert(driver, case, folder, "mlx")
    seen = read(folder / "adapters.safetensors")
    check(len(seen) == len(expected), case, "number of tensors")
    for name, values in expected.items():
        theirs = re.sub(r"\.lora_(?:embedding_)?([AB])(?:\.weight)?$",
                        lambda match: f".lora_{match[1].lower()}", name)
        theirs = theirs.replace(".lora_magnitude_vector", ".m")
        check(np.array_equal(seen[theirs][1], values.T), case, theirs)
    config, lora = read_config(folder), read_config(folder)["lora_parameters"]
    check(config["fine_tune_type"] == ("dora" if case == "dora" else "lora"), case)
    check(set(scales_of(read_config(HERE / case), expected).values()) == {lora["scale"]}, "scale")
    # mlx-lm's own rule: keys within the last layers, and whole names.
    layers = range(2)[-max(config["num_layers"], 0):]
    adapted = {f"model.layers.{i}.{key}" for i in layers for key in lora["keys"]} | set(lora["keys"])
    modules = {re.sub(r"\.(lora_[ab]|m)$", "", name) for name in seen}
    check(modules <= adapted, case, modules - adapted)
    check(all(key in modules or f"model.layers.1.{key}" in modules for key in lora["keys"]), "keys")


def interleave(values, heads):
    rows, *rest = values.shape
    return values.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(values.shape)


def check_gguf(driver, case, target):
    expected, given = adapter_tensors(HERE / case), read_config(HERE / case)
    model = read_config_of_model(case)
    path = target / f"{case}.gguf"
    convert(driver, case, path, "gguf")
    reader = gguf.GGUFReader(path)
    field = lambda key: reader.get_field(key).contents()
    architecture = field("general.architecture")
    check(architecture == model["model_type"], case, architecture)
    check(field("general.type") == "adapter" and field("adapter.type") == "lora", case, "type")
    alpha = field("adapter.lora.alpha")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], 2)
    seen = {t.name: np.array(t.data).reshape(t.shape[::-1]) for t in reader.tensors}
    check(len(seen) == len(expected), case, sorted(seen))
    for module, scale in scales_of(given, expected).items():
        embedding = module.endswith("embed_tokens")
        a, b = (expected[f"{module}.lora_embedding_{x}" if embedding
                         else f"{module}.lora_{x}.weight"] for x in "AB")
        name = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        their_a, their_b = seen[f"{name}.lora_a"], seen[f"{name}.lora_b"]
        heads = {"q_proj": model["num_attention_heads"],
                 "k_proj": model["num_key_value_heads"]}.get(module.split(".")[-1])
        if architecture == "llama" and heads:
            b = interleave(b, heads)
        # llama.cpp reads the rank off B and looks up rows of an embedding's A.
        check(np.array_equal(their_a, a.T if embedding else a), case, name, "A")
        check(np.allclose(alpha / their_b.shape[1] * their_b, scale * b, rtol=1e-6), case, name, "B")


def read_config_of_model(case):
    return json.loads((MODELS / CASES[case] / "config.json").read_text())


def check_logits(driver, case, target):
    import peft
    import torch
    import transformers

    def logits(path, adapter=None):
        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        if adapter:
            model = peft.PeftModel.from_pretrained(model, adapter)
        with torch.no_grad():
            return model.eval()(input_ids=torch.arange(1, 25)[None]).logits[0]

    base = MODELS / CASES[case]
    expected = logits(base, HERE / case)
    scale = expected.abs().max()
    check((logits(base) - expected).abs().max() > 1e-3 * scale, case, "does nothing")
    ours = logits(base, target / f"{case}-fp32")
    check((ours - expected).abs().max() <= 1e-5 * scale, case, "logits of our file")
    subprocess.run([driver, "merge", base, HERE / case, target / f"{case}-merged"], check=True)
    merged = logits(target / f"{case}-merged")
    check((merged - expected).abs().max() <= 1e-5 * scale, case, "logits of the merged model")


def check_untrained(driver, target):
    """An adapter that we made changes nothing until it is trained."""
    import peft
    import torch
    import transformers
    for kind in ("lora", "rslora", "dora"):
        folder = target / f"new-{kind}"
        base = MODELS / "qwen3"
        subprocess.run([driver, "untrained", base, folder, kind, "q_proj", "layers.1.mlp.*"],
                       check=True)
        tokens = torch.arange(1, 25)[None]
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        with torch.no_grad():
            expected = model(input_ids=tokens).logits[0]
            seen = peft.PeftModel.from_pretrained(model, folder)(input_ids=tokens).logits[0]
        check((seen - expected).abs().max() <= 1e-5 * expected.abs().max(), kind, "changes logits")


def main():
    driver = str(pathlib.Path(sys.argv[1]).resolve())
    torch = "--torch" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        target = pathlib.Path(name)
        for case in CASES:
            check_peft(driver, case, target)
            if case in MLX:
                check_mlx(driver, case, target)
            if case in GGUF:
                check_gguf(driver, case, target)
            if torch:
                check_logits(driver, case, target)
        if torch:
            check_untrained(driver, target)
    print(f"adapter files: {checks} checks by safetensors and gguf{', PEFT' if torch else ''} passed")


if __name__ == "__main__":
    main()
