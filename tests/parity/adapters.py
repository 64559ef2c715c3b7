"""Compares adapters with PyTorch: loss, every gradient and twenty AdamW steps of LoRA, rsLoRA and
DoRA, written here from the papers; and the merged model with the one whose adapter is attached.

    python3 tests/parity/adapters.py build/release/libane_train.so
"""

import sys

import torch

import reference_model as reference
from library import AdapterOptions, AdapterOverride, Library, ModelConfig, SessionOptions
from live import relative

TOLERANCE = 1e-4
LOGIT_TOLERANCE = 1e-5
BATCH, SEQUENCE, STEPS = 3, 21, 20

BASE = dict(vocab_size=61, hidden_size=24, intermediate_size=40, layer_count=3, head_count=4,
            kv_head_count=2, head_dim=8, qk_norm=True, tie_embeddings=False)
OVERRIDES = (AdapterOverride * 2)(AdapterOverride(b"layers.0.*", 5, 0, 0),
                                  AdapterOverride(b"down_proj", 1, 0, 7))
CASES = {
    "lora": dict(rank=4),
    "lora alpha": dict(rank=3, alpha=20),
    "rslora": dict(rank=4, rslora=1),
    "dora": dict(rank=4, dora=1),
    "dora rslora": dict(rank=2, dora=1, rslora=1, targets=b"q_proj,up_proj,o_proj"),
    "two of the layers": dict(rank=4, targets=b"self_attn.*", first_layer=-2),
    "ranks by pattern": dict(rank=4, overrides=OVERRIDES, override_count=2),
    "embedding and head": dict(rank=4, targets=b"embed_tokens,lm_head,v_proj"),
}


def effective(p, adapter, modules):
    """The model's weights with the adapter in them, differentiable by the adapter."""
    weights = dict(p)
    for name, _rank, scale in modules:
        base = p[name + ".weight"]
        if name.endswith("embed_tokens"):
            a, b = adapter[name + ".lora_embedding_A"], adapter[name + ".lora_embedding_B"]
            weights[name + ".weight"] = base + scale * (b @ a).T
            continue
        weight = base + scale * adapter[name + ".lora_B.weight"] @ adapter[name + ".lora_A.weight"]
        magnitude = adapter.get(name + ".lora_magnitude_vector")
        if magnitude is not None:
            norm = weight.norm(dim=1, keepdim=True).detach()
            weight = magnitude[:, None] * weight / norm
        weights[name + ".weight"] = weight
    return weights


def expected_scale(options, name, rank):
    alpha = options.get("alpha", 2 * options["rank"])
    if "overrides" in options and name.endswith("down_proj"):
        alpha = 7
    return alpha / (rank ** 0.5 if options.get("rslora") else rank)


def compare(path, name, options):
    c = reference.Config(**BASE)
    p = {key: value.detach() for key, value in
         reference.random_parameters(c, seed=200 + len(name), dtype=torch.float64).items()}
    tokens, targets = reference.batch(c, BATCH, SEQUENCE, seed=5)
    settings = dict(reference.ADAMW, learning_rate=2e-3)
    ours = Library(
        path, ModelConfig(**c.json()),
        SessionOptions(batch_size=BATCH, sequence_length=SEQUENCE, loss_chunk=40,
                       learning_rate=settings["learning_rate"],
                       weight_decay=settings["weight_decay"], beta1=settings["betas"][0],
                       beta2=settings["betas"][1], epsilon=settings["epsilon"]),
        adapter=AdapterOptions(**options), weights={key: p[key].numpy() for key in p})
    modules = ours.modules()
    good = bool(modules) and all(
        abs(scale - expected_scale(options, module, rank)) < 1e-9
        for module, rank, scale in modules)

    # B and the magnitudes get something to say.
    generator = torch.Generator().manual_seed(9)
    adapter = {}
    for key, view in ours.weights().items():
        value = torch.as_tensor(view.copy()).double()
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        value = value * (1 + 0.2 * noise) if value.dim() == 1 else value + 0.1 * noise
        view[...] = value.numpy()
        adapter[key] = torch.as_tensor(view.copy()).double().requires_grad_()
    ours.weights_changed()

    def loss_now():
        return reference.loss(c, effective(p, adapter, modules), tokens, targets)

    loss = loss_now()
    loss.backward()
    result = ours.forward_backward(tokens.numpy(), targets.numpy())
    worst_loss = abs(result.loss - loss.item()) / loss.item()
    worst = ("", 0.0)
    for key, view in ours.gradients().items():
        worst = max(worst, (key, relative(view / result.tokens, adapter[key].grad)),
                    key=lambda pair: pair[1])
    ours.zero_gradients()

    optimizer = reference.adamw(adapter, **settings)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_now()
        loss.backward()
        optimizer.step()
        mine = ours.step(tokens.numpy(), targets.numpy()).loss
        worst_loss = max(worst_loss, abs(mine - loss.item()) / loss.item())

    prompt = tokens[0].tolist()
    attached, merged = (torch.as_tensor(values) for values in ours.adapted_logits(prompt))
    difference = (attached - merged).abs().max().item() / merged.abs().max().item()
    good = (good and worst[1] <= TOLERANCE and worst_loss <= TOLERANCE
            and difference <= LOGIT_TOLERANCE)
    print(f"{name:20} {len(modules):2} modules, worst gradient {worst[1]:.1e} ({worst[0]}), worst "
          f"loss in {STEPS} steps {worst_loss:.1e}, merged logits {difference:.1e}  "
          f"{'ok' if good else 'FAILED'}")
    return good


if __name__ == "__main__":
    good = [compare(sys.argv[1], name, options) for name, options in CASES.items()]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    sys.exit(not all(good))
