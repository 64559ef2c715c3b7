"""Writes tests/golden/lora/*.safetensors: an adapter on the model of a file in
tests/golden/transformer, the gradients of its loss, and the losses of twenty AdamW steps, computed
by PyTorch in double precision. The adapter is written as a change of the weights, so nothing here
knows in which order the library multiplies.

    python3 tests/parity/make_lora_golden.py
"""

import json
import math
import pathlib

import torch

import reference_model as reference
from make_golden import BATCH, SEQUENCE, save_safetensors

STEPS = 20
PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
               "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def in_layers(layers, names, rank, alpha):
    return [dict(module=f"model.layers.{layer}.{name}", rank=rank, alpha=alpha)
            for layer in layers for name in names]


CASES = {
    "lora": dict(base="gqa", modules=in_layers(range(2), PROJECTIONS, 3, 6)),
    "top_layer": dict(base="head_dim", modules=in_layers([1], ["self_attn.v_proj"], 1, 1)),
    "rslora": dict(base="all", rslora=True,
                   modules=in_layers([0, 2], ["self_attn.q_proj", "self_attn.v_proj"], 4, 8)
                   + in_layers([1], ["mlp.down_proj"], 2, 3)),
    "dora": dict(base="all", dora=True, modules=in_layers(range(3), PROJECTIONS, 2, 4)),
    "dora_rslora": dict(base="qkv_bias", dora=True, rslora=True,
                        modules=in_layers([1], PROJECTIONS, 5, 5)),
    "embeddings": dict(base="all", modules=[
        dict(module="model.embed_tokens", rank=4, alpha=8), *in_layers([1], ["mlp.up_proj"], 3, 2),
        dict(module="lm_head", rank=2, alpha=4)]),
    "tied_embedding": dict(base="gqa", modules=[
        dict(module="model.embed_tokens", rank=2, alpha=4),
        *in_layers([0], ["self_attn.o_proj"], 2, 4)]),
    "head": dict(base="untied", modules=[dict(module="lm_head", rank=3, alpha=6)]),
}


def initial_adapter(case, base, generator):
    """A and B are both random, or B's gradient alone would say anything."""
    adapter = {}
    for module in case["modules"]:
        name, rank = module["module"], module["rank"]
        weight = base[f"{name}.weight"].detach()
        embedding = name.endswith("embed_tokens")
        out, columns = weight.shape[::-1] if embedding else weight.shape
        a, b = (("lora_embedding_A", "lora_embedding_B") if embedding
                else ("lora_A.weight", "lora_B.weight"))
        adapter[f"{name}.{a}"] = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        adapter[f"{name}.{b}"] = 0.3 * torch.randn(out, rank, generator=generator)
        if case.get("dora"):
            noise = torch.randn(out, generator=generator)
            adapter[f"{name}.lora_magnitude_vector"] = weight.norm(dim=1) * (1 + 0.1 * noise)
    return {name: value.float().double().requires_grad_() for name, value in adapter.items()}


def adapted(case, base, adapter):
    """The weights of the model with the adapter in them."""
    p = dict(base)
    if "lm_head.weight" not in p:  # an adapter of the embedding leaves a tied head alone
        p["lm_head.weight"] = p["model.embed_tokens.weight"]
    for module in case["modules"]:
        name, rank = module["module"], module["rank"]
        scale = module["alpha"] / (math.sqrt(rank) if case.get("rslora") else rank)
        weight = p[f"{name}.weight"]
        if name.endswith("embed_tokens"):
            a, b = adapter[f"{name}.lora_embedding_A"], adapter[f"{name}.lora_embedding_B"]
            p[f"{name}.weight"] = weight + scale * (b @ a).T
            continue
        changed = weight + scale * adapter[f"{name}.lora_B.weight"] @ adapter[f"{name}.lora_A.weight"]
        if case.get("dora"):
            norm = changed.norm(dim=1, keepdim=True).detach()
            changed = adapter[f"{name}.lora_magnitude_vector"][:, None] * changed / norm
        p[f"{name}.weight"] = changed
    return p


def golden(name, case):
    fields = reference.CASES[case["base"]]
    c = reference.Config(**fields)
    base = reference.random_parameters(c, seed=len(case["base"]), dtype=torch.float64)
    base = {key: value.detach() for key, value in base.items()}
    untied = reference.Config(**dict(fields, tie_embeddings=False))
    tokens, targets = reference.batch(c, BATCH, SEQUENCE, seed=7)
    adapter = initial_adapter(case, base, torch.Generator().manual_seed(len(name)))
    tensors = {key: value.detach().float() for key, value in adapter.items()}

    losses = []
    optimizer = reference.adamw(adapter, **reference.ADAMW)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = reference.loss(untied, adapted(case, base, adapter), tokens, targets)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            for key, value in adapter.items():
                tensors[f"grad.{key}"] = value.grad.float()
        optimizer.step()
    tensors["losses"] = torch.tensor(losses, dtype=torch.float32)
    folder = pathlib.Path(__file__).parent.parent / "golden" / "lora"
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(folder / f"{name}.safetensors", tensors,
                     {"base": case["base"], "adapter": json.dumps(case)})


if __name__ == "__main__":
    for name, case in CASES.items():
        golden(name, case)
