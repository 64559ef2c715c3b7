"""Text generation: tokens a second of prefill and decoding, and the share of the memory bandwidth
that decoding uses. The bandwidth is measured before each text, because a machine that others share
gives more of it at one time than at another.

    python3 generation.py LIBRARY SETTINGS     one precision in this process; see turns.py
"""

import ctypes as C
import json
import sys
import time

import numpy as np

import counts
from ours import Abi, precision_number
from spread import spread
from turns import PAUSE, Missing, Runner, serve
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


def bytes_of(shape, precision, computed):
    """Of one token in the middle of what is generated."""
    cache = counts.BYTES[computed]
    weights, row = (1, 2) if precision == "int8" else (counts.BYTES[precision], 0)
    return counts.decode_bytes(shape, weights, row, cache, PROMPT + GENERATED // 2)


def take_turns(runner, machine, moved, budget):
    """Bandwidth and a text, again and again: three times at least, and until `budget` seconds are
    over. The records, and of each the bandwidth and its share. Another text goes before each: a
    process that has waited finds its weights in no cache and its cores asleep."""
    records, bandwidths, shares = [], [], []
    start = time.perf_counter()
    while len(records) < 3 or time.perf_counter() - start < budget:
        bandwidths.append(machine.bandwidth_now()["read"])
        time.sleep(PAUSE)
        records.append(runner.run(2)[-1])
        shares.append(moved / records[-1]["decode"] / bandwidths[-1])
    return records, bandwidths, shares


def measure(library, machine, model, folder, budget):
    result = {"model": model, "prompt": PROMPT, "generated": GENERATED, "rows": []}
    for precision in PRECISIONS:
        computed = computed_in(library, precision)
        row = {"precision": precision, "computed_in": computed}
        result["rows"].append(row)
        settings = {"folder": str(folder), "precision": precision, "threads": machine.threads,
                    "vocab_size": SHAPES[model].vocab_size}
        moved = bytes_of(SHAPES[model], precision, computed)
        try:
            runner = Runner(precision, [sys.executable, __file__, library], settings)
            records, bandwidths, shares = take_turns(runner, machine, moved, budget)
        except Missing as reason:
            row["missing"] = str(reason)
            continue
        runner.stop()
        row["decode_seconds"] = spread([entry["decode"] for entry in records])
        row["prefill_seconds"] = spread([entry["prefill"] for entry in records])
        row["bytes_per_token"] = moved
        row["bandwidth"] = spread(bandwidths)
        row["bandwidth_share"] = spread(shares)
    return result


def main(path, settings):
    writer = Writer(path, settings)
    prompt = np.random.default_rng(1).integers(0, settings["vocab_size"], PROMPT)
    serve({}, lambda _: writer.write(prompt))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
