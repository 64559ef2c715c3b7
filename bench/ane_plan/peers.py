"""Steps that others have published, in the model's terms: their evaluations, bytes and CPU work.

Plans are described from the projects' documents and from what their sources say about the sizes of
surfaces. The work of a CPU thread is bytes or elements at a rate. The rates of vector passes are
those of one log (M3 Ultra, dynamic), so that log's total is no evidence; all other steps are.
"""

from dataclasses import dataclass

from engine import Op, Program

# Nanoseconds an element of one thread's passes, from maderix/ANE .../raw/train_dynamic.log: rms 1.8,
# rms_bwd 3.9, silu 6.0 ms over 4.7, 4.7 and 6.3 million elements; cls 14.3 ms less its sgemm over
# 2.36 million; and from train_large.log: elem 13.3 ms over 8.19 million logits.
NORM, NORM_BACKWARD, SILU_BACKWARD = 0.38e-9, 0.83e-9, 0.95e-9
LOSS_DYNAMIC, LOSS_STATIC = 4.97e-9, 1.54e-9
COPY = 121e9  # bytes read and written a second: dw_copy 2.5 ms for 302 MB, same log


@dataclass(frozen=True)
class Shape:
    """A llama-like model: widths in elements, and tokens of a step."""
    layers: int = 12
    width: int = 768
    hidden: int = 2048
    heads: int = 12
    queries: int = 768
    keys: int = 768
    tokens: int = 256
    vocabulary: int = 32000

    @property
    def scores(self):
        return self.heads * self.tokens * self.tokens

    @property
    def attention(self):
        return self.queries * self.width * 2 + self.keys * self.width * 2

    @property
    def mlp(self):
        return 3 * self.width * self.hidden

    @property
    def flops(self):
        """Of the products with weights in one direction."""
        return 2.0 * (self.attention + self.mlp) * self.tokens * self.layers


STORIES = Shape()
QWEN = Shape(layers=28, width=1024, hidden=3072, heads=16, queries=2048, keys=1024,
             vocabulary=151936)


def products(name, weights, taken, given, shape, *, constant, inner=0):
    """Products with `weights` elements over all tokens; operands and results stay on the chip."""
    size = 2 * (taken + given)
    outer = 2 * weights if constant else 0
    inner += size if constant else size + 2 * weights
    return Op(name, 2.0 * weights * shape.tokens, constant, outer, inner)


def attention(shape, matrices, passes):
    """Products of all heads with [tokens, tokens], and passes over these scores."""
    flops = 2.0 * shape.queries * shape.tokens * shape.tokens * matrices
    moved = 2 * (shape.scores + 2 * shape.queries * shape.tokens) * matrices
    return (Op("heads", flops, False, 0, moved), Op("scores", 0, False, 0, 4 * shape.scores * passes))


def packed(name, weights, taken, given, shape, width, extra=()):
    """Weights beside activations in one input: sliced apart, transposed, multiplied.

    `width` are the bytes of an element at the port; fp32 is cast on the way."""
    read = Op("slice", 0, False, width * (weights + taken), 2 * (weights + taken))
    turn = Op("transpose", 0, False, 0, 4 * weights)
    product = products("product", weights, taken, given, shape, constant=False)
    write = Op("concat", 0, False, width * given, 2 * given)
    return Program(name, (read, turn, product, *extra, write))


def baked(name, weights, taken, given, shape, extra=()):
    """Weights as constants of convolutions."""
    read = Op("input", 0, False, 2 * taken)
    product = products("product", weights, taken, given, shape, constant=True)
    write = Op("concat", 0, False, 2 * given, 2 * given)
    return Program(name, (read, product, *extra, write))


def dynamic_programs(s, width, fused):
    """Of a layer: forward and backward. `fused` is the later form: ten programs and one ffn."""
    x, h, q, kv = (n * s.tokens for n in (s.width, s.hidden, s.queries, s.keys))
    qkv, w1 = s.width * (s.queries + 2 * s.keys), s.width * s.hidden
    wo = s.width * s.queries
    soft = attention(s, 2, 3)
    if fused:
        forward = [packed("sdpaFwd", qkv, x, 2 * q + 2 * kv + x, s, width, soft),
                   packed("woFwd", wo, q, x, s, width),
                   packed("ffnFused", s.mlp, 2 * x, x + 3 * h, s, width)]
        last = [packed("qBwd", wo, q, x, s, width),
                packed("kvBwd", 2 * s.width * s.keys, 2 * kv, x, s, width)]
    else:
        forward = [packed("sdpaFwd", qkv + wo, x, 6 * x, s, width, soft),
                   packed("ffnW13", 2 * w1, x, 3 * h, s, width),
                   packed("ffnW2", w1, h, x, s, width)]
        last = [packed("qkvBwd", qkv, q + 2 * kv, x, s, width)]
    backward = [packed("ffnBwdW2t", w1, x, h, s, width),
                packed("ffnBwdW13t", 2 * w1, 2 * h, x, s, width),
                packed("wotBwd", wo, x, q, s, width),
                Program("sdpaBwd1", (Op("in", 0, False, 8 * q), *attention(s, 3, 5),
                                     Op("out", 0, False, 2 * q + 4 * s.scores))),
                Program("sdpaBwd2", (Op("in", 0, False, 4 * q + 4 * s.scores),
                                     *attention(s, 2, 2), Op("out", 0, False, 4 * q))), *last]
    return forward, backward


def static_programs(s):
    x, h = s.width * s.tokens, s.hidden * s.tokens
    forward = [baked("fwdAttn", s.attention, x, 6 * x, s, attention(s, 2, 3)),
               baked("fwdFFN", s.mlp, x, 2 * x + 3 * h, s)]
    backward = [baked("ffnBwd", s.mlp, x + 2 * h, x + 2 * h, s),
                baked("sdpaBwd1", s.width * s.queries, 4 * x, x + 2 * s.scores, s,
                      attention(s, 3, 5)),
                Program("sdpaBwd2", (Op("in", 0, False, 4 * x + 4 * s.scores),
                                     *attention(s, 2, 2), Op("out", 0, False, 4 * x))),
                baked("qkvBwd", s.attention - s.width * s.queries, 3 * x, x, s)]
    return forward, backward


def runtime(name, weights, taken, given, shape, extra=()):
    """Weights as inputs of their own."""
    read = Op("input", 0, False, 2 * taken)
    product = Op("product", 2.0 * weights * shape.tokens, False, 2 * weights, 2 * (taken + given))
    write = Op("output", 0, False, 2 * given, 2 * given)
    return Program(name, (read, product, *extra, write))


def gradient(name, weights, taken, shape):
    """dW on the engine: activations in, gradients out."""
    return Program(name, (Op("product", 2.0 * weights * shape.tokens, False,
                             2 * taken + 2 * weights),))


def fspecii_programs(s, fused):
    """Weights and gradients on the engine. `fused` is its plan H: 87 programs, else plan C: 108."""
    x, h, p = s.width * s.tokens, s.hidden * s.tokens, s.scores
    soft = attention(s, 2, 3)
    if fused:
        forward = [runtime("fwdFwd", s.attention + s.mlp, x, 9 * x + p + 3 * h, s, soft)]
        middle = [runtime("sdpaBwd12", s.width ** 2, p + 4 * x, 4 * x, s, attention(s, 5, 5))]
    else:
        forward = [runtime("fwdAttn", s.attention, x, 6 * x, s, soft),
                   runtime("fwdFFN", s.mlp, x, 2 * x + 3 * h, s)]
        middle = [runtime("sdpaBwd1", s.width ** 2, 4 * x, x + 2 * p, s, attention(s, 3, 5)),
                  Program("sdpaBwd2", (Op("in", 0, False, 4 * p + 4 * x), *attention(s, 2, 2),
                                       Op("out", 0, False, 4 * x)))]
    backward = [runtime("ffnBwd", s.mlp, x + 2 * h, x + 2 * h, s), *middle,
                runtime("qkvBwd", 3 * s.width ** 2, 3 * x, x, s),
                gradient("dwW2", s.mlp // 3, x + h, s),
                gradient("dwW13", 2 * s.mlp // 3, 2 * h + x, s),
                gradient("dwWoQKV", s.attention, 6 * x, s)]
    return forward, backward


def classifier_programs(s, backward):
    """fspecii's: logits, softmax and, in plan H, their way back."""
    v, x = s.vocabulary * s.tokens, s.width * s.tokens
    programs = [runtime("classifierFwd", s.vocabulary * s.width, x, v, s),
                Program("softmax", (Op("softmax", 0, False, 4 * v, 4 * v),))]
    if backward:
        programs.append(runtime("clsBwd", s.vocabulary * s.width, v, x, s))
    return programs
