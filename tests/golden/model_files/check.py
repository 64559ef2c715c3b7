#!/usr/bin/env python3
"""Exports of the golden models, read by the reference readers: safetensors, gguf, transformers.

    build/venv/bin/python tests/golden/model_files/check.py build/release/tools/model_file_driver
    python tests/golden/model_files/check.py DRIVER --torch

Every tensor is equal, in the type that was asked for; compressed models are expanded by NumPy from
what the format says. --torch also runs the exported models in transformers and compares logits; it
needs PyTorch 2.6 or later, which `make venv` does not install.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
FAMILIES = ["llama", "llama3", "qwen2", "qwen3"]
checks = 0


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {' '.join(map(str, what))}")


def widen(raw, dtype):
    """Little-endian bytes as float32."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


def read_directory(folder):
    """Name: (type, float32 values), through the safetensors package and, for bf16, which NumPy
    lacks, through the header's offsets."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
        with safe_open(path, "numpy") as file:
            check(file.metadata()["format"] == "pt", path)
            for name in file.keys():
                dtype = header[name]["dtype"]
                begin, end = (8 + size + x for x in header[name]["data_offsets"])
                values = widen(data[begin:end], dtype).reshape(header[name]["shape"])
                check(file.get_slice(name).get_shape() == list(values.shape), name)
                if dtype != "BF16":
                    check(np.array_equal(file.get_tensor(name).astype(np.float32), values), name)
                check(name not in tensors, "twice:", name)
                tensors[name] = (dtype, values)
    return tensors


def rounded(values, kind):
    if kind == "fp16":
        return values.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        return gguf.quants.dequantize(
            gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16),
            gguf.GGMLQuantizationType.BF16)
    return values


def interleave(values, heads):
    rows, *rest = values.shape
    return values.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(values.shape)


def run(driver, *arguments):
    subprocess.run([driver, *map(str, arguments)], check=True)


def check_hugging_face(driver, family, target):
    import transformers
    original = read_directory(HERE / family)
    for kind, dtype in (("fp32", "F32"), ("fp16", "F16"), ("bf16", "BF16")):
        folder = target / f"{family}-{kind}"
        run(driver, "export", HERE / family, folder, "hugging_face", kind, 20_000)
        seen = read_directory(folder)
        check(seen.keys() == original.keys(), family, kind, seen.keys() ^ original.keys())
        for name, (_, values) in original.items():
            check(seen[name][0] == dtype, name)
            check(np.array_equal(seen[name][1], rounded(values, kind)), family, kind, name)
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        check(index["weight_map"].keys() == original.keys(), "weight_map")
        ours = transformers.AutoConfig.from_pretrained(folder)
        theirs = transformers.AutoConfig.from_pretrained(HERE / family)
        for key in ("model_type", "vocab_size", "hidden_size", "intermediate_size",
                    "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                    "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "hidden_act",
                    "rope_parameters"):
            check(getattr(ours, key) == getattr(theirs, key), family, key, getattr(ours, key))
        plain = json.loads((folder / "config.json").read_text())  # what transformers 4 looks at
        check(plain["rope_theta"] == plain["rope_parameters"]["rope_theta"], "rope_theta")
        check(plain["torch_dtype"] == plain["dtype"], "dtype")


def gguf_tensors(path):
    reader = gguf.GGUFReader(path)
    return reader, {t.name: (t.tensor_type.name, gguf.quants.dequantize(t.data, t.tensor_type)
                             .reshape(t.shape[::-1])) for t in reader.tensors}


def check_gguf(driver, family, target):
    config = json.loads((HERE / family / "config.json").read_text())
    original = read_directory(HERE / family)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[{"llama3": "LLAMA"}.get(family,
                                                                              family.upper())],
                                     config["num_hidden_layers"])
    for kind in ("fp32", "fp16", "bf16", "q8_0"):
        path = target / f"{family}-{kind}.gguf"
        run(driver, "export", HERE / family, path, "gguf", kind)
        reader, seen = gguf_tensors(path)
        expected = len(original) + (family == "llama3")
        check(len(seen) == expected, path, sorted(seen))
        architecture = reader.get_field("general.architecture").contents()
        check(reader.get_field(f"{architecture}.block_count").contents() == 2, "block_count")
        check(reader.get_field(f"{architecture}.rope.freq_base").contents()
              == config["rope_parameters"]["rope_theta"], "freq_base")
        for name, (_, values) in original.items():
            dtype, stored = seen[names.get_name(name, try_suffixes=(".weight", ".bias"))]
            heads = {"q_proj": config["num_attention_heads"],
                     "k_proj": config["num_key_value_heads"]}.get(name.split(".")[-2])
            if architecture == "llama" and heads:
                values = interleave(values, heads)
            if values.ndim == 1:
                check(dtype == "F32" and np.array_equal(stored, values), name)
            elif kind == "q8_0":
                q8_0 = gguf.GGMLQuantizationType.Q8_0
                again = gguf.quants.dequantize(gguf.quants.quantize(values, q8_0), q8_0)
                check(dtype == "Q8_0" and np.array_equal(stored, again), family, name)
            else:
                check(dtype == {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}[kind], name, dtype)
                check(np.array_equal(stored, rounded(values, kind)), family, kind, name)
        if family == "llama3":
            _, golden = gguf_tensors(HERE / "llama3-bf16.gguf")
            check(np.allclose(seen["rope_freqs.weight"][1], golden["rope_freqs.weight"][1],
                              rtol=1e-6, atol=0), "rope_freqs")


def expand(codes, scales, scheme):
    """docs/file-formats.md, "Weights files"."""
    if scheme["compression"].startswith("int8"):
        codes = codes.view(np.int8).astype(np.float32)
    else:  # the first of two in the low bits
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)
    if scheme["compression"] == "palette4":
        palettes = np.repeat(scales, scheme["block_size"], axis=0)
        return np.take_along_axis(palettes, codes.astype(np.int64), axis=1)
    if scheme["compression"] == "int4_block":
        codes = ((codes ^ 8).astype(np.int8) - 8).astype(np.float32)
    per_row = scales.reshape(len(codes), -1)
    return codes * np.repeat(per_row, codes.shape[1] // per_row.shape[1], axis=1)


def check_compressed(driver, family, target):
    original = read_directory(HERE / family)
    for kind, worst in (("int8_channel", 0.02), ("int8_block", 0.02), ("int4_block", 0.2),
                        ("palette4", 0.2)):
        path, folder = target / f"{family}-{kind}.safetensors", target / f"{family}-{kind}"
        lines = subprocess.run([driver, "compress", HERE / family, path, kind], check=True,
                               capture_output=True, text=True).stdout.splitlines()
        errors = {name: float(rms) for name, _, rms in map(str.split, lines)}
        run(driver, "export", path, folder, "hugging_face", "fp32")
        exported = read_directory(folder)
        check(exported.keys() == original.keys() == errors.keys(), family, kind)
        with safe_open(path, "numpy") as file:
            schemes = json.loads(file.metadata()["ane_train.quantization"])
            for name, (_, values) in original.items():
                check((name in schemes) == (values.ndim == 2), kind, name)
                if values.ndim == 1:
                    seen = file.get_tensor(name)
                    check(np.array_equal(seen, values), kind, name)
                    continue
                codes, scales = (file.get_tensor(f"{name}.{part}") for part in ("codes", "scales"))
                check(scales.dtype == np.float16, kind, name, "scales")
                seen = expand(codes, scales.astype(np.float32), schemes[name])
                check(np.array_equal(exported[name][1], seen), family, kind, name)
                rms = np.sqrt(np.mean((seen.astype(np.float64) - values) ** 2))
                check(abs(rms - errors[name]) <= 1e-5 * rms, family, kind, name, rms, errors[name])
                check(rms <= worst * np.sqrt(np.mean(values ** 2)), family, kind, name, rms)


def check_logits(family, target):
    import torch
    import transformers
    from safetensors.torch import load_file
    golden = load_file(HERE / f"{family}.safetensors")
    model = transformers.AutoModelForCausalLM.from_pretrained(target / f"{family}-fp32",
                                                              dtype=torch.float32)
    with torch.no_grad():
        seen = model(input_ids=golden["tokens"][:1].long()).logits[0]
    difference = (seen - golden["logits"]).abs().max() / golden["logits"].abs().max()
    check(difference < 1e-5, family, "logits differ by", difference)


def main():
    driver = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        target = pathlib.Path(name)
        for family in FAMILIES:
            check_hugging_face(driver, family, target)
            check_gguf(driver, family, target)
            check_compressed(driver, family, target)
            if "--torch" in sys.argv:
                check_logits(family, target)
        golden = HERE / "untied-v0.bin"
        run(driver, "export", golden, target / "again.bin", "llama2c", "fp32")
        again = (target / "again.bin").read_bytes()
        # All but the last bits of the tables of cosines and sines, which are computed anew.
        check(len(again) == golden.stat().st_size, "size of llama2.c's file")
        a, b = (np.frombuffer(x[28:], "<f4") for x in (again, golden.read_bytes()))
        check(again[:28] == golden.read_bytes()[:28], "header of llama2.c's file")
        check(np.abs(a - b).max() <= 1e-7 and (a != b).sum() <= 64, "llama2.c's file")
    print(f"model files: {checks} checks by safetensors, gguf and transformers"
          f"{' with PyTorch' if '--torch' in sys.argv else ''} passed")


if __name__ == "__main__":
    main()
