#!/usr/bin/env python3
"""Writes what a small chat model is trained from: DIR/tokenizer/ (a byte-level BPE tokenizer.json,
tokenizer_config.json with a chat template, generation_config.json), DIR/chats/ (train.jsonl and
valid.jsonl of conversations) and DIR/text.txt.
usage: tiny_model.py DIR"""

import json
import os
import sys

# Two letters each, in order of precedence; G is the byte-level name of the space.
MERGES = ["t h", "th e", "Ġ the", "i n", "a n", "o n", "e r", "Ġ a", "Ġ i", "s t", "Ġ w", "n d"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_names():
    """The character that stands for each byte in byte-level vocabularies: itself where it is
    printable in Latin-1, else one of those from U+0100 on, in order."""
    names, used = {}, 0
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            names[byte] = chr(byte)
        else:
            names[byte] = chr(256 + used)
            used += 1
    return names


def vocabulary():
    tokens = [byte_names()[byte] for byte in range(256)]
    return {token: i for i, token in
            enumerate(tokens + [merge.replace(" ", "") for merge in MERGES])}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)


def write_tokenizer(folder):
    os.makedirs(folder)
    vocab = vocabulary()
    added = [{"id": len(vocab) + i, "content": name, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for i, name in enumerate(SPECIAL)]
    write_json(os.path.join(folder, "tokenizer.json"), {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
                  "merges": MERGES}})
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"bos_token": None, "eos_token": "<|endoftext|>", "chat_template": TEMPLATE})
    write_json(os.path.join(folder, "generation_config.json"),
               {"eos_token_id": [added[2]["id"], added[0]["id"]]})


def conversation(number):
    """Two turns; every third has a system's message before them."""
    messages = [{"role": "system", "content": "Count on."}] if number % 3 == 0 else []
    for turn in (number, number + 1):
        messages.append({"role": "user", "content": f"What is after {turn}?"})
        messages.append({"role": "assistant", "content": f"After {turn} there is {turn + 1}."})
    return {"messages": messages}


def write_chats(folder):
    os.makedirs(folder)
    for part, numbers in (("train", range(60)), ("valid", range(60, 72))):
        with open(os.path.join(folder, part + ".jsonl"), "w", encoding="utf-8") as file:
            for number in numbers:
                file.write(json.dumps(conversation(number)) + "\n")


def write_all(folder):
    write_tokenizer(os.path.join(folder, "tokenizer"))
    write_chats(os.path.join(folder, "chats"))
    with open(os.path.join(folder, "text.txt"), "w", encoding="utf-8") as file:
        file.write("".join(f"The number after {n} is {n + 1}.\n" for n in range(400)))


if __name__ == "__main__":
    write_all(sys.argv[1])
