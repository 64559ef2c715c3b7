#!/usr/bin/env python3
"""Checks the includes of src/ against the layers of docs/architecture.md.

Prints one line for each violation, `file:line: what`, and exits with 1 when there is any.
"""

import pathlib
import re
import sys

ALLOWED = {
    "base": {"base"},
    "mil": {"mil", "base"},
    "backend": {"backend", "mil", "base"},
    "quant": {"quant", "mil", "base"},
    "model": {"model", "mil", "base"},
    "io": {"io", "model", "quant", "mil", "base"},
    "generate": {"generate", "io", "model", "quant", "backend", "mil", "base"},
    "train": {"train", "io", "model", "quant", "backend", "mil", "base"},
    "capi": {"capi", "generate", "train", "io", "model", "quant", "backend", "mil", "base"},
}

# Only these files may include a header whose name matches.
RESERVED = [
    (re.compile(r"cJSON\.h$"), re.compile(r"src/base/json\w*\.cpp$")),
    (re.compile(r"ane_train\w*\.h$"), re.compile(r"src/capi/")),
    (re.compile(r"dnnl"), re.compile(r"src/backend/cpu/")),
    (re.compile(r"^hwy/"),
     re.compile(r"src/(backend/cpu/|base/(bf|f)loat16-inl\.h|train/optimizer_kernels\.cpp)")),
    (re.compile(r"^pcre2"), re.compile(r"src/io/tokenizer/")),
    (re.compile(r"^utf8proc"), re.compile(r"src/io/(tokenizer|jinja)/")),
    (re.compile(r"^objc/"), re.compile(r"src/backend/ane/")),
]

# Libraries do not print or end the process.
FORBIDDEN = {"iostream", "cassert", "assert.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def problems_of(root, path):
    layer = path.relative_to(root / "src").parts[0]
    name = path.relative_to(root).as_posix()
    if layer not in ALLOWED:
        yield 1, f"src/{layer} is not a layer"
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        style, target = match.groups()
        if target in FORBIDDEN:
            yield number, f"<{target}> is not for library code"
        for header, owner in RESERVED:
            if header.search(target) and not owner.match(name):
                yield number, f"{target} may only be included by {owner.pattern}"
        if style == "<" or target == "ane_train.h":
            continue
        if not (root / "src" / target).is_file() and not target.startswith("hwy/"):
            yield number, f'"{target}" is not a path below src/'
        elif target.split("/")[0] in ALLOWED and target.split("/")[0] not in ALLOWED[layer]:
            yield number, f"src/{layer} may not use src/{target.split('/')[0]}"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    count = 0
    failed = False
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cpp"}:
            continue
        count += 1
        for number, text in problems_of(root, path):
            failed = True
            print(f"{path.relative_to(root)}:{number}: {text}", file=sys.stderr)
    print(f"{count} files")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
