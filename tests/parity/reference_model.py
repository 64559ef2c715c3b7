"""The Llama family in plain PyTorch, written from the papers: the independent oracle.

Nothing here shares code or layout with the library: activations are [batch, sequence, channels],
attention is written out, the loss is torch's own cross-entropy.
"""

import math

import torch
import torch.nn.functional as F


class Config:
    def __init__(self, **fields):
        self.vocab_size = fields["vocab_size"]
        self.hidden_size = fields["hidden_size"]
        self.intermediate_size = fields["intermediate_size"]
        self.layer_count = fields["layer_count"]
        self.head_count = fields["head_count"]
        self.kv_head_count = fields.get("kv_head_count", self.head_count)
        self.head_dim = fields.get("head_dim", self.hidden_size // self.head_count)
        self.context_length = fields.get("context_length", 2048)
        self.tie_embeddings = fields.get("tie_embeddings", False)
        self.qkv_bias = fields.get("qkv_bias", False)
        self.qk_norm = fields.get("qk_norm", False)
        self.rope_theta = fields.get("rope_theta", 1e4)
        self.norm_epsilon = fields.get("norm_epsilon", 1e-5)

    def json(self):
        return dict(vars(self))


def parameter_shapes(c):
    """Names and shapes as in Hugging Face files, in the library's order."""
    q, kv = c.head_count * c.head_dim, c.kv_head_count * c.head_dim
    shapes = {"model.embed_tokens.weight": (c.vocab_size, c.hidden_size)}
    for i in range(c.layer_count):
        layer = {
            "input_layernorm.weight": (c.hidden_size,),
            "self_attn.q_proj.weight": (q, c.hidden_size),
            "self_attn.k_proj.weight": (kv, c.hidden_size),
            "self_attn.v_proj.weight": (kv, c.hidden_size),
        }
        if c.qkv_bias:
            layer["self_attn.q_proj.bias"] = (q,)
            layer["self_attn.k_proj.bias"] = (kv,)
            layer["self_attn.v_proj.bias"] = (kv,)
        if c.qk_norm:
            layer["self_attn.q_norm.weight"] = (c.head_dim,)
            layer["self_attn.k_norm.weight"] = (c.head_dim,)
        layer["self_attn.o_proj.weight"] = (c.hidden_size, q)
        layer["post_attention_layernorm.weight"] = (c.hidden_size,)
        layer["mlp.gate_proj.weight"] = (c.intermediate_size, c.hidden_size)
        layer["mlp.up_proj.weight"] = (c.intermediate_size, c.hidden_size)
        layer["mlp.down_proj.weight"] = (c.hidden_size, c.intermediate_size)
        shapes.update({f"model.layers.{i}.{name}": shape for name, shape in layer.items()})
    shapes["model.norm.weight"] = (c.hidden_size,)
    if not c.tie_embeddings:
        shapes["lm_head.weight"] = (c.vocab_size, c.hidden_size)
    return shapes


def random_parameters(c, seed, dtype):
    """Larger than a real initialisation, so that every path carries signal."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for name, shape in parameter_shapes(c).items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        if "norm" in name:
            value = 1 + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.2 * noise
        else:
            value = noise / math.sqrt(shape[1])
        parameters[name] = value.to(dtype).requires_grad_()
    return parameters


def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rope(x, theta):
    """Half-split rotation of [batch, heads, sequence, head_dim]."""
    half = x.shape[-1] // 2
    frequency = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def attention(c, p, prefix, x):
    batch, sequence, _ = x.shape

    def heads(name, count):
        y = F.linear(x, p[f"{prefix}.{name}.weight"], p.get(f"{prefix}.{name}.bias"))
        return y.view(batch, sequence, count, c.head_dim).transpose(1, 2)

    q, k = heads("q_proj", c.head_count), heads("k_proj", c.kv_head_count)
    v = heads("v_proj", c.kv_head_count)
    if c.qk_norm:
        q = rms_norm(q, p[f"{prefix}.q_norm.weight"], c.norm_epsilon)
        k = rms_norm(k, p[f"{prefix}.k_norm.weight"], c.norm_epsilon)
    q, k = rope(q, c.rope_theta), rope(k, c.rope_theta)
    group = c.head_count // c.kv_head_count
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(c.head_dim)
    hidden = torch.ones(sequence, sequence, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    y = (weights @ v).transpose(1, 2).reshape(batch, sequence, c.head_count * c.head_dim)
    return F.linear(y, p[f"{prefix}.o_proj.weight"])


def logits(c, p, tokens):
    x = p["model.embed_tokens.weight"][tokens]
    for i in range(c.layer_count):
        layer = f"model.layers.{i}"
        y = rms_norm(x, p[f"{layer}.input_layernorm.weight"], c.norm_epsilon)
        x = x + attention(c, p, f"{layer}.self_attn", y)
        y = rms_norm(x, p[f"{layer}.post_attention_layernorm.weight"], c.norm_epsilon)
        gate = F.silu(F.linear(y, p[f"{layer}.mlp.gate_proj.weight"]))
        up = F.linear(y, p[f"{layer}.mlp.up_proj.weight"])
        x = x + F.linear(gate * up, p[f"{layer}.mlp.down_proj.weight"])
    x = rms_norm(x, p["model.norm.weight"], c.norm_epsilon)
    head = p["model.embed_tokens.weight" if c.tie_embeddings else "lm_head.weight"]
    return F.linear(x, head)


def loss(c, p, tokens, targets):
    """Mean over the targets that are not -1."""
    scores = logits(c, p, tokens)
    return F.cross_entropy(scores.view(-1, c.vocab_size), targets.view(-1), ignore_index=-1)


def adamw(p, learning_rate, weight_decay, betas, epsilon):
    """Decay on matrices and embeddings alone."""
    groups = [
        {"params": [v for v in p.values() if v.dim() > 1], "weight_decay": weight_decay},
        {"params": [v for v in p.values() if v.dim() == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon)


CASES = {
    "mha": dict(vocab_size=37, hidden_size=24, intermediate_size=40, layer_count=2, head_count=4,
                tie_embeddings=True),
    "gqa": dict(vocab_size=41, hidden_size=24, intermediate_size=36, layer_count=2, head_count=6,
                kv_head_count=2, tie_embeddings=True),
    "head_dim": dict(vocab_size=37, hidden_size=20, intermediate_size=33, layer_count=2,
                     head_count=4, kv_head_count=2, head_dim=8, tie_embeddings=True),
    "qk_norm": dict(vocab_size=43, hidden_size=16, intermediate_size=32, layer_count=2,
                    head_count=4, kv_head_count=2, head_dim=8, qk_norm=True, rope_theta=1e6,
                    norm_epsilon=1e-6, tie_embeddings=True),
    "qkv_bias": dict(vocab_size=37, hidden_size=24, intermediate_size=40, layer_count=2,
                     head_count=4, kv_head_count=2, qkv_bias=True, rope_theta=1e6,
                     norm_epsilon=1e-6, tie_embeddings=True),
    "untied": dict(vocab_size=37, hidden_size=24, intermediate_size=40, layer_count=2,
                   head_count=4, tie_embeddings=False),
    "all": dict(vocab_size=53, hidden_size=18, intermediate_size=30, layer_count=3, head_count=6,
                kv_head_count=3, head_dim=10, qkv_bias=True, qk_norm=True, tie_embeddings=False),
}

# Shared by the golden files and the live comparison.
ADAMW = dict(learning_rate=1e-2, weight_decay=0.1, betas=(0.9, 0.95), epsilon=1e-8)
STEPS = 10


def batch(c, batch_size, sequence_length, seed):
    """Random tokens; every seventh target is not counted."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size, sequence_length)
    tokens = torch.randint(c.vocab_size, shape, generator=generator)
    targets = torch.randint(c.vocab_size, shape, generator=generator)
    targets.view(-1)[::7] = -1
    return tokens, targets
