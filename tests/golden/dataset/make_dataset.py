#!/usr/bin/env python3
"""Writes rows.json and records.jsonl with records.json for tests/unit/io/dataset_*.cpp.

What a row of examples must hold and which bytes of a record are learned, computed here by the
shortest code that can be checked by eye; it shares nothing with the library.
Run from anywhere: python3 make_dataset.py
"""
import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
IGNORED = -1
BOS, EOS = 256, 257  # of the byte tokenizer


def make_examples(rng, count, longest):
    """Random lengths, many short ones, and masks of a few runs."""
    examples = []
    for _ in range(count):
        length = min(longest, 2 + int(rng.expovariate(1 / 14)))
        ids = [rng.randrange(300) for _ in range(length)]
        mask, value = [], rng.randrange(2)
        for _ in range(length):
            if rng.random() < 0.3:
                value = 1 - value
            mask.append(value)
        if not any(mask[1:]):
            mask[-1] = 1
        examples.append({"ids": ids, "mask": mask})
    return examples


def pieces_of(example, size, policy):
    """Lists of (input, target, position)."""
    pairs = [
        (a, b if learned else IGNORED)
        for a, b, learned in zip(example["ids"], example["ids"][1:], example["mask"][1:])
    ]
    if len(pairs) > size and policy == "skip":
        return []
    cuts = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    if policy == "truncate":
        cuts = cuts[:1]
    # A piece in which nothing is learned is left out.
    cuts = [cut for cut in cuts if any(target != IGNORED for _, target in cut)]
    return [[(a, b, i) for i, (a, b) in enumerate(cut)] for cut in cuts]


def padded_row(piece, size):
    row = piece + [(0, IGNORED, i) for i in range(len(piece), size)]
    return {
        "inputs": [a for a, _, _ in row],
        "targets": [b for _, b, _ in row],
        "positions": [p for _, _, p in row],
    }


def best_fit_rows(lengths, size):
    """Best fit, longest first, the slow way: how many rows does it take?"""
    space = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, left in enumerate(space) if left >= length]
        if fitting:
            best = min(fitting, key=lambda i: space[i])
            space[best] -= length
        else:
            space.append(size - length)
    return len(space)


def make_rows():
    rng = random.Random(5)
    examples = make_examples(rng, 60, 80)
    size = 32
    cases = {}
    for policy in ("truncate", "skip", "split"):
        pieces = [piece for e in examples for piece in pieces_of(e, size, policy)]
        cases[policy] = {
            "rows": [padded_row(piece, size) for piece in pieces],
            "packed_rows": best_fit_rows([len(piece) for piece in pieces], size),
            "supervised": sum(b != IGNORED for piece in pieces for _, b, _ in piece),
            "positions": sum(len(piece) for piece in pieces),
        }
    lengths = [rng.randrange(1, 101) for _ in range(2000)]
    packing = {"lengths": lengths, "capacity": 100, "rows": best_fit_rows(lengths, 100)}
    golden = {"sequence_length": size, "examples": examples, "cases": cases, "packing": packing}
    (HERE / "rows.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def text_ids(text, bos=False):
    return ([BOS] if bos else []) + list(text.encode())


RECORDS = [
    # (line, kind or problem, ids, mask); None for what is not there
    ('{"text": "two words"}', "text"),
    ('{"text": "caf\\u00e9 \\ud83d\\ude00 \\n"}', "text"),
    ('{"prompt": "2 + 2 = ", "completion": "4"}', "completion"),
    ('{"completion": "\\u4e09", "prompt": "", "extra": {"a": [1]}}', "completion"),
    ('{"ids": [1, 2, 3, 257], "mask": [0, 0, 1, 1]}', "tokens"),
    ('{"ids": [5, 6]}', "tokens"),
    ('{"text": null, "prompt": "a", "completion": "b"}', "completion"),
    ('{"text": "kept", "prompt": "no completion"}', "text"),
    ("   ", "blank"),
    ("", "blank"),
    ('{"text": 5}', "invalid_field"),
    ('{"prompt": "a", "completion": 1}', "invalid_field"),
    ('{"ids": [1, 2], "mask": [1]}', "invalid_field"),
    ('{"ids": [1, 2], "mask": [0, 2]}', "invalid_field"),
    ('{"ids": [1, "2"]}', "invalid_field"),
    ('{"ids": [1, 258]}', "invalid_token"),
    ('{"ids": [1, -1]}', "invalid_token"),
    ('{"ids": [1]}', "nothing_to_learn"),
    ('{"ids": [1, 2, 3], "mask": [1, 0, 0]}', "nothing_to_learn"),
    ('{"text": ""}', "nothing_to_learn"),
    ('{"prompt": "a", "completion": ""}', "nothing_to_learn"),
    ('{"messages": [{"role": "user", "content": "hi"}]}', "chat_template"),
    ('{"messages": "hi"}', "invalid_field"),
    ('{"messages": []}', "invalid_field"),
    ('{"messages": [{"content": "hi"}]}', "invalid_field"),
    ('{"prompt": "q", "chosen": "a", "rejected": "b"}', "unknown_record"),
    ("[1, 2]", "unknown_record"),
    ("{}", "unknown_record"),
    ('{"text": "a", "text": "b"}', "invalid_json"),
    ('{"text": "a"', "invalid_json"),
    ('{"text": "a\\u0000b"}', "invalid_json"),
    ('{"text": "\\ud800"}', "invalid_json"),
    ("nonsense", "invalid_json"),
    (b'{"text": "\xff\xfe"}', "invalid_text"),
    (b'{"text": "\xc0\x80"}', "invalid_text"),
    ('{"text": "the last, without a line feed"}', "text"),
]


def make_records():
    lines, expected = [], []
    for number, (line, verdict) in enumerate(RECORDS, 1):
        lines.append(line if isinstance(line, bytes) else line.encode())
        if verdict not in ("text", "completion", "tokens"):
            expected.append({"line": number, "problem": verdict})
            continue
        record = json.loads(line)
        if verdict == "text":
            ids = text_ids(record["text"]) + [EOS]
            mask = [1] * len(ids)
        elif verdict == "completion":
            prompt, rest = text_ids(record["prompt"]), text_ids(record["completion"]) + [EOS]
            ids, mask = prompt + rest, [0] * len(prompt) + [1] * len(rest)
        else:
            ids = record["ids"]
            mask = record.get("mask", [1] * len(ids))
        mask[0] = 0  # nothing comes before it that could predict it
        expected.append({"line": number, "kind": verdict, "ids": ids, "mask": mask})
    (HERE / "records.jsonl").write_bytes(b"\n".join(lines))
    (HERE / "records.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


make_rows()
make_records()
