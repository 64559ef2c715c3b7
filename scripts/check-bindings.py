#!/usr/bin/env python3
"""Checks that what the public headers offer is reachable from Python, Rust and Swift.

A call, a constant or a field of a struct is reachable when the hand-written layer of the binding,
comments aside, names it; that layer's tests show that it works. Prints what is missing, a line each,
and exits with 1 when anything is.
usage: check-bindings.py [--list]
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = ["include/ane_train.h", "include/ane_train_apple.h"]

# Each language: its sources, and the comments to leave out.
LANGUAGES = {
    "Python": (["bindings/python/ane_train/*.py"], r'"""[\s\S]*?"""|#[^\n]*'),
    "Rust": (["rust/ane-train/src/**/*.rs"], r"//[^\n]*"),
    "Swift": (["swift/Sources/AneTrain/**/*.swift"], r"//[^\n]*"),
}

# What a binding does for its user, so that nobody has to reach it.
LIFETIME = re.compile(r"anet_struct_init|anet_\w+_(retain|release)")
VERSIONS = re.compile(r"ANET_(VERSION_\w+|ABI_VERSION|API|CHECK|MAX_RANK|NO_OFFSET)")
COUNT_OF_A_LIST = {"anet_model_info.warning_count", "anet_generation_result.generated_tokens"}
HIDDEN_FIELD = re.compile(r"struct_size|reserved\d?|user_data|log_user_data|log_release")


def without_comments(text):
    return re.sub(r"/\*[\s\S]*?\*/|//[^\n]*", "", text)


def declared():
    """The names of calls, the values of constants, and the fields of each struct."""
    calls, constants, structs = [], {}, {}
    for header in HEADERS:
        text = without_comments((ROOT / header).read_text(encoding="utf-8"))
        calls += re.findall(r"^ANET_API [^;(]*?\b(anet_\w+)\(", text, re.MULTILINE)
        for body in re.findall(r"^(?:typedef )?enum \{([^}]*)\}", text, re.MULTILINE):
            constants |= {name: int(value)
                          for name, value in re.findall(r"\b(ANET_\w+) = (-?\d+)", body)}
        for name, body in re.findall(r"^typedef struct (anet_\w+) \{([\s\S]*?)^\} \1;", text,
                                     re.MULTILINE):
            structs[name] = re.findall(r"(\w+)(?:\[\w+\])*;", body)
    return calls, constants, structs


class Binding:
    """The text of one language's layer; answers what it names."""

    def __init__(self, patterns, comments):
        files = [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
        # The values of Swift's enumerations are literals; the constant stands beside them.
        self.literals = re.findall(r"= (-?\d+) *// (ANET_\w+)$", text, re.MULTILINE)
        text = re.sub(comments, "", text) + "\n".join(name for _, name in self.literals)
        self.words = set(re.findall(r"\w+", text))
        # "ANET_PRECISION_" alone stands for every constant that begins so.
        self.prefixes = {word for word in self.words if re.fullmatch(r"ANET_\w+_", word)}

    def has_constant(self, name):
        return name in self.words or any(name.startswith(prefix) for prefix in self.prefixes)


def missing(language):
    calls, constants, structs = declared()
    binding = Binding(*LANGUAGES[language])
    for name in calls:
        if not LIFETIME.fullmatch(name) and name not in binding.words:
            yield f"call {name}"
    for name in constants:
        if not VERSIONS.fullmatch(name) and not binding.has_constant(name):
            yield f"constant {name}"
    for value, name in binding.literals:
        if constants.get(name) != int(value):
            yield f"value of {name}: it has {value}, the header {constants.get(name)}"
    for struct, fields in structs.items():
        for field in fields:
            if HIDDEN_FIELD.fullmatch(field) or f"{struct}.{field}" in COUNT_OF_A_LIST:
                continue
            if field not in binding.words:
                yield f"field {struct}.{field}"


def main():
    calls, constants, structs = declared()
    if "--list" in sys.argv[1:]:
        for struct, fields in structs.items():
            print(struct, *fields)
        print(*calls, *constants, sep="\n")
        return 0
    found = 0
    for language in LANGUAGES:
        lines = list(missing(language))
        for line in lines:
            print(f"{language} lacks the {line}")
        found += len(lines)
    fields = sum(len(fields) for fields in structs.values())
    print(f"{len(calls)} calls, {len(constants)} constants, {fields} fields in {len(structs)} structs, "
          f"{len(LANGUAGES)} languages: {found} missing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
