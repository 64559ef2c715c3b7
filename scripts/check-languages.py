#!/usr/bin/env python3
"""Runs the example of fine-tuning in C, Python, Rust and Swift, and compares what they print: the
losses to the last bit, the answer, and the files that they export. Prints a table of the losses.

usage: check-languages.py work-folder model-folder chats-folder language=command...
A command gets the model, the chats, an output folder and the number of steps.
"""

import filecmp
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

STEPS = 8
LOSS = re.compile(r"^(step|validation) +(\d+)  loss (\S+)  ([0-9a-f]{16})$")
EXPORTS = ["adapter/adapter_model.safetensors", "model.gguf",
           f"checkpoints/step-{STEPS // 2:08}/optimizer.safetensors"]


def run(command, model, chats, output):
    """The program's lines, losses apart: {"step 1": ("5.5882", bits)}."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    result = subprocess.run([*shlex.split(command), model, chats, str(output), str(STEPS)],
                            stdout=subprocess.PIPE, check=True)
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    losses = {}
    for line in lines:
        match = LOSS.match(line)
        if match:
            losses[f"{match[1]} {match[2]}"] = (match[3], match[4])
    return losses, [line for line in lines if not LOSS.match(line)]


def main():
    work, model, chats = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    commands = dict(argument.split("=", 1) for argument in sys.argv[4:])
    results = {language: run(command, model, chats, work / language)
               for language, command in commands.items()}
    first, (losses, text) = next(iter(results.items()))
    if len(losses) != STEPS + 2:
        sys.exit(f"{first} printed {len(losses)} losses, expected {STEPS + 2}")
    print(f"{'':14}" + "".join(f"{language:>18}" for language in results))
    for name, (rounded, _) in losses.items():
        bits = [found.get(name, ("", "missing"))[1] for found, _ in results.values()]
        print(f"{name:14}" + "".join(f"{value:>18}" for value in bits) + f"  {rounded}")
    failed = False
    for language, (others, other_text) in results.items():
        if others != losses:
            print(f"{language}'s losses are not those of {first}")
            failed = True
        if other_text != text:
            print(f"{language} prints {other_text}, {first} {text}")
            failed = True
        for name in EXPORTS:
            if not filecmp.cmp(work / first / name, work / language / name, shallow=False):
                print(f"{language} wrote another {name} than {first}")
                failed = True
    print(f"{len(losses)} losses, {len(text)} other lines, {len(EXPORTS)} files: " +
          ("they differ" if failed else f"the same in {', '.join(results)}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
