#!/usr/bin/env python3
"""Makes the golden safetensors files, or checks a file that the library wrote.

    make.py                     writes *.safetensors beside this script
    make.py check FILE          reads FILE with the `safetensors` package and prints its tensors

Needs: pip install safetensors numpy ml_dtypes. The good files are written by the package, which is
the independent reference. The hostile ones are made by hand; the script asserts that the package
refuses each of them too, except those listed in STRICTER, which only this library refuses.
"""
import json
import pathlib
import struct
import sys

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save_file

HERE = pathlib.Path(__file__).parent
STRICTER = {"bad_duplicate_key", "bad_leading_space"}


def pack(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def good():
    values = np.array([[1.5, -2.0, 0.0], [65504.0, 2.0**-24, -0.25]])
    save_file(
        {
            "weight": values.astype(np.float32),
            "half": values.astype(np.float16),
            "brain": values.astype(ml_dtypes.bfloat16),
            "ids": np.array([-1, 0, 2**31 - 1], np.int32),
            "bytes": np.array([0, 255], np.uint8),
            "scalar": np.array(3.25, np.float32),
            "empty": np.zeros((0, 4), np.float32),
            "double": np.array([0.1]),
        },
        HERE / "good.safetensors",
        metadata={"format": "pt", "note": "caf\u00e9 \"quoted\""},
    )
    # All of one type and one metadata key: the bytes are then fixed by the format's conventions.
    save_file({"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(1.5, np.float32)},
              HERE / "canonical.safetensors", metadata={"format": "pt"})


def hostile():
    eight = bytes(8)
    return {
        "bad_empty_file": b"",
        "bad_seven_bytes": bytes(7),
        "bad_header_too_long": pack(b"{}", size=100_000_001),
        "bad_header_past_end": pack(b"{}", size=3),
        "bad_header_size_overflow": pack(b"{}", size=2**64 - 1),
        "bad_not_object": pack(b"[]"),
        "bad_leading_space": pack(b" {}"),
        "bad_not_json": pack(b"{nonsense"),
        "bad_not_utf8": pack(b'{"\xff":1}'),
        "bad_duplicate_key": pack(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
        "bad_metadata_number": pack({"__metadata__": {"n": 1}}),
        "bad_negative_shape": pack({"a": entry(shape=(-2,))}, eight),
        "bad_float_shape": pack({"a": entry(shape=(2.0,))}, eight),
        "bad_negative_offset": pack({"a": entry(begin=-8, end=0)}, eight),
        "bad_end_before_begin": pack({"a": entry(begin=8, end=0)}, eight),
        "bad_gap_at_start": pack({"a": entry(begin=8, end=16)}, eight * 2),
        "bad_gap": pack({"a": entry(), "b": entry(begin=16, end=24)}, eight * 3),
        "bad_overlap": pack({"a": entry(), "b": entry(begin=4, end=12)}, bytes(12)),
        "bad_shape_overflow": pack({"a": entry(shape=(2**62, 2**62))}, eight),
        "bad_bits_overflow": pack({"a": entry(shape=(2**60,))}, eight),
        "bad_size_mismatch": pack({"a": entry(shape=(3,))}, eight),
        "bad_part_of_a_byte": pack({"a": entry("F4", (3,), 0, 1)}, bytes(1)),
        "bad_truncated": pack({"a": entry()}, bytes(7)),
        "bad_trailing_bytes": pack({"a": entry()}, bytes(9)),
        "bad_missing_dtype": pack({"a": {"shape": [2], "data_offsets": [0, 8]}}, eight),
        "bad_three_offsets": pack({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]}},
                                  eight),
    }


def write():
    good()
    seen = set()
    for name, content in hostile().items():
        (HERE / f"{name}.safetensors").write_bytes(content)
        try:
            load(content)
        except (SafetensorError, OverflowError):
            continue
        seen.add(name)
    assert seen == STRICTER, sorted(seen)


def check(path):
    with safe_open(path, "np") as file:
        print("metadata", sorted((file.metadata() or {}).items()))
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            print(name, tensor.dtype, list(tensor.shape), tensor.astype(np.float64).ravel().tolist())


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        write()
