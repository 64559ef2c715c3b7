#!/usr/bin/env python3
"""Compares the chat templates that trl and unsloth publish on PyPI with jinja2's renderings.

Run from the top of the tree, with jinja2==3.1.6 installed:
  make build/release/libio.a build/release/libbase.a
  g++ -std=c++20 -Isrc tests/golden/chat_template/render_lines.cpp build/release/libio.a \\
    build/release/libbase.a -lcjson -lutf8proc -lpcre2-8 -o build/render_lines
  pip download --no-deps --only-binary :all: -d build/wheels trl unsloth
  python3 tests/golden/chat_template/check_published.py build/render_lines build/wheels
The templates stay in build/: they belong to others.
"""

import ast
import json
import pathlib
import subprocess
import sys
import zipfile

from environment import make_environment, render_with_spans
from make_conversations import CONVERSATIONS, TOOLS, in_bytes


def published(wheels):
    for wheel in sorted(pathlib.Path(wheels).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".jinja"):
                    yield name, archive.read(name).decode()
                elif name.endswith("/chat_templates.py"):
                    for node in ast.walk(ast.parse(archive.read(name))):
                        text = getattr(node, "value", None)
                        if isinstance(node, ast.Constant) and isinstance(text, str) and "{%" in text:
                            yield f"{name}:{node.lineno}", text


def main():
    renderer, wheels = sys.argv[1:]
    environment = make_environment()
    jobs, expected = [], []
    for name, template in published(wheels):
        for conversation, messages in CONVERSATIONS.items():
            for tools in (None, TOOLS):
                for prompt in (False, True):
                    context = {
                        "messages": messages,
                        "tools": tools,
                        "documents": None,
                        "add_generation_prompt": prompt,
                        "bos_token": "<s>",
                        "eos_token": "</s>",
                    }
                    jobs.append((name, conversation, {"template": template, "context": context}))
                    try:
                        text, spans = render_with_spans(environment, template, context)
                        expected.append({"text": text, "spans": in_bytes(text, spans)})
                    except Exception:
                        expected.append(None)
    lines = "".join(json.dumps(job) + "\n" for *_, job in jobs)
    done = subprocess.run([renderer], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    different = 0
    for (name, conversation, _), want, seen in zip(jobs, expected, answers, strict=True):
        if (None if "error" in seen else seen) == want:
            continue
        different += 1
        print(f"{name}, {conversation}: expected {want}, seen {seen}")
    failing = sum(want is None for want in expected)
    print(f"{len(jobs)} renderings, {failing} of which jinja2 refuses, {different} differ")
    return different != 0 or not jobs


if __name__ == "__main__":
    sys.exit(main())
