"""What is measured: models by shape, and training steps of them."""

import dataclasses
import functools
import json
import pathlib
import struct
import zlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model; the names are those of anet_model_config."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layer_count: int
    head_count: int
    kv_head_count: int
    head_dim: int
    context_length: int = 1024
    tie_embeddings: bool = True
    qk_norm: bool = False
    rope_theta: float = 1e4
    norm_epsilon: float = 1e-5

    @property
    def query_size(self):
        return self.head_count * self.head_dim

    @property
    def kv_size(self):
        return self.kv_head_count * self.head_dim

    def matrices(self):
        """Name, rows and columns of the weight matrices of one layer."""
        d, f, q, kv = self.hidden_size, self.intermediate_size, self.query_size, self.kv_size
        return (("self_attn.q_proj", q, d), ("self_attn.k_proj", kv, d),
                ("self_attn.v_proj", kv, d), ("self_attn.o_proj", d, q),
                ("mlp.gate_proj", f, d), ("mlp.up_proj", f, d), ("mlp.down_proj", d, f))

    def tensors(self):
        """Names and shapes of all weights, as in Hugging Face files."""
        d = self.hidden_size
        yield "model.embed_tokens.weight", (self.vocab_size, d)
        for i in range(self.layer_count):
            layer = f"model.layers.{i}."
            yield layer + "input_layernorm.weight", (d,)
            yield layer + "post_attention_layernorm.weight", (d,)
            if self.qk_norm:
                yield layer + "self_attn.q_norm.weight", (self.head_dim,)
                yield layer + "self_attn.k_norm.weight", (self.head_dim,)
            for name, rows, columns in self.matrices():
                yield f"{layer}{name}.weight", (rows, columns)
        yield "model.norm.weight", (d,)
        if not self.tie_embeddings:
            yield "lm_head.weight", (self.vocab_size, d)

    def fields(self):
        return dataclasses.asdict(self)


SHAPES = {
    "stories15M": Shape(32000, 288, 768, 6, 6, 6, 48),
    "stories110M": Shape(32000, 768, 2048, 12, 12, 12, 64),
    "qwen3-0.6b": Shape(151936, 1024, 3072, 28, 16, 8, 128, context_length=40960, qk_norm=True,
                        rope_theta=1e6, norm_epsilon=1e-6),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A whole training step: passes, clipping, AdamW."""
    model: str
    rank: int  # of the adapter on all seven projections; 0: all weights are trained
    sequence: int
    precision: str
    batch: int = 1
    custom: Shape = None  # of a model that has no name

    @classmethod
    def of(cls, fields):
        """Of what dataclasses.asdict made."""
        custom = fields["custom"] and Shape(**fields["custom"])
        return cls(**{**fields, "custom": custom})

    @property
    def shape(self):
        return self.custom or SHAPES[self.model]

    @property
    def tokens(self):
        return self.batch * self.sequence

    @property
    def name(self):
        return (f"{self.model}{f' LoRA {self.rank}' if self.rank else ''}, {self.sequence}, "
                f"{self.precision}")


WORKLOADS = tuple(Workload(model, rank, sequence, precision)
                  for model, rank in (("stories15M", 0), ("stories110M", 0), ("qwen3-0.6b", 8))
                  for sequence in (256, 1024) for precision in ("f32", "bf16"))

ADAMW = dict(learning_rate=3e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8)
CLIP_NORM = 1.0
BATCHES = 4  # the steps go round them, so that losses fall and parity has something to compare


def batch(workload, step):
    """Tokens and targets of a step: the same for everyone."""
    generator = np.random.default_rng(1000 + step % BATCHES)
    ids = generator.integers(0, workload.shape.vocab_size,
                             (workload.batch, workload.sequence + 1))
    return ids[:, :-1], ids[:, 1:]


def adapter_values(name, shape):
    """An adapter's matrix by its name. B is not zero: then A has a gradient from the first step."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def make_folder(shape, folder):
    """A Hugging Face folder in bf16 with random weights; a folder that is there is kept."""
    if (folder / "config.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    header, offset = {}, 0
    for name, extents in shape.tensors():
        size = 2 * int(np.prod(extents))
        header[name] = {"dtype": "BF16", "shape": extents, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = folder / "model.safetensors.partial"
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        _write_values(shape, file)
    partial.rename(folder / "model.safetensors")
    config = {"architectures": ["Qwen3ForCausalLM" if shape.qk_norm else "LlamaForCausalLM"],
              "model_type": "qwen3" if shape.qk_norm else "llama",
              "vocab_size": shape.vocab_size, "hidden_size": shape.hidden_size,
              "intermediate_size": shape.intermediate_size,
              "num_hidden_layers": shape.layer_count, "num_attention_heads": shape.head_count,
              "num_key_value_heads": shape.kv_head_count, "head_dim": shape.head_dim,
              "max_position_embeddings": shape.context_length,
              "rms_norm_eps": shape.norm_epsilon, "rope_theta": shape.rope_theta,
              "hidden_act": "silu", "tie_word_embeddings": shape.tie_embeddings,
              "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


def _write_values(shape, file, chunk=1 << 22):
    generator = np.random.default_rng(1)
    for _, extents in shape.tensors():
        left = int(np.prod(extents))
        while left > 0:
            count = min(left, chunk)
            if len(extents) == 1:
                values = np.ones(count, np.float32)
            else:
                values = generator.standard_normal(count, dtype=np.float32) * np.float32(0.02)
            file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
            left -= count


@functools.cache
def model_folder(root, model):
    return make_folder(SHAPES[model], pathlib.Path(root) / f"{model}-random")


def read_bf16(folder):
    """Name and bits of each tensor in a folder that make_folder has made."""
    with open(pathlib.Path(folder) / "model.safetensors", "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    data = np.memmap(pathlib.Path(folder) / "model.safetensors", np.uint8, "r", 8 + size)
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        yield name, data[first:last].view("<u2").reshape(entry["shape"])
