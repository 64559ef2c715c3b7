#!/usr/bin/env python3
"""Writes the declarations of the public headers in Rust to standard output.
usage: generate_bindings.py header... > ane-train-sys/src/bindings.rs"""

import os
import re
import sys

import c_header

BASE_TYPES = {"void": "c_void", "char": "c_char", "float": "f32", "double": "f64",
              "size_t": "usize", "int32_t": "i32", "int64_t": "i64", "uint8_t": "u8",
              "uint32_t": "u32", "uint64_t": "u64"}
KEYWORDS = {"type", "where", "in", "ref", "match", "use", "loop", "move"}

HEAD = """\
// Written by rust/generate_bindings.py from {headers}.
// `make rust-bindings` renews it.

use std::marker::{{PhantomData, PhantomPinned}};
use std::os::raw::{{c_char, c_void}};
"""


def rust_type(text):
    """`const char * const *` is a mutable or constant pointer for each asterisk, from the left."""
    result, constant = None, False
    for token in text.split():
        if token == "const":
            constant = True
        elif token == "*":
            result = f"*{'const' if constant else 'mut'} {result}"
            constant = False
        elif result is None:
            result = BASE_TYPES.get(token, token)
        else:
            raise ValueError(f"expected one base type, seen '{text}'")
    return result


def rust_name(name):
    return f"r#{name}" if name in KEYWORDS else name


def rust_parameters(parameters):
    return ", ".join(f"{rust_name(item.name)}: {rust_type(item.type)}" for item in parameters)


def rust_result(result):
    return "" if result == "void" else f" -> {rust_type(result)}"


def constant(item):
    if item.value == "UINT64_MAX":
        return f"pub const {item.name}: u64 = u64::MAX;\n"
    return f"pub const {item.name}: i32 = {int(item.value, 0)};\n"


def alias(item):
    return f"pub type {item.name} = {BASE_TYPES[item.type]};\n"


def opaque(item):
    return (f"#[repr(C)]\npub struct {item.name} {{\n    _data: [u8; 0],\n"
            "    _marker: PhantomData<(*mut u8, PhantomPinned)>,\n}\n")


def struct(item):
    lines = []
    for field in item.fields:
        kind = rust_type(field.type)
        if field.length:
            kind = f"[{kind}; {field.length} as usize]"
        lines.append(f"    pub {rust_name(field.name)}: {kind},\n")
    text = (f"#[repr(C)]\n#[derive(Clone, Copy, Debug)]\npub struct {item.name} {{\n"
            + "".join(lines) + "}\n")
    if item.fields[0].name == "struct_size":
        text += f"sized!({item.name});\n"
    return text


def callback(item):
    return (f"pub type {item.name} =\n    Option<unsafe extern \"C\" fn("
            f"{rust_parameters(item.parameters)}){rust_result(item.result)}>;\n")


def function(item):
    return f"    pub fn {item.name}({rust_parameters(item.parameters)}){rust_result(item.result)};\n"


def main(paths):
    declarations = [item for path in paths for item in c_header.parse(path)]
    names = " and ".join(os.path.join("include", os.path.basename(path)) for path in paths)
    parts = [HEAD.format(headers=names)]
    writers = {c_header.Constant: constant, c_header.Alias: alias, c_header.Opaque: opaque,
               c_header.Struct: struct, c_header.Callback: callback}
    for item in declarations:
        if type(item) in writers:
            parts.append(writers[type(item)](item))
    # Runs of constants and aliases stay together.
    text = re.sub(r"(?m)^(pub const .*;\n)\n(?=pub const)", r"\1", "\n".join(parts))
    functions = "".join(function(item) for item in declarations
                        if isinstance(item, c_header.Function))
    print(text + f"\nextern \"C\" {{\n{functions}}}")


if __name__ == "__main__":
    main(sys.argv[1:])
