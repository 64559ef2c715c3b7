"""Writes _native.pyi: what SWIG's module offers, with the types of the C headers.

SWIG's module says which parameters are left in Python; the header says what they are, and that the
pointers which are gone are results. mypy's stubtest holds the outcome against the module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HEADER = '''"""The C ABI, as SWIG wraps it. Written by stub.py."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

_Array = NDArray[Any] | bytes | bytearray | memoryview

'''
NUMBERS = {"float": "float", "double": "float"}
CALLBACKS = {
    "anet_progress_callback": "Callable[[str, int, int], object] | None",
    "anet_fit_callback": "Callable[[anet_fit_event], object] | None",
    "anet_token_callback": "Callable[[int, str], object] | None",
    "anet_batch_token_callback": "Callable[[int, int, str], object] | None",
    "anet_release_callback": "object",
}


class Headers:
    """The functions and structs of the C headers: declarations as (type, name)."""

    def __init__(self, *paths: Path) -> None:
        text = "\n".join(path.read_text() for path in paths)
        text = re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        self.structs = {
            name: [self.declaration(part) for part in body.split(";") if part.strip()]
            for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\n\} \1;", text, re.DOTALL)
        }
        self.handles = set(re.findall(r"typedef struct (\w+) \1;", text))
        self.functions = {}
        for result, name, parameters in re.findall(
            r"ANET_API ([\w\s*]+?)(\w+)\(([^)]*)\)", text, re.DOTALL
        ):
            parts = [] if parameters == "void" else parameters.split(",")
            self.functions[name] = (
                " ".join(result.split()),
                [self.declaration(part) for part in parts],
            )

    @staticmethod
    def declaration(text: str) -> tuple[str, str]:
        found = re.fullmatch(r"(.+?)(\w+)(\[\w+\])?", " ".join(text.split()))
        assert found is not None, text
        return found[1].strip() + ("[]" if found[3] else ""), found[2]

    def python(self, declared: str, name: str = "", optional: bool = True) -> str:
        """A C type as Python has it; pointers to objects may be None where `optional`."""
        or_none = " | None" if optional else ""
        bare = declared.replace("const ", "")
        base = bare.rstrip(" *[]").removesuffix("const").strip(" *")
        if base in CALLBACKS:
            return CALLBACKS[base]
        if declared.endswith("[]"):
            return "tuple[int, ...]"
        if declared in ("const char *", "const char *const *"):
            return "str" + or_none if declared == "const char *" else "Any"
        if name in ("user_data", "iosurface") or base == "anet_log_callback":
            return "Any"
        if declared == "void *" and name == "data" and not optional:
            return "int"
        if "*const *" in declared:
            return f"Sequence[{base}]"
        if "*" not in declared:
            return base if base in self.structs else NUMBERS.get(base, "int")
        is_object = base in self.structs or base in self.handles
        if name in ("losses", "ranges") or not is_object:
            return "_Array" + or_none
        return base + or_none


def result_of(headers: Headers, function: str, kept: list[str]) -> str:
    declared, parameters = headers.functions[function]
    if declared == "void *":
        return "int"
    if declared != "anet_status" or function == "anet_error_status":
        return "None" if declared == "void" else headers.python(declared, optional=False)
    results = []
    gone = [(kind, name) for kind, name in parameters if name not in kept and kind.endswith("*")]
    for kind, name in gone:
        if name in ("error", "user_data"):
            continue
        if kind == "const char **":
            results.append("str")
        elif name != "length" or "str" not in results:
            results.append(kind[:-3].strip() if kind.startswith("anet_") else "int")
    if len(results) < 2:
        return results[0] if results else "None"
    return f"tuple[{', '.join(results)}]"


def functions(headers: Headers, module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name in headers.functions:
            types = {name: kind for kind, name in headers.functions[node.name][1]}
            kept = [argument.arg for argument in node.args.args]
            listed = ", ".join(f"{name}: {headers.python(types[name], name)}" for name in kept)
            yield f"def {node.name}({listed}) -> {result_of(headers, node.name, kept)}: ..."


def is_property(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "property"
    )


def classes(headers: Headers, module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"\nclass {node.name}:"
        yield "    thisown: bool\n    __swig_destroy__: Any"
        types = {name: kind for kind, name in headers.structs.get(node.name, [])}
        for item in node.body:
            if is_property(item):
                name = item.targets[0].id  # type: ignore[attr-defined]
                if name in types:
                    yield f"    {name}: {headers.python(types[name], name, False)}"
            elif isinstance(item, ast.FunctionDef):
                yield from method(node.name, item)
        if node.name in headers.structs:
            yield "    _kept: list[Any]"


def method(owner: str, item: ast.FunctionDef) -> Iterator[str]:
    if item.args.vararg is not None:
        yield f"    def {item.name}(self, *args: Any, **kwargs: Any) -> None: ..."
        return
    if item.decorator_list:
        yield "    @staticmethod"
    own = "" if item.decorator_list else "self"
    arguments = [f"{argument.arg}: Any" for argument in item.args.args if argument.arg != "self"]
    result = "None" if item.name in ("__init__", "__setitem__", "set_log") else "Any"
    yield f"    def {item.name}({', '.join([own] * bool(own) + arguments)}) -> {result}: ..."


def constants(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id.startswith("ANET_"):
                yield f"{node.targets[0].id}: int"


def write(headers: Path, module: Path, stub: Path) -> None:
    declared = Headers(headers / "ane_train.h", headers / "ane_train_apple.h")
    tree = ast.parse(module.read_text())
    lines = [*constants(tree), *classes(declared, tree), "", *functions(declared, tree)]
    stub.write_text(HEADER + "\n".join(lines) + "\n")
