#!/usr/bin/env python3
"""Speed of our tokenizers and of Hugging Face's `tokenizers` on one thread, side by side.

Trains a vocabulary for each family and encodes the same documents with both, in turns; the best of
some rounds counts. Ours is measured inside the driver, theirs inside Python, by the same work: a list
of documents to lists of ids. Prints the ratio and writes build/bench/tokenizer.json.
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "golden" / "tokenizer"))
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import families  # noqa: E402


def documents_of(text, size=2000):
    return [text[i:i + size] for i in range(0, len(text), size)]


def ours(driver, folder, documents, rounds):
    data = b"".join(struct.pack("<II", 0, len(text)) + text for text in documents)
    result = subprocess.run([driver, "--time", str(rounds), str(folder)], input=data, check=True,
                            stdout=subprocess.PIPE).stdout
    return json.loads(result)


def theirs(tokenizer, documents, rounds):
    best, count = float("inf"), 0
    for _ in range(rounds):
        start = time.perf_counter()
        count = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in documents)
        best = min(best, time.perf_counter() - start)
    batch = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        tokenizer.encode_batch_fast(documents, add_special_tokens=False)
        batch = min(batch, time.perf_counter() - start)
    return {"seconds": min(best, batch), "tokens": count}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab", type=int, default=32000)
    options = parser.parse_args()
    lines = families.lines_of(families.training_text())
    processor = families.train_sentencepiece(lines, options.vocab // 2)
    makers = {"qwen": lambda: families.qwen(lines, options.vocab),
              "smollm2": lambda: families.smollm2(lines, options.vocab),
              "llama3": lambda: families.llama3(lines, options.vocab),
              "llama2": lambda: families.llama2(processor)}
    texts = {"english and code": "".join(lines[::3])[:3_000_000],
             "many scripts": families.SAMPLES * 400}
    results = []
    for name, make in makers.items():
        tokenizer, _ = make()
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(folder + "/tokenizer.json")
            for kind, text in texts.items():
                documents = documents_of(text)
                mine = ours(options.driver, folder, [d.encode() for d in documents], options.rounds)
                other = theirs(tokenizer, documents, options.rounds)
                if mine["tokens"] != other["tokens"]:
                    raise SystemExit(f"{name}: {mine['tokens']} and {other['tokens']} tokens")
                size = len(text.encode()) / 1e6
                record = {"family": name, "text": kind, "ours_mb_s": size / mine["seconds"],
                          "tokenizers_mb_s": size / other["seconds"],
                          "ratio": other["seconds"] / mine["seconds"], "load_s": mine["load"]}
                results.append(record)
                print(f"{name:8} {kind:17} ours {record['ours_mb_s']:6.1f} MB/s, tokenizers "
                      f"{record['tokenizers_mb_s']:6.1f} MB/s, ratio {record['ratio']:.2f}", flush=True)
    path = ROOT / "build" / "bench" / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(record["ratio"] >= 1 for record in results) else 1


if __name__ == "__main__":
    sys.exit(main())
