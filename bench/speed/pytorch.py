"""A process that trains with PyTorch: answers the requests of turns.py.

Eager PyTorch at its best here: the fused attention and the fastest AdamW that this version has,
tables of RoPE and masks made once, gradients set to None. bf16 is autocast over fp32 weights; the
frozen base of an adapter is held in bf16 itself. Nothing here comes from the library.

    python3 pytorch.py SETTINGS      SETTINGS is JSON; see turns.py
    python3 pytorch.py --version
"""

import contextlib
import json
import math
import pathlib
import re
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from counts import flops
from turns import serve
from workloads import ADAMW, CLIP_NORM, Workload, adapter_values, batch, read_bf16

HAS_FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


class Model:
    def __init__(self, workload, folder):
        self.shape, self.rank = workload.shape, workload.rank
        base = torch.bfloat16 if workload.rank and workload.precision == "bf16" else torch.float32
        self.weights = {}
        for name, bits in read_bf16(folder):
            values = torch.from_numpy((bits.astype(np.uint32) << 16).view(np.float32))
            self.weights[name] = values.to(base).requires_grad_(not workload.rank)
        self.adapter = self.make_adapter() if workload.rank else {}
        self.cos, self.sin = self.rope_tables(workload.sequence)
        mask = torch.full((workload.sequence, workload.sequence), float("-inf")).triu(1)
        self.mask = None if HAS_FUSED_ATTENTION else mask

    def make_adapter(self):
        adapter = {}
        for i in range(self.shape.layer_count):
            for name, rows, columns in self.shape.matrices():
                for side, extents in (("A", (self.rank, columns)), ("B", (rows, self.rank))):
                    key = f"model.layers.{i}.{name}.lora_{side}.weight"
                    adapter[key] = torch.from_numpy(adapter_values(key, extents)).requires_grad_()
        return adapter

    def trained(self):
        return list((self.adapter or self.weights).values())

    def rope_tables(self, sequence):
        half = self.shape.head_dim // 2
        frequency = self.shape.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(sequence, dtype=torch.float64)[:, None] * frequency
        angle = torch.cat((angle, angle), -1)
        return angle.cos().float(), angle.sin().float()

    def rope(self, x):
        first, second = x.chunk(2, -1)
        return x * self.cos.to(x.dtype) + torch.cat((-second, first), -1) * self.sin.to(x.dtype)

    def norm(self, x, name):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.shape.norm_epsilon)
        return (x * scale).to(x.dtype) * self.weights[name].to(x.dtype)

    def linear(self, x, module):
        y = F.linear(x, self.weights[module + ".weight"])
        if not self.rank:
            return y
        low = F.linear(x, self.adapter[module + ".lora_A.weight"])
        # alpha is twice the rank
        return y + 2 * F.linear(low, self.adapter[module + ".lora_B.weight"])

    def attention(self, x, layer):
        s, (count, sequence, _) = self.shape, x.shape

        def heads(name, number):
            y = self.linear(x, f"{layer}.self_attn.{name}")
            return y.view(count, sequence, number, s.head_dim).transpose(1, 2)

        q, k = heads("q_proj", s.head_count), heads("k_proj", s.kv_head_count)
        v = heads("v_proj", s.kv_head_count)
        if s.qk_norm:
            q = self.norm(q, f"{layer}.self_attn.q_norm.weight")
            k = self.norm(k, f"{layer}.self_attn.k_norm.weight")
        q, k = self.rope(q), self.rope(k)
        if s.kv_head_count != s.head_count:
            group = s.head_count // s.kv_head_count
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if HAS_FUSED_ATTENTION:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-1, -2)) * (1 / math.sqrt(s.head_dim)) + self.mask
            y = scores.softmax(-1).to(v.dtype) @ v
        y = y.transpose(1, 2).reshape(count, sequence, s.query_size)
        return self.linear(y, f"{layer}.self_attn.o_proj")

    def loss(self, tokens, targets):
        x = F.embedding(tokens, self.weights["model.embed_tokens.weight"])
        for i in range(self.shape.layer_count):
            layer = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, f"{layer}.input_layernorm.weight"), layer)
            y = self.norm(x, f"{layer}.post_attention_layernorm.weight")
            gate = F.silu(self.linear(y, f"{layer}.mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(y, f"{layer}.mlp.up_proj"),
                                f"{layer}.mlp.down_proj")
        head = "model.embed_tokens" if self.shape.tie_embeddings else "lm_head"
        logits = F.linear(self.norm(x, "model.norm.weight"), self.weights[head + ".weight"])
        return F.cross_entropy(logits.view(-1, self.shape.vocab_size).float(), targets.view(-1))


def make_optimizer(trained, **choice):
    """Decay on matrices and embeddings alone."""
    groups = [{"params": [p for p in trained if p.dim() > 1],
               "weight_decay": ADAMW["weight_decay"]},
              {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]],
                             lr=ADAMW["learning_rate"], eps=ADAMW["epsilon"],
                             betas=(ADAMW["beta1"], ADAMW["beta2"]), **choice)


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fastest_optimizer(trained):
    """Times the variants that this version has; with a rate of 0 they change no weight."""
    best = None
    for p in trained:
        p.grad = torch.zeros_like(p)
    for choice in ({"fused": True}, {"foreach": True}, {"foreach": False}):
        try:
            candidate = make_optimizer(trained, **choice)
            for group in candidate.param_groups:
                group["lr"] = 0.0
            candidate.step()  # makes the moments
            seconds = min(timed(candidate.step) for _ in range(3))
        except (TypeError, RuntimeError):
            continue  # not in this version, or not on the CPU
        if best is None or seconds < best[0]:
            best = seconds, choice
        del candidate
    for p in trained:
        p.grad = None
    return make_optimizer(trained, **best[1]), [name for name, on in best[1].items() if on]


def too_slow(workload, limit):
    """Some versions have no bf16 product for some processors, but plain loops: one product tells.
    Why a step would take longer than `limit` seconds, or None."""
    s, tokens = workload.shape, min(workload.tokens, 256)
    x = torch.ones(tokens, s.hidden_size, dtype=torch.bfloat16)
    w = torch.ones(s.intermediate_size, s.hidden_size, dtype=torch.bfloat16)
    best = min(timed(lambda: F.linear(x, w)) for _ in range(2))
    rate = 2 * tokens * s.hidden_size * s.intermediate_size / best
    seconds = sum(flops(workload).values()) / rate
    if seconds <= limit:
        return None
    return (f"a step would take about {seconds:.0f} s: this PyTorch multiplies bf16 at "
            f"{rate / 1e9:.1f} GFLOP/s on this processor")


def blas():
    """What multiplies fp32: MKL is inside, another BLAS is a library that this process has open."""
    config = torch.__config__.show()
    if found := re.search(r"BLAS_INFO=(mkl|accelerate|open\w*)", config):
        return found.group(1)
    torch.ones(2, 2) @ torch.ones(2, 2)
    try:
        maps = pathlib.Path("/proc/self/maps").read_text()
    except OSError:
        return "unknown"
    return next((name for name in ("openblas", "blis", "atlas") if f"lib{name}" in maps),
                "the reference" if "libblas" in maps else "unknown")


def version():
    return {"version": torch.__version__.partition("+")[0], "blas": blas(),
            "fused_attention": HAS_FUSED_ATTENTION,
            "processor": getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
            if hasattr(torch.backends, "cpu") else ""}


def main():
    if sys.argv[1:] == ["--version"]:
        return print(json.dumps(version()))
    settings = json.loads(sys.argv[1])
    workload = Workload.of(settings["workload"])
    torch.set_num_threads(settings["threads"])
    if workload.precision == "bf16" and (reason := too_slow(workload, settings["limit"])):
        return print(json.dumps({"missing": reason}), flush=True)
    model = Model(workload, settings["folder"])
    trained = model.trained()
    optimizer, chosen = fastest_optimizer(trained)
    precision = (torch.autocast("cpu", torch.bfloat16) if workload.precision == "bf16"
                 else contextlib.nullcontext())

    def step(number):
        tokens, targets = (torch.from_numpy(np.ascontiguousarray(ids))
                           for ids in batch(workload, number))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = model.loss(tokens, targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        optimizer.step()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": loss.item(), "norm": float(norm)}

    serve({"optimizer": ", ".join(chosen) or "plain"}, step)


if __name__ == "__main__":
    main()
