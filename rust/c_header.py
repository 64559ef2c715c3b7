"""The public headers as data: constants, types, structs, callbacks and functions, in their order.

The headers are plain C and regular (scripts/check-header.sh compiles them alone), so that a reader
of a few rules is enough. What no rule fits is an error, never left out."""

import collections
import re

Constant = collections.namedtuple("Constant", "name value")
Alias = collections.namedtuple("Alias", "name type")
Opaque = collections.namedtuple("Opaque", "name")
Field = collections.namedtuple("Field", "name type length")  # length: of an array, else None
Struct = collections.namedtuple("Struct", "name fields")
Callback = collections.namedtuple("Callback", "name result parameters")
Function = collections.namedtuple("Function", "name result parameters")

IDENTIFIER = r"[A-Za-z_]\w*"
DECLARATOR = re.compile(rf"^(?P<type>.*?[\s*])(?P<name>{IDENTIFIER})(?:\[(?P<length>\w+)\])?$")
HIDDEN_MACROS = {"ANE_TRAIN_H", "ANE_TRAIN_APPLE_H", "ANET_API", "ANET_CHECK"}


def declarator(text):
    match = DECLARATOR.match(text.strip())
    if not match:
        raise ValueError(f"expected a type and a name, seen '{text}'")
    return Field(match["name"], " ".join(match["type"].replace("*", " * ").split()), match["length"])


def parameters(text):
    return [] if text.strip() == "void" else [declarator(part) for part in text.split(",")]


def fields(body):
    return [declarator(part) for part in body.split(";") if part.strip()]


def enumerators(body):
    return [Constant(name, value) for name, value in
            (map(str.strip, part.split("=")) for part in body.split(",") if part.strip())]


RULES = [
    (rf"typedef struct ({IDENTIFIER}) \1;", lambda m: [Opaque(m[1])]),
    (rf"typedef struct ({IDENTIFIER}) \{{(.*?)\}} \1;", lambda m: [Struct(m[1], fields(m[2]))]),
    (rf"typedef (\w+) \(\*({IDENTIFIER})\)\((.*?)\);",
     lambda m: [Callback(m[2], m[1], parameters(m[3]))]),
    (rf"typedef (\w+) ({IDENTIFIER});", lambda m: [Alias(m[2], m[1])]),
    (r"enum \{(.*?)\};", lambda m: enumerators(m[1])),
    (rf"ANET_API ([\w\s*]*?)({IDENTIFIER})\(([^)]*)\)(?: ANET_CHECK)?;",
     lambda m: [Function(m[2], " ".join(m[1].replace("*", " * ").split()), parameters(m[3]))]),
]


def declarations_alone(text):
    """Without comments and directives; macros with a value become enumerators."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(rf"#define (?:{'|'.join(HIDDEN_MACROS)})\b.*\n", "", text)
    text = re.sub(r"#define (\w+) (\w+)\n", r"enum { \1 = \2 };\n", text)
    text = re.sub(r"#(?:if|ifdef|ifndef|else|elif|endif|include)\b.*\n", "", text)
    text = re.sub(r'extern "C" \{(.*)\}', r"\1", text, flags=re.S)
    return " ".join(text.split())


def parse(path):
    """The declarations of one header."""
    with open(path, encoding="utf-8") as file:
        text = declarations_alone(file.read())
    declarations, at = [], 0
    rules = [(re.compile(pattern + " ?"), make) for pattern, make in RULES]
    while at < len(text):
        for pattern, make in rules:
            match = pattern.match(text, at)
            if match:
                declarations += make(match)
                at = match.end()
                break
        else:
            raise ValueError(f"{path}: expected a declaration, seen '{text[at:at + 80]}'")
    return declarations
