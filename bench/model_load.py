"""How long a Hugging Face directory takes to load and how much memory: Qwen3-0.6B's shape in bf16.

    /usr/bin/python3 bench/model_load.py build/release/libane_train.so.0.1.0 [FOLDER]

Makes the directory below FOLDER (build/bench, 1.2 GB) if it is not there, with random weights, and
loads it in a process of its own. Prints one JSON line: seconds, peak resident memory, and the ratio
of that to the fp32 weights.
"""

import ctypes
import json
import multiprocessing
import pathlib
import struct
import sys
import time

import numpy as np

SHAPE = {"vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
         "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
         "head_dim": 128, "max_position_embeddings": 40960}


def tensors():
    d, f, head = SHAPE["hidden_size"], SHAPE["intermediate_size"], SHAPE["head_dim"]
    q, kv = SHAPE["num_attention_heads"] * head, SHAPE["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (SHAPE["vocab_size"], d)
    for i in range(SHAPE["num_hidden_layers"]):
        for name, shape in (("input_layernorm", (d,)), ("self_attn.q_proj", (q, d)),
                            ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)),
                            ("self_attn.q_norm", (head,)), ("self_attn.k_norm", (head,)),
                            ("self_attn.o_proj", (d, q)), ("post_attention_layernorm", (d,)),
                            ("mlp.gate_proj", (f, d)), ("mlp.up_proj", (f, d)),
                            ("mlp.down_proj", (d, f))):
            yield f"model.layers.{i}.{name}.weight", shape
    yield "model.norm.weight", (d,)


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    header, offset = {}, 0
    for name, shape in tensors():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(1)
    partial = folder / "model.safetensors.partial"
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors():
            left = int(np.prod(shape))
            while left > 0:
                count = min(left, 1 << 22)
                if len(shape) == 1:
                    values = np.ones(count, np.float32)
                else:
                    values = rng.standard_normal(count, dtype=np.float32) * np.float32(0.02)
                file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
                left -= count
    partial.rename(folder / "model.safetensors")
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **SHAPE,
              "rms_norm_eps": 1e-6, "rope_theta": 1e6, "hidden_act": "silu",
              "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def peak_memory():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def load(library, folder, queue):
    c = ctypes.CDLL(library)
    c.anet_error_message.restype = ctypes.c_char_p
    before = peak_memory()
    model, error = ctypes.c_void_p(), ctypes.c_void_p()
    start = time.perf_counter()
    if c.anet_model_load(str(folder).encode(), ctypes.byref(model), ctypes.byref(error)) != 0:
        raise RuntimeError(c.anet_error_message(error).decode())
    queue.put((time.perf_counter() - start, peak_memory(), before))


def main():
    library = str(pathlib.Path(sys.argv[1]).resolve())
    root = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "build/bench")
    folder = root / "qwen3-0.6b-random"
    if not (folder / "config.json").exists():
        make(folder)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=load, args=(library, folder, queue))
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit("the load failed")
    seconds, peak, before = queue.get()
    weights = 4 * sum(int(np.prod(shape)) for _, shape in tensors())
    print(json.dumps({"parameters": weights // 4, "seconds": round(seconds, 2),
                      "peak_bytes": peak, "before_bytes": before, "weight_bytes": weights,
                      "peak_ratio": round(peak / weights, 4)}))


if __name__ == "__main__":
    main()
