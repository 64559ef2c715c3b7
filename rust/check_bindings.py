#!/usr/bin/env python3
"""Compares the Rust declarations with the C headers, as the two compilers see them.

From bindings.rs alone it writes two programs. The C one includes the headers and holds an assertion
for each constant, alias, callback, field and function that bindings.rs declares; it prints the size
and alignment of every struct and the offset and size of every field. The Rust one prints the same
numbers as rustc has them. The lists must be equal, and bindings.rs must declare every function of the
export list.
usage: CC=... RUSTC=... check_bindings.py bindings.rs include-directory exports work-directory"""

import os
import re
import subprocess
import sys

from generate_bindings import rust_name

C_TYPES = {"c_void": "void", "c_char": "char", "f32": "float", "f64": "double", "usize": "size_t",
           "i32": "int32_t", "i64": "int64_t", "u8": "uint8_t", "u32": "uint32_t",
           "u64": "uint64_t"}
FUNCTION_POINTER = re.compile(
    r'Option<\s*unsafe extern "C" fn\((.*?)\)(?:\s*->\s*([^>]*?))?,?\s*>$', re.S)


def c_type(rust):
    """`*mut *const T` is `T const * *`: qualifiers stand behind what they belong to."""
    rust = rust.strip()
    if rust.startswith("*const "):
        return c_type(rust[len("*const "):]) + " const *"
    if rust.startswith("*mut "):
        return c_type(rust[len("*mut "):]) + " *"
    return C_TYPES.get(rust, rust)


def c_parameters(text):
    types = [part.split(":", 1)[1] for part in text.split(",") if part.strip()]
    return ", ".join(map(c_type, types)) or "void"


def c_result(text):
    return c_type(text) if text and text.strip() else "void"


def same_type(expression, wanted, what):
    return (f'_Static_assert(_Generic({expression}, {wanted}: 1, default: 0), '
            f'"{what} has another type");\n')


class Bindings:
    def __init__(self, text):
        self.constants = re.findall(r"pub const (\w+): (\w+) = ([^;]+);", text)
        self.aliases, self.callbacks = [], []
        for name, target in re.findall(r"pub type (\w+) =\s*(.*?);", text, re.S):
            match = FUNCTION_POINTER.match(target)
            if match:
                self.callbacks.append((name, match[1], match[2]))
            else:
                self.aliases.append((name, target))
        self.structs = []
        for name, body in re.findall(r"pub struct (\w+) \{\n(.*?)\n\}", text, re.S):
            fields = re.findall(r"pub (?:r#)?(\w+): (.*?),(?=\n|$)", body, re.S)
            if fields:
                self.structs.append((name, fields))
        self.functions = re.findall(r"pub fn (\w+)\((.*?)\)(?: -> ([^;]*))?;", text, re.S)

    def c_program(self):
        lines = ['#include "ane_train_apple.h"\n#include <stdio.h>\n']
        for name, _, value in self.constants:
            wanted = "UINT64_MAX" if value == "u64::MAX" else value
            lines.append(f'_Static_assert({name} == {wanted}, "{name} has another value");\n')
        for name, target in self.aliases:
            lines.append(same_type(f"({name})0", c_type(target), name))
        for name, arguments, result in self.callbacks:
            wanted = f"{c_result(result)} (*)({c_parameters(arguments)})"
            lines.append(same_type(f"({name})0", wanted, name))
        for name, arguments, result in self.functions:
            wanted = f"{c_result(result)} (*)({c_parameters(arguments)})"
            lines.append(same_type(f"&{name}", wanted, name))
        prints = []
        for name, fields in self.structs:
            prints.append(f'  printf("{name} %zu %zu\\n", sizeof({name}), _Alignof({name}));\n')
            for field, kind in fields:
                member = f"(({name} *)0)->{field}"
                array = re.match(r"\[(\w+); \w+ as usize\]", kind)
                wanted = f"{c_type(array[1])} *" if array else c_type(kind)
                lines.append(same_type(f"{'&' if array else ''}{member}{'[0]' if array else ''}",
                                       wanted, f"{name}.{field}"))
                prints.append(f'  printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                              f"sizeof({member}));\n")
        return "".join(lines) + "int main(void) {\n" + "".join(prints) + "  return 0;\n}\n"

    def rust_program(self, path):
        prints = []
        for name, fields in self.structs:
            prints.append(f'    println!("{name} {{}} {{}}", size_of::<{name}>(), '
                          f"align_of::<{name}>());\n    let s = unsafe {{ zeroed::<{name}>() }};\n")
            for field, _ in fields:
                raw = rust_name(field)
                prints.append(f'    println!("{name}.{field} {{}} {{}}", addr_of!(s.{raw}) as usize '
                              f"- addr_of!(s) as usize, size_of_val(&s.{raw}));\n")
        return ("#![allow(dead_code, non_camel_case_types)]\n"
                "use std::mem::{align_of, size_of, size_of_val, zeroed};\nuse std::ptr::addr_of;\n"
                "macro_rules! sized { ($name:ident) => {} }\n"
                f'mod bindings {{ include!("{path}"); }}\nuse bindings::*;\n'
                "fn main() {\n" + "".join(prints) + "}\n")


def build_and_run(command, source, text):
    program = os.path.splitext(source)[0]
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    subprocess.run(command + [source, "-o", program], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.split("\n")


def main(bindings_path, include, exports, work):
    os.makedirs(work, exist_ok=True)
    with open(bindings_path, encoding="utf-8") as file:
        bindings = Bindings(file.read())
    with open(exports, encoding="utf-8") as file:
        exported = set(file.read().split())
    declared = {name for name, _, _ in bindings.functions}
    if declared != exported:
        sys.exit(f"expected the exported functions, seen others: {sorted(declared ^ exported)}")
    seen_by_c = build_and_run(
        [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Werror", f"-I{include}"],
        os.path.join(work, "layout_c.c"), bindings.c_program())
    seen_by_rust = build_and_run(
        [os.environ.get("RUSTC", "rustc"), "--edition=2021"],
        os.path.join(work, "layout_rust.rs"), bindings.rust_program(os.path.abspath(bindings_path)))
    differences = [pair for pair in zip(seen_by_c, seen_by_rust) if pair[0] != pair[1]]
    if differences or len(seen_by_c) != len(seen_by_rust):
        sys.exit("\n".join(f"in C '{c}', in Rust '{rust}'" for c, rust in differences))
    print(f"{len(bindings.functions)} functions, {len(bindings.callbacks)} callbacks, "
          f"{len(bindings.structs)} structs, {len(bindings.constants)} constants agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
