#!/usr/bin/env python3
"""What a compressed base costs a fine-tuned model: the demo's model learns the demo's text in
another spelling by an adapter, over its weights in fp32, int8 and 4 bits.

    python3 tests/parity/quantized_base.py build/release build/quantized_base [--steps N]

The validation loss over int8 may be 1 % above the one over fp32, over 4 bits 3 %. Trains the demo's
model first, unless the work directory has it: some minutes.
"""

import json
import os
import subprocess
import sys

LIMITS = {"int8": 0.01, "int8-block": 0.01, "int4": 0.03, "palette4": 0.03}
SPELLING = [("the ", "ye "), ("th", "z"), ("ing", "yng"), ("ck", "kk"), ("w", "v")]


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def make_base(build, work):
    text = os.path.join(work, "text.txt")
    checkpoints = os.path.join(work, "base")
    if not os.path.exists(checkpoints):
        with open(text, "wb") as file:
            run(os.path.join(build, "examples/demo/corpus"), "700000", stdout=file)
        run(os.path.join(build, "ane-train"), "train", "--config", "examples/demo/config.json",
            "--data", text, "--steps", "400", "--checkpoint-root", checkpoints,
            stdout=subprocess.DEVNULL)
    other = os.path.join(work, "other.txt")
    with open(text, encoding="utf-8") as source, open(other, "w", encoding="utf-8") as target:
        story = source.read(200000)
        for old, new in SPELLING:
            story = story.replace(old, new)
        target.write(story)
    return checkpoints, other


def finetune(build, work, base, data, name, steps, *options):
    adapter, summary = os.path.join(work, name), os.path.join(work, name + ".json")
    run("rm", "-rf", adapter, adapter + "-checkpoints")
    run(os.path.join(build, "ane-train"), "finetune", "--model", base, "--data", data, "--output",
        adapter, "--steps", str(steps), "--batch-size", "8", "--sequence-length", "128",
        "--learning-rate", "2e-3", "--seed", "1", "--eval-windows", "0", "--summary", summary,
        *options, stdout=subprocess.DEVNULL)
    with open(summary, encoding="utf-8") as file:
        found = json.load(file)
    return found["val_loss_before"], found["best_loss"]


def main():
    build, work = sys.argv[1], sys.argv[2]
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 120
    os.makedirs(work, exist_ok=True)
    base, data = make_base(build, work)
    before, plain = finetune(build, work, base, data, "fp32", steps)
    print(f"fp32        {before:.4f} before, {plain:.4f} after {steps} steps")
    good = plain < before / 1.5
    results = {"fp32": plain}
    for scheme, limit in LIMITS.items():
        before, after = finetune(build, work, base, data, scheme, steps, "--quantize", scheme)
        share = after / plain - 1
        good = good and share <= limit
        results[scheme] = after
        print(f"{scheme:11} {before:.4f} before, {after:.4f} after: {100 * share:+.2f} % "
              f"(at most {100 * limit:.0f} %)  {'ok' if share <= limit else 'FAILED'}")
    with open(os.path.join(work, "result.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    sys.exit(not good)


main()
