#!/usr/bin/env python3
"""Writes the golden model files: directories by transformers, GGUF by the gguf package, llama2.c and
BLZT by hand from their descriptions.

    python tests/golden/model_files/make.py

Needs torch, transformers 5, safetensors, gguf (tests/requirements.txt).

<family>/            save_pretrained of a small random model
<family>.safetensors tokens, targets, the logits of the first row and the losses of 20 AdamW steps in
                     float32, all from the directory as transformers loads it
*.gguf, *.bin, *.blzt
expected.json        for each of those: our configuration, and the SHA-256 of each tensor as float32
                     under its Hugging Face name
blocks.safetensors   blocks of GGUF's quantised types and their values according to the package
"""
import hashlib
import json
import pathlib
import shutil
import struct

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

HERE = pathlib.Path(__file__).parent
STEPS, BATCH, SEQUENCE = 20, 2, 17
ADAMW = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
DECAY = 0.1
SIZES = dict(vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
             bos_token_id=1, pad_token_id=None)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=48)

FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(
        **SIZES, eos_token_id=2, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0)), torch.float32, "30KB"),
    "llama3": (LlamaForCausalLM, LlamaConfig(
        **SIZES, eos_token_id=[2, 3], rms_norm_eps=1e-5, tie_word_embeddings=True, head_dim=16,
        rope_parameters=LLAMA3), torch.bfloat16, "5GB"),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(
        **SIZES, eos_token_id=2, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e6)), torch.float16, "5GB"),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(
        **SIZES, eos_token_id=2, head_dim=16, rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1e6)), torch.float32, "5GB"),
}


def random_model(kind, config, seed):
    """Every parameter is random: transformers' own initial biases and norms would hide mistakes."""
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            else:
                parameter.normal_(0, 0.1)
    return model


def train(model, tokens, targets):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=DECAY),
                                   dict(params=others, weight_decay=0.0)], **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = model(input_ids=tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float32)


def family(name, kind, config, dtype, shard, seed):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    random_model(kind, config, seed).to(dtype).save_pretrained(folder, max_shard_size=shard)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager")
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, config.vocab_size, (BATCH, SEQUENCE + 1), generator=generator)
    tokens, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    with torch.no_grad():
        logits = model(input_ids=tokens[:1]).logits[0]
    losses = train(model, tokens, targets)
    save_file(dict(tokens=tokens.int(), targets=targets.int(), logits=logits.contiguous(),
                   losses=losses), HERE / f"{name}.safetensors")


def weights_of(name):
    """The directory's tensors as float32, by the names in the files."""
    tensors = {}
    for path in sorted((HERE / name).glob("*.safetensors")):
        tensors |= load_file(path)
    return {key: value.float().numpy() for key, value in tensors.items()}


def our_config(config):
    rope = config.rope_parameters
    fields = dict(
        vocab_size=config.vocab_size, hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size, layer_count=config.num_hidden_layers,
        head_count=config.num_attention_heads, kv_head_count=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or
        config.hidden_size // config.num_attention_heads,
        context_length=config.max_position_embeddings, tie_embeddings=config.tie_word_embeddings,
        qkv_bias=config.model_type == "qwen2", qk_norm=config.model_type == "qwen3",
        rope_theta=rope["rope_theta"], norm_epsilon=config.rms_norm_eps)
    if rope["rope_type"] == "llama3":
        fields |= dict(rope_scaling_factor=rope["factor"],
                       rope_low_frequency_factor=rope["low_freq_factor"],
                       rope_high_frequency_factor=rope["high_freq_factor"],
                       rope_original_context_length=rope["original_max_position_embeddings"])
    return fields


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()


def interleave(matrix, heads):
    """Rows of half-split heads in the interleaved order."""
    rows, *rest = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(matrix.shape)


def gguf_name(name):
    for ours, theirs in (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"),
                         ("lm_head", "output"), ("model.layers.", "blk."),
                         ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
                         ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
                         ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
                         ("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm"),
                         ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
                         ("mlp.down_proj", "ffn_down")):
        name = name.replace(ours, theirs)
    return name


def llama3_factors(config):
    rope = config.rope_parameters
    original, low, high = (rope[key] for key in ("original_max_position_embeddings",
                                                 "low_freq_factor", "high_freq_factor"))
    factors = []
    for i in range(0, config.head_dim, 2):
        wavelength = 2 * np.pi * rope["rope_theta"] ** (i / config.head_dim)
        if wavelength < original / high:
            factors.append(1)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def write_gguf(path, name, config, kind):
    """Norms, biases and factors are F32, the rest of the given type; returns the values written."""
    architecture = {"llama3": "llama"}.get(name, name)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head_dim = our_config(config)["head_dim"]
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_eos_token_id(2)
    if name == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    written = {}
    for key, values in weights_of(name).items():
        heads = {"q_proj": config.num_attention_heads,
                 "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        rotated = architecture == "llama" and heads is not None
        stored = interleave(values, heads) if rotated else values
        quantised = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else kind
        data = gguf.quants.quantize(stored, quantised)
        writer.add_tensor(gguf_name(key), data, raw_dtype=quantised)
        back = gguf.quants.dequantize(data, quantised)
        if rotated:  # the order of rows is undone, the rounding is not
            order = interleave(np.arange(len(values)).reshape(-1, 1), heads).reshape(-1)
            back = back[np.argsort(order)]
        written[key] = back
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return written


def quantise_groups(values, size):
    groups = values.reshape(-1, size)
    scale = np.abs(groups).max(axis=1) / np.float32(127)
    return np.round(groups / scale[:, None]).astype(np.int8), scale.astype("<f4")


def layers(weights, suffix):
    count = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("model.layers."))
    return [f"model.layers.{i}.{suffix}.weight" for i in range(count)]


ATTENTION_NORM, MLP_NORM = "input_layernorm", "post_attention_layernorm"
MATRICES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]


def for_llama2c(name, values, config):
    heads = {"q_proj": config.num_attention_heads,
             "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    return values if heads is None else interleave(values, heads)


def write_llama2c(path, weights, config, version, group=0):
    c = config
    tied = c.tie_word_embeddings
    sizes = [c.hidden_size, c.intermediate_size, c.num_hidden_layers, c.num_attention_heads,
             c.num_key_value_heads, c.vocab_size, c.max_position_embeddings]
    written = {}
    with open(path, "wb") as file:
        def norm(name):
            file.write(weights[name].astype("<f4").tobytes())
            written[name] = weights[name]

        def matrix(name):
            stored = for_llama2c(name, weights[name], c)
            if version == 2:
                q, scale = quantise_groups(stored, group)
                file.write(q.tobytes() + scale.tobytes())
                back = (q.astype(np.float32) * scale[:, None]).reshape(stored.shape)
                heads = len(stored) if stored is weights[name] else None
                if heads is None:
                    n = c.num_attention_heads if "q_proj" in name else c.num_key_value_heads
                    order = interleave(np.arange(len(stored)).reshape(-1, 1), n).reshape(-1)
                    back = back[np.argsort(order)]
                written[name] = back
            else:
                file.write(stored.astype("<f4").tobytes())
                written[name] = weights[name]

        if version == 0:
            if not tied:
                sizes[5] = -sizes[5]
            file.write(struct.pack("<7i", *sizes))
            matrix("model.embed_tokens.weight")
            for name in layers(weights, ATTENTION_NORM):
                norm(name)
            for kind in MATRICES[:4]:
                for name in layers(weights, kind):
                    matrix(name)
            for name in layers(weights, MLP_NORM):
                norm(name)
            for kind in MATRICES[4:]:
                for name in layers(weights, kind):
                    matrix(name)
            norm("model.norm.weight")
            half = c.hidden_size // c.num_attention_heads // 2
            angles = np.outer(np.arange(c.max_position_embeddings),
                              10000.0 ** (-np.arange(half) / half))
            file.write(np.cos(angles).astype("<f4").tobytes() + np.sin(angles).astype("<f4").tobytes())
        else:
            header = struct.pack("<Ii7iB", 0x616B3432, version, *sizes, int(tied))
            if version == 2:
                header += struct.pack("<i", group)
            file.write(header.ljust(256, b"\0"))
            for name in (layers(weights, ATTENTION_NORM) + layers(weights, MLP_NORM)
                         + ["model.norm.weight"]):
                norm(name)
            matrix("model.embed_tokens.weight")
            for kind in MATRICES:
                for name in layers(weights, kind):
                    matrix(name)
        if not tied:
            matrix("lm_head.weight")
    return written


def write_blzt(path, weights, config, version):
    """Version 4 multiplies both branches by 1/sqrt(2L); the moments are noise here."""
    c = config
    head_dim = c.hidden_size // c.num_attention_heads
    noise = np.random.default_rng(5)
    alpha = np.float32(1) / np.sqrt(np.float32(2 * c.num_hidden_layers))
    written = {}
    tail = [c.num_key_value_heads, head_dim, c.hidden_size] if version == 4 else [0, 0, 0]
    with open(path, "wb") as file:
        file.write(struct.pack("<10i2f3d6i", 0x424C5A54, version, 7, 100, c.num_hidden_layers,
                               c.vocab_size, c.hidden_size, c.intermediate_size,
                               c.num_attention_heads, c.max_position_embeddings, 1e-3, 2.5,
                               0, 0, 0, 7, 70, 7, *tail))

        def put(name):
            file.write(for_llama2c(name, weights[name], c).astype("<f4").tobytes())
            scaled = version == 4 and ("o_proj" in name or "down_proj" in name)
            written[name] = weights[name] * alpha if scaled else weights[name]

        def moments(name):
            file.write(noise.standard_normal(2 * weights[name].size).astype("<f4").tobytes())

        for layer in range(c.num_hidden_layers):
            names = [f"model.layers.{layer}.{kind}.weight"
                     for kind in MATRICES + [ATTENTION_NORM, MLP_NORM]]
            for name in names:
                put(name)
            for name in names:
                moments(name)
        for name in ("model.norm.weight", "model.embed_tokens.weight"):
            put(name)
            moments(name)
    return written


def interleaved_logits(weights, config, tokens):
    """A forward pass in NumPy with RoPE on neighbours, as llama2.c and maderix/ANE have it."""
    c = config
    heads, kv = c.num_attention_heads, c.num_key_value_heads
    head_dim = c.hidden_size // heads
    angles = np.outer(np.arange(len(tokens)), 1e4 ** (-np.arange(head_dim // 2) * 2 / head_dim))
    turn = np.exp(1j * angles)

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + c.rms_norm_eps) * weight

    def rotate(x):  # [positions, heads, head_dim]
        pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * turn[:, None]
        return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)

    x = weights["model.embed_tokens.weight"][tokens].astype(np.float64)
    for i in range(c.num_hidden_layers):
        def w(kind):
            name = f"model.layers.{i}.{kind}.weight"
            return for_llama2c(name, weights[name], c).astype(np.float64)
        h = norm(x, w(ATTENTION_NORM))
        q = rotate((h @ w("self_attn.q_proj").T).reshape(-1, heads, head_dim))
        k = rotate((h @ w("self_attn.k_proj").T).reshape(-1, kv, head_dim))
        v = (h @ w("self_attn.v_proj").T).reshape(-1, kv, head_dim)
        k, v = k.repeat(heads // kv, 1), v.repeat(heads // kv, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(head_dim)
        scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", p, v).reshape(len(tokens), -1) @ w("self_attn.o_proj").T
        h = norm(x, w(MLP_NORM))
        gate = h @ w("mlp.gate_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, weights["model.norm.weight"]) @ head.T


def check_interleaving():
    """The permuted weights under interleaved RoPE are the same model."""
    golden = load_file(HERE / "llama.safetensors")
    config = FAMILIES["llama"][1]
    seen = interleaved_logits(weights_of("llama"), config, golden["tokens"][0].numpy())
    assert np.abs(seen - golden["logits"].numpy()).max() < 1e-4


def blocks():
    """Random blocks with scales of all signs and sizes, and what the package makes of them."""
    rng = np.random.default_rng(11)
    tensors = {}
    for kind, size, scale_at in (("Q8_0", 34, 0), ("Q4_0", 18, 0), ("Q6_K", 210, 208)):
        raw = rng.integers(0, 256, (24, size), dtype=np.uint8)
        scales = rng.standard_normal(24).astype(np.float16)
        scales[0], scales[1] = np.float16(6e-8), 0
        raw[:, scale_at:scale_at + 2] = scales.view(np.uint8).reshape(-1, 2)
        values = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind])
        tensors[f"{kind}.blocks"] = torch.from_numpy(raw)
        tensors[f"{kind}.values"] = torch.from_numpy(values.astype(np.float32))
    given = rng.standard_normal((4, 96)).astype(np.float32)
    given[0, :32] = 0
    tensors["given"] = torch.from_numpy(given)
    quantised = gguf.quants.quantize(given, gguf.GGMLQuantizationType.Q8_0)
    tensors["given.Q8_0"] = torch.from_numpy(quantised)
    save_file(tensors, HERE / "blocks.safetensors")


def small_llama(tied, gqa=False):
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=1 if gqa else 2,
                         max_position_embeddings=8,
                         rms_norm_eps=1e-5, tie_word_embeddings=tied,
                         rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    model = random_model(LlamaForCausalLM, config, 21)
    weights = {k: v.detach().numpy() for k, v in model.named_parameters()}
    return config, weights


def main():
    for seed, (name, (kind, config, dtype, shard)) in enumerate(FAMILIES.items()):
        family(name, kind, config, dtype, shard, seed)
    check_interleaving()
    blocks()
    expected = {}

    def record(file, config, written):
        expected[file] = dict(config=our_config(config),
                              tensors={k: digest(v) for k, v in sorted(written.items())})

    for name, kind in (("llama", "Q8_0"), ("llama3", "BF16"), ("qwen2", "F16"), ("qwen3", "Q4_0")):
        file = f"{name}-{kind.lower()}.gguf"
        config = FAMILIES[name][1]
        record(file, config, write_gguf(HERE / file, name, config,
                                        gguf.GGMLQuantizationType[kind]))
    for tied in (True, False):
        config, weights = small_llama(tied, gqa=not tied)
        mark = "tied" if tied else "untied"
        for version in (0, 1, 2):
            file = f"{mark}-v{version}.bin"
            record(file, config, write_llama2c(HERE / file, weights, config, version, 8))
    config, weights = small_llama(True)
    for version in (2, 4):
        file = f"v{version}.blzt"
        record(file, config, write_blzt(HERE / file, weights, config, version))
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
