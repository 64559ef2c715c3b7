"""Text generation: tokens a second of prefill and decoding, and the share of the memory bandwidth
that decoding uses.

    python3 generation.py LIBRARY SETTINGS     one precision in this process; prints a JSON object
"""

import ctypes as C
import json
import sys

import numpy as np

import counts
from ours import Abi, precision_number
from spread import spread
from turns import Missing, output_of
from workloads import SHAPES

from library import COMPRESSION, DeviceOptions, LoadOptions, QuantizeOptions, Struct

# Weights and cache: "int8" is 8-bit matrices with a scale a row, computed with in bf16 where the
# library has it, else in f32.
PRECISIONS = ("f32", "bf16", "int8")
PROMPT, GENERATED, CONTEXT = 256, 64, 512


class GeneratorOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("context_length", C.c_int32),
                ("precision", C.c_int32), ("batch_size", C.c_int32), ("adapter_rank", C.c_int32),
                ("reserved", C.c_uint32)]


class SamplingOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("max_tokens", C.c_int32),
                ("temperature", C.c_double), ("top_p", C.c_double), ("top_k", C.c_int32),
                ("stop_count", C.c_uint32), ("stop_ids", C.c_void_p), ("seed", C.c_uint64),
                ("repetition_penalty", C.c_double), ("min_p", C.c_double)]


class GenerationResult(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("finish_reason", C.c_int32),
                ("prompt_tokens", C.c_uint64), ("generated_tokens", C.c_uint64),
                ("prefill_seconds", C.c_double), ("decode_seconds", C.c_double)]


def computed_in(path, precision):
    if precision != "int8":
        return precision
    try:
        precision_number(path, "bf16")
        return "bf16"
    except RuntimeError:
        return "f32"


class Writer:
    """A generator over the model of a folder."""

    def __init__(self, path, settings):
        self.call = Abi(path)
        device, model, self.generator = C.c_void_p(), C.c_void_p(), C.c_void_p()
        self.call("anet_device_open", b"cpu",
                  C.byref(DeviceOptions(threads=settings["threads"])), C.byref(device))
        quantize = QuantizeOptions(compression=COMPRESSION["int8_channel"], device=device.value)
        load = LoadOptions()
        if settings["precision"] == "int8":
            load.quantize = C.pointer(quantize)
        self.call("anet_model_load", settings["folder"].encode(), C.byref(load), C.byref(model))
        number = precision_number(path, computed_in(path, settings["precision"]))
        options = GeneratorOptions(context_length=CONTEXT, precision=number)
        self.call("anet_generator_create", device, model, None, C.byref(options),
                  C.byref(self.generator))

    def write(self, prompt):
        ids = np.ascontiguousarray(prompt, np.int32)
        result, sampling = GenerationResult(), SamplingOptions(max_tokens=GENERATED)
        self.call("anet_generator_generate", self.generator,
                  ids.ctypes.data_as(C.POINTER(C.c_int32)), C.c_size_t(len(ids)),
                  C.byref(sampling), None, None, None, C.c_size_t(0), C.byref(result))
        if result.generated_tokens != GENERATED:
            raise RuntimeError(f"expected {GENERATED} tokens, seen {result.generated_tokens}")
        # The first token comes from the prompt's pass.
        return {"decode": result.decode_seconds / (GENERATED - 1),
                "prefill": result.prefill_seconds / len(ids)}


def run(path, settings):
    writer = Writer(path, settings)
    prompt = np.random.default_rng(1).integers(0, settings["vocab_size"], PROMPT)
    writer.write(prompt)
    return [writer.write(prompt) for _ in range(settings["repeats"])]


def bytes_of(shape, precision, computed):
    """Of one token in the middle of what is generated."""
    cache = counts.BYTES[computed]
    weights, row = (1, 2) if precision == "int8" else (counts.BYTES[precision], 0)
    return counts.decode_bytes(shape, weights, row, cache, PROMPT + GENERATED // 2)


def measure(library, machine, model, folder, repeats):
    result = {"model": model, "prompt": PROMPT, "generated": GENERATED, "rows": []}
    for precision in PRECISIONS:
        bandwidth = machine.bandwidth()["read"]
        computed = computed_in(library, precision)
        row = {"precision": precision, "computed_in": computed}
        result["rows"].append(row)
        settings = {"folder": str(folder), "precision": precision, "threads": machine.threads,
                    "vocab_size": SHAPES[model].vocab_size, "repeats": repeats}
        try:
            seen = output_of([sys.executable, __file__, library, json.dumps(settings)])
        except Missing as reason:
            row["missing"] = str(reason)
            continue
        moved = bytes_of(SHAPES[model], precision, computed)
        row["decode_seconds"] = spread([entry["decode"] for entry in seen])
        row["prefill_seconds"] = spread([entry["prefill"] for entry in seen])
        row["bytes_per_token"] = moved
        row["bandwidth"] = bandwidth
        row["bandwidth_share"] = moved / row["decode_seconds"]["median"] / bandwidth
    return result


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
