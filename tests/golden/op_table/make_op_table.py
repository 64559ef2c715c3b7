#!/usr/bin/env python3
"""Writes op_table.json: what coremltools says about the ops of our op table.

For each op: argument names, optional and constant flags, element types, the default values that do
not depend on operands, and cases: operands with the output types that coremltools infers, or
"error". Run it with a Python that has coremltools (9.0):

    python tests/golden/op_table/make_op_table.py src/mil > tests/golden/op_table/op_table.json

The names of the ops come from the string literals of src/mil/op_table.cpp, so a new op is covered
by running this again.
"""

import json
import logging
import random
import re
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import coremltools  # noqa: E402
import numpy as np  # noqa: E402
from coremltools.converters.mil._deployment_compatibility import AvailableTarget  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import Function, types  # noqa: E402
from coremltools.converters.mil.mil.input_type import TupleInputType  # noqa: E402
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry  # noqa: E402

OPSET = AvailableTarget.iOS18
CASES = 40


def op_names(folder):
    """Every string in op_table.cpp that coremltools knows as an op."""
    with open(folder + "/op_table.cpp", encoding="utf-8") as source:
        words = set(re.findall(r'"([a-z0-9_]+)"', source.read()))
    # Names of arguments in our table that are also ops of coremltools, but not ours.
    arguments_only = {"cond", "shape"}
    return sorted(w for w in words - arguments_only if w in SSAOpRegistry.core_ops)


def op_class(name):
    versions = SSAOpRegistry.core_ops[name]
    return versions[max(v for v in versions if v <= OPSET)]


# --- Operands ------------------------------------------------------------------------------------
# A spec is {"dtype", "shape"} for a value that is known at run time, and has "value" (a flat list)
# for a constant.


def tensor(dtype, shape):
    return {"dtype": dtype, "shape": list(shape)}


def const(dtype, value):
    array = np.array(value)
    return {"dtype": dtype, "shape": list(array.shape), "value": array.flatten().tolist()}


def weights(dtype, shape):
    return const(dtype, np.zeros(shape, dtype=int) + 1)


def ints(*value):
    return const("int32", list(value))


class Random:
    """Random operands, mostly sensible, sometimes not."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def chance(self, p=0.25):
        return self.r.random() < p

    def pick(self, *items):
        return self.r.choice(items)

    def shape(self, low=0, high=5):
        return [self.pick(1, 2, 3, 4, 6) for _ in range(self.r.randint(low, high))]

    def dtype(self):
        common = self.pick("fp16", "fp32", "fp16", "fp32", "int32")
        return self.pick("bool", "int8", "uint16", "uint8") if self.chance(0.12) else common

    def floating(self):
        return self.pick("fp16", "fp32")

    def axis(self, rank):
        return self.r.randint(-rank - 1, rank) if self.chance() else self.r.randint(
            -rank, max(rank - 1, -rank))

    def axes(self, rank):
        count = self.r.randint(1, max(rank, 1))
        axes = self.r.sample(range(rank), min(count, rank)) if rank else [0]
        axes = [a - rank if self.chance() else a for a in axes]
        if self.chance(0.15):
            axes[0] = self.axis(rank)
        return ints(*axes)

    def broadcastable(self, shape):
        other = [1 if self.chance() else e for e in shape]
        other = other[self.r.randint(0, len(other)):] if self.chance(0.4) else other
        if other and self.chance(0.2):
            other[self.r.randrange(len(other))] += 1
        return other


def unary(r, name):
    operands = {"x": tensor(r.dtype(), r.shape())}
    if name in ("elu", "leaky_relu", "sigmoid_hard", "clip", "threshold"):
        alpha = operands["x"]["dtype"] if r.chance(0.8) else r.floating()
        alpha = alpha if alpha in ("fp16", "fp32", "int32") else "fp32"
        operands["alpha"] = const(alpha, r.pick(0, 1))
        if name in ("sigmoid_hard", "clip"):
            operands["beta"] = const(alpha, r.pick(2, 6, 0))
    if name in ("log", "rsqrt", "inverse") and r.chance(0.5):
        operands["epsilon"] = const(r.floating(), 1)
    if name == "gelu" and r.chance(0.7):
        operands["mode"] = const(
            "string", r.pick("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION", "tanh"))
    if name == "cast":
        operands["dtype"] = const("string", r.pick(
            "fp16", "fp32", "int8", "uint8", "int16", "uint16", "int32", "bool", "int64", "float"))
    return operands


def binary(r, name):
    x = r.shape()
    dtype = "bool" if name.startswith("logical") and r.chance(0.8) else r.dtype()
    return {"x": tensor(dtype, x),
            "y": tensor(dtype if r.chance(0.85) else r.dtype(), r.broadcastable(x))}


def select(r, _):
    a = r.shape()
    dtype = r.dtype()
    return {"cond": tensor("bool" if r.chance(0.9) else "fp32", r.broadcastable(a)),
            "a": tensor(dtype, a),
            "b": tensor(dtype if r.chance(0.9) else r.dtype(), r.broadcastable(a))}


def matmul(r, _):
    batch = r.shape(0, 3)
    m, k, n = (r.pick(1, 2, 3, 5) for _ in range(3))
    tx, ty = r.chance(0.5), r.chance(0.5)
    k2 = k + 1 if r.chance(0.15) else k
    x = batch + ([k, m] if tx else [m, k])
    y = r.broadcastable(batch) + ([n, k2] if ty else [k2, n])
    if r.chance(0.1):
        x = [k]
    dtype = r.dtype()
    other = dtype if r.chance(0.85) else r.dtype()
    return {"x": tensor(dtype, x),
            "y": weights(other, y) if r.chance(0.3) else tensor(other, y),
            "transpose_x": const("bool", tx), "transpose_y": const("bool", ty)}


def linear(r, _):
    out, inner = r.pick(1, 2, 5), r.pick(1, 3, 4)
    dtype = r.dtype()
    weight = dtype if dtype in ("fp16", "fp32", "int32") and r.chance(0.8) else "fp32"
    operands = {"x": tensor(dtype, r.shape(0, 3) + [inner]),
                "weight": weights(weight, [out, inner + (1 if r.chance(0.15) else 0)])}
    if r.chance(0.6):
        operands["bias"] = weights(weight, [out + (1 if r.chance(0.15) else 0)])
    return operands


def conv(r, name):
    spatial = r.pick(1, 2, 2, 2, 3)
    groups = r.pick(1, 1, 2, 3)
    inner, outer = r.pick(1, 2) * groups, r.pick(1, 2) * groups
    kernel = [r.pick(1, 2, 3) for _ in range(spatial)]
    channels = inner + 1 if r.chance(0.1) else inner
    x = [r.pick(1, 2), channels] + [r.pick(3, 5, 8, 2) for _ in range(spatial)]
    dtype = r.floating() if r.chance(0.9) else r.dtype()
    shape = [outer, inner // groups] if name == "conv" else [inner, outer // groups]
    other = dtype if r.chance(0.85) else r.floating()
    weight = weights(other, shape + kernel) if r.chance(0.7) else tensor(other, shape + kernel)
    operands = {"x": tensor(dtype, x), "weight": weight, "groups": const("int32", groups)}
    if r.chance(0.6):
        operands["strides"] = ints(*[r.pick(1, 1, 2, 3) for _ in range(spatial)])
    if r.chance(0.4 if "value" in weight else 0.7):
        operands["dilations"] = ints(*[r.pick(1, 1, 2) for _ in range(spatial)])
    if r.chance(0.7):
        operands["pad_type"] = const("string", r.pick("valid", "same", "custom", "same_lower",
                                                      "full"))
        operands["pad"] = ints(*[r.pick(0, 1, 2) for _ in range(2 * spatial)])
    if r.chance(0.3):
        operands["bias"] = weights(other, [outer + (1 if r.chance(0.2) else 0)])
    return operands


def attention(r, _):
    batch = r.shape(0 if r.chance(0.1) else 1, 2)
    s, t, e, f = (r.pick(1, 2, 3, 4) for _ in range(4))
    dtype = r.dtype() if r.chance(0.2) else r.floating()
    extra = 1 if r.chance(0.08) else 0
    operands = {"query": tensor(dtype, batch + [s, e]),
                "key": tensor(dtype, batch + [t, e + extra]),
                "value": tensor(dtype, batch + [t + (1 if r.chance(0.08) else 0), f])}
    if r.chance(0.5):
        leading = [2] + batch if r.chance(0.15) else r.broadcastable(batch)
        operands["attn_mask"] = tensor(r.pick("bool", "fp16", "fp32", "bool", "int32"),
                                       leading + [r.pick(1, s), t])
    return operands


def softmax(r, _):
    x = r.shape()
    return {"x": tensor(r.floating(), x), "axis": const("int32", r.axis(len(x)))}


def layer_norm(r, _):
    x = r.shape(1, 4)
    operands = {"x": tensor(r.floating(), x)}
    axes = r.axes(len(x))
    if r.chance(0.8):
        operands["axes"] = axes
        chosen = {a % len(x) for a in axes["value"]}
    else:
        chosen = set(range(len(x)))
    normalized = [e for i, e in enumerate(x) if i in chosen]
    if normalized and r.chance(0.15):
        normalized[0] += 1
    dtype = r.floating()
    if r.chance(0.6):
        operands["gamma"] = weights(dtype, normalized)
        if r.chance(0.6):
            operands["beta"] = weights(dtype, normalized)
    if r.chance(0.4):
        operands["epsilon"] = const(dtype, 1)
    return operands


def l2_norm(r, _):
    return {"x": tensor(r.dtype(), r.shape(1, 5)), "epsilon": const(r.floating(), 1)}


def reduce(r, name):
    x = r.shape()
    operands = {"x": tensor(r.dtype(), x)}
    if name.startswith("reduce_arg"):
        if r.chance(0.8):
            operands["axis"] = const("int32", r.axis(len(x)))
        if r.chance(0.5):
            operands["output_dtype"] = const("string", r.pick("int32", "uint16", "fp32"))
    elif r.chance(0.8):
        operands["axes"] = r.axes(len(x))
    if r.chance(0.7):
        operands["keep_dims"] = const("bool", r.chance(0.5))
    return operands


def cumsum(r, _):
    x = r.shape()
    return {"x": tensor(r.dtype(), x), "axis": const("int32", r.axis(len(x))),
            "exclusive": const("bool", r.chance()), "reverse": const("bool", r.chance())}


def reshape(r, _):
    x = r.shape()
    target = list(x)
    r.r.shuffle(target)
    if len(target) >= 2 and r.chance(0.5):
        target = [target[0] * target[1]] + target[2:]
    for i in range(len(target)):
        if r.chance(0.15):
            target[i] = r.pick(-1, 0, 2)
    return {"x": tensor(r.dtype(), x), "shape": ints(*(target or [1]))}


def transpose(r, _):
    x = r.shape(1, 5)
    perm = list(range(len(x)))
    r.r.shuffle(perm)
    if r.chance(0.2):
        perm[0] -= len(x)
    if r.chance(0.15):
        perm[-1] = perm[0]
    if r.chance(0.1):
        perm = perm[:-1] or [0, 1]
    return {"x": tensor(r.dtype(), x), "perm": ints(*perm)}


def expand_or_squeeze(r, name):
    x = r.shape(0, 4)
    if name == "squeeze":
        x = [1 if r.chance(0.6) else e for e in x]
        if r.chance(0.2):
            return {"x": tensor(r.dtype(), x)}
        ones = [i for i, e in enumerate(x) if e == 1 or r.chance(0.1)]
        return {"x": tensor(r.dtype(), x), "axes": ints(*(ones or [0]))}
    count = r.pick(1, 1, 2)
    return {"x": tensor(r.dtype(), x),
            "axes": ints(*[r.axis(len(x) + count) for _ in range(count)])}


def reverse(r, _):
    x = r.shape(1, 4)
    return {"x": tensor(r.dtype(), x), "axes": r.axes(len(x))}


def concat(r, name):
    shape = r.shape(0, 4)
    axis = r.axis(len(shape) + (1 if name == "stack" else 0))
    dtype = r.dtype()
    values = []
    for _ in range(r.pick(1, 2, 3)):
        other = list(shape)
        if name == "concat" and other and -len(other) <= axis < len(other) and r.chance(0.5):
            other[axis] += r.pick(0, 1, 2)
        if other and r.chance(0.1):
            other[0] += 1
        values.append(tensor(dtype if r.chance(0.9) else r.dtype(), other))
    operands = {"values": values, "axis": const("int32", axis)}
    if name == "concat":
        operands["interleave"] = const("bool", r.chance())
    return operands


def split(r, _):
    x = [e * 2 for e in r.shape(1, 4)]
    axis = r.axis(len(x))
    extent = x[axis] if -len(x) <= axis < len(x) else 2
    operands = {"x": tensor(r.pick("fp16", "fp32", "int32", "bool", "int8"), x),
                "axis": const("int32", axis)}
    if r.chance(0.5):
        operands["num_splits"] = const("int32", r.pick(1, 2, extent, 3))
    else:
        first = r.r.randint(1, max(extent - 1, 1))
        operands["split_sizes"] = ints(first, extent - first + (1 if r.chance(0.15) else 0))
    return operands


def tile(r, _):
    x = r.shape(1, 4)
    reps = [r.pick(1, 2, 3) for _ in x]
    if r.chance(0.15):
        reps[0] = r.pick(0, -1)
    if r.chance(0.1):
        reps = reps + [1]
    return {"x": tensor(r.dtype(), x), "reps": ints(*reps)}


def pad(r, _):
    x = [e + 2 for e in r.shape(1, 4)]
    amounts = [r.pick(0, 1, 2) for _ in range(2 * r.r.randint(1, len(x)))]
    if r.chance(0.1):
        amounts[0] = -1
    if r.chance(0.1):
        amounts = amounts + [1]
    dtype = r.dtype() if r.chance(0.2) else r.floating()
    operands = {"x": tensor(dtype, x), "pad": ints(*amounts),
                "mode": const("string", r.pick("constant", "reflect", "replicate", "wrap"))}
    if r.chance(0.4):
        operands["constant_val"] = const(r.floating(), 0)
    return operands


def slice_by_size(r, _):
    x = [e + 2 for e in r.shape(1, 4)]
    begin = [r.r.randint(0, e - 1) for e in x]
    size = [r.r.randint(1, e - b) for e, b in zip(x, begin)]
    size = [-1 if r.chance(0.15) else s for s in size]
    if r.chance(0.15):
        size[0] = x[0] + 1
    return {"x": tensor(r.dtype(), x), "begin": ints(*begin), "size": ints(*size)}


def sliced(extent, begin, end, stride):
    return len(range(extent)[slice(begin, end, stride)])


def slice_by_index(r, name):
    x = [e + 3 for e in r.shape(1, 4)]
    begin, end, stride, begin_mask, end_mask, squeeze = [], [], [], [], [], []
    shape = []
    for e in x:
        s = r.pick(1, 1, 2, 3, -1, -2)
        b, f = r.r.randint(-e, e - 1), r.r.randint(-e, e)
        if r.chance(0.7) and s > 0:
            b, f = sorted((b % e, f % (e + 1)))
        bm, em, q = r.chance(), r.chance(), r.chance(0.15)
        for target, v in zip((begin, end, stride, begin_mask, end_mask, squeeze),
                             (b, f, s, bm, em, q)):
            target.append(v)
        if not q:
            shape.append(sliced(e, None if bm else b, None if em else f, s))
    operands = {"x": tensor(r.dtype(), x), "begin": ints(*begin), "end": ints(*end),
                "begin_mask": const("bool", begin_mask), "end_mask": const("bool", end_mask),
                "squeeze_mask": const("bool", squeeze)}
    operands["stride"] = ints(*stride)
    if name == "slice_update":
        if shape and r.chance(0.15):
            shape[0] += 1
        operands["update"] = tensor(operands["x"]["dtype"], [max(e, 1) for e in shape])
    return operands


def gather(r, name):
    x = r.shape(1, 4)
    axis = r.axis(len(x))
    operands = {"axis": const("int32", axis)}
    along = name.endswith("along_axis")
    index = list(x) if along else r.shape(0, 2)
    if along:
        if -len(x) <= axis < len(x):
            index[axis] = r.pick(1, 2, 5)
        if r.chance(0.15):
            index[0] += 1
    dtype = r.dtype()
    index_type = "int32" if r.chance(0.7) else r.dtype()
    if name.startswith("gather"):
        operands["x"] = tensor(dtype, x)
        operands["indices"] = tensor(index_type, index)
        if name == "gather" and r.chance(0.3):
            batch = r.pick(1, 2)
            operands["batch_dims"] = const("int32", batch)
            operands["indices"] = tensor(index_type, x[:batch] + index)
        return operands
    operands["data"] = tensor(dtype, x)
    operands["indices"] = tensor(index_type, index)
    at = axis % len(x)
    updates = index if along else x[:at] + index + x[at + 1:]
    if updates and r.chance(0.1):
        updates = list(updates)
        updates[-1] += 1
    operands["updates"] = tensor(dtype, updates)
    operands["mode"] = const("string", r.pick("add", "update", "mul", "max", "min", "sub", "div"))
    return operands


def one_hot(r, _):
    indices = r.shape(0, 3)
    operands = {"indices": tensor("int32" if r.chance(0.9) else "fp32", indices),
                "one_hot_vector_size": const("int32", r.pick(1, 4, 7)),
                "axis": const("int32", r.axis(len(indices) + 1))}
    if r.chance(0.5):
        dtype = r.pick("fp16", "fp32", "int32", "bool")
        operands["on_value"] = const(dtype, True if dtype == "bool" else 1)
        operands["off_value"] = const(dtype if r.chance(0.8) else "fp32",
                                      False if dtype == "bool" else 0)
    return operands


def quantize(r, name):
    x = r.shape(1, 4)
    axis = r.axis(len(x))
    per_axis = r.chance(0.5)
    extent = x[axis] if -len(x) <= axis < len(x) else 2
    if r.chance(0.1):
        extent += 1
    small = r.pick("int8", "uint8")
    shape = [extent] if per_axis else []
    source = r.floating() if name == "quantize" else small
    scale = source if name == "quantize" else r.floating()
    operands = {"input": tensor(source, x), "scale": weights(scale, shape)}
    if r.chance(0.5):
        operands["zero_point"] = weights(small, shape if r.chance(0.9) else [])
    if per_axis != r.chance(0.1):
        operands["axis"] = const("int32", axis)
    if name == "quantize":
        operands["output_dtype"] = const("string", small if r.chance(0.8) else
                                         r.pick("int8", "uint8", "int32"))
    return operands


def affine(r, _):
    data = r.shape(1, 4)
    axis = r.axis(len(data))
    extent = data[axis] if -len(data) <= axis < len(data) else 2
    small = r.pick("int8", "uint8")
    shapes = [[], [extent], [extent + 1]]
    return {"quantized_data": weights(small, data),
            "zero_point": weights(small, r.pick(*shapes[:2])),
            "scale": weights(r.floating(), r.pick(shapes[0], shapes[1], shapes[1], shapes[2])),
            "axis": const("int32", axis)}


def blockwise(r, _):
    scale = r.shape(1, 4)
    data = [e * r.pick(1, 2, 4) + (1 if r.chance(0.05) else 0) for e in scale]
    small = r.pick("int4", "uint4", "int8", "uint8")
    operands = {"data": weights(small, data), "scale": weights(r.floating(), scale)}
    if r.chance(0.5):
        operands["offset"] = weights(small if r.chance(0.8) else "fp32",
                                     scale if r.chance(0.85) else [1] * len(scale))
    return operands


def lut(r, _):
    bits = r.pick(1, 2, 3, 4, 6, 8)
    shape = r.shape(1, 3)
    indices = [e * r.pick(1, 2) + (1 if r.chance(0.05) else 0) for e in shape]
    vector = r.pick(1, 1, 2)
    entries = 2 ** (bits + (1 if r.chance(0.1) else 0))
    operands = {"indices": weights(f"uint{bits}", indices),
                "lut": weights(r.pick("fp16", "fp32", "int8", "uint8"), shape + [entries, vector])}
    if r.chance(0.6):
        operands["vector_axis"] = const("int32", r.axis(len(shape)))
    return operands


def sparse(r, _):
    mask = np.array([r.pick(0, 1) for _ in range(6)]).reshape(r.pick([6], [2, 3], [1, 3, 2]))
    ones = max(int(mask.sum()) + (1 if r.chance(0.15) else 0), 1)
    return {"nonzero_data": weights(r.pick("fp16", "fp32", "int8", "uint8", "int4"), [ones]),
            "mask": const("uint1", mask)}


def constexpr_cast(r, _):
    return {"source_val": weights(r.pick("fp16", "fp16", "fp32"), r.shape(1, 4)),
            "output_dtype": const("string", r.pick("fp32", "fp32", "fp16"))}


GENERATORS = {
    "select": select, "matmul": matmul, "linear": linear, "conv": conv, "conv_transpose": conv,
    "scaled_dot_product_attention": attention, "softmax": softmax, "layer_norm": layer_norm,
    "l2_norm": l2_norm, "cumsum": cumsum, "reshape": reshape, "transpose": transpose,
    "expand_dims": expand_or_squeeze, "squeeze": expand_or_squeeze, "reverse": reverse,
    "concat": concat, "stack": concat, "split": split, "tile": tile, "pad": pad,
    "slice_by_size": slice_by_size, "slice_by_index": slice_by_index,
    "slice_update": slice_by_index, "gather": gather, "gather_along_axis": gather,
    "scatter": gather, "scatter_along_axis": gather, "one_hot": one_hot, "quantize": quantize,
    "dequantize": quantize, "constexpr_affine_dequantize": affine,
    "constexpr_blockwise_shift_scale": blockwise, "constexpr_lut_to_dense": lut,
    "constexpr_sparse_to_dense": sparse, "constexpr_cast": constexpr_cast,
}


def generator(name, spec):
    if name in GENERATORS:
        return GENERATORS[name]
    if name.startswith("reduce"):
        return reduce
    return binary if "y" in spec else unary


# --- Inference -----------------------------------------------------------------------------------


def make_constant(spec):
    if spec["dtype"] == "string":
        return mb.const(val=spec["value"][0])
    nptype = types.nptype_from_builtin(types.string_to_builtin(spec["dtype"]))
    array = np.array(spec["value"]).reshape(spec["shape"]).astype(nptype)
    return mb.const(val=array if spec["shape"] else nptype(array))


def infer(name, operands):
    """Output types of one op, as [dtype, shape], or "error"."""
    placeholders = {}
    plan = {}

    def place(key, spec):
        if "value" in spec:
            return lambda: make_constant(spec)
        placeholders[key] = mb.placeholder(
            shape=tuple(spec["shape"]), dtype=types.string_to_builtin(spec["dtype"]),
            allow_rank0_input=True)
        return lambda: function.inputs[key]

    for key, spec in operands.items():
        plan[key] = ([place(f"{key}_{i}", s) for i, s in enumerate(spec)]
                     if isinstance(spec, list) else place(key, spec))
    placeholders = placeholders or {"unused": mb.placeholder(shape=(1,))}
    function = Function(placeholders, opset_version=OPSET)
    try:
        with function:
            built = {k: [v() for v in p] if isinstance(p, list) else p()
                     for k, p in plan.items()}
            result = getattr(mb, name)(**built)
            outputs = result if isinstance(result, (list, tuple)) else [result]
            described = [[types.builtin_to_string(v.dtype), [int(e) for e in v.shape]]
                         for v in outputs]
    except Exception:  # coremltools raises every kind of exception for invalid operands
        return "error"
    return described


# --- Schema --------------------------------------------------------------------------------------


def argument_types(cls, input_type):
    domain = getattr(input_type, "type_domain_id", None)
    members = cls.type_domains[domain] if domain else getattr(input_type, "type_domain", ())
    return [types.builtin_to_string(t) for t in members]


class FakeOperand:
    """Stands for any operand while a class computes its defaults."""

    rank = 4
    shape = (2, 2, 2, 2)
    dtype = types.fp32
    val = True


def defaults(cls):
    instance = cls.__new__(cls)
    for name in cls.input_spec.input_types:
        setattr(instance, "_" + name, None)
        try:
            setattr(instance, name, FakeOperand())
        except AttributeError:
            pass
    try:
        items = dict(cls.default_inputs(instance).items())
    except Exception as error:
        raise SystemExit(f"cannot read the defaults of {cls.__name__}: {error}") from error
    return items


def plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, range) else value


def describe(name):
    cls = op_class(name)
    known = defaults(cls)
    arguments = []
    for argument, input_type in cls.input_spec.input_types.items():
        entry = {"name": argument, "optional": bool(input_type.optional),
                 "constant": bool(input_type.const),
                 "variadic": isinstance(input_type, TupleInputType),
                 "introduced": argument_introduced(name, argument),
                 "types": argument_types(cls, input_type)}
        if known.get(argument) is not None:
            entry["default"] = plain(known[argument])
        arguments.append(entry)
    return {"name": name, "introduced": introduced(name, required(cls)), "arguments": arguments}


def required(cls):
    return {k for k, t in cls.input_spec.input_types.items() if not t.optional}


def introduced(name, wanted):
    """The first opset in which the op takes the arguments that it requires today."""
    for version, cls in sorted(SSAOpRegistry.core_ops[name].items()):
        if required(cls) == wanted:
            return max(15, int(version.name[3:]))
    raise SystemExit(f"no opset for {name}")


def argument_introduced(name, argument):
    for version, cls in sorted(SSAOpRegistry.core_ops[name].items()):
        if argument in cls.input_spec.input_types:
            return max(15, int(version.name[3:]))
    raise SystemExit(f"no opset for {name}.{argument}")


def main():
    ops = []
    for name in op_names(sys.argv[1]):
        entry = describe(name)
        spec = [a["name"] for a in entry["arguments"]]
        entry["cases"] = []
        if name not in ("const", "identity"):
            r = Random(name)
            for _ in range(CASES):
                operands = generator(name, spec)(r, name)
                entry["cases"].append({"operands": operands, "outputs": infer(name, operands)})
        ops.append(entry)
    lines = ",\n".join(json.dumps(op, separators=(",", ":")) for op in ops)
    print('{"coremltools":"%s","ops":[\n%s\n]}' % (coremltools.__version__, lines))


if __name__ == "__main__":
    main()
