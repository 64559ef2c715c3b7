#!/usr/bin/env python3
"""Writes the golden files beside it: small tokenizers of each family, which `tokenizers` trained, and
what it (for tokenizer.bin, SentencePiece) makes of some hundred texts.

<family>.tokenizer.json   the tokenizer, <family>.config.json its tokenizer_config.json
llama2c.tokenizer.bin     llama2.c's
<family>.texts.json       [{"text" as Latin-1 characters for bytes, "ids", "ranges", "decoded"}]
"""

import argparse
import json
import pathlib
import random
import unicodedata

import check
import families
import strings

VOCAB = 700
COUNT = 220


def known(character):
    return unicodedata.category(character) not in ("Cn", "Cs")


def make_texts(lines, tokens):
    """Of moderate length, and without NUL, which our JSON reader refuses."""
    return [text for text in strings.make(COUNT, lines, tokens, known)
            if len(text) < 500 and b"\0" not in text]


def golden_texts(tokenizer, texts):
    """As encoded with special tokens parsed and those that the tokenizer adds."""
    reference = check.decoding_reference(tokenizer)
    tokenizer.encode_special_tokens = False
    records = []
    for data in texts:
        text, offsets = check.valid_text(data)
        encoding = tokenizer.encode(text, add_special_tokens=True)
        ranges = [(0, 0) if a == b else (offsets[a], offsets[b]) for a, b in encoding.offsets]
        records.append({"text": data.decode("latin-1"), "ids": encoding.ids, "ranges": ranges,
                        "decoded": reference.decode(encoding.ids)})
    return records


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    folder = parser.parse_args().folder
    lines = families.lines_of(families.training_text(400_000))
    processor = families.train_sentencepiece(lines, VOCAB + 400)
    trained = {name: getattr(families, name)(lines, VOCAB)
               for name in ("qwen", "smollm2", "llama3", "variant")}
    trained["llama2"] = families.llama2(processor)
    for name, (tokenizer, config) in trained.items():
        tokens = [token.content for token in tokenizer.get_added_tokens_decoder().values()][:8]
        texts = make_texts(lines, tokens)
        write(folder, f"{name}.tokenizer.json", json.loads(tokenizer.to_str()))
        write(folder, f"{name}.config.json", config)
        write(folder, f"{name}.texts.json", golden_texts(tokenizer, texts))
    (folder / "llama2c.tokenizer.bin").write_bytes(families.llama2_bin(processor))
    plain = [text.decode() for text in make_texts(lines, []) if check.is_plain(text)]
    write(folder, "llama2c.texts.json",
          [{"text": text.encode().decode("latin-1"), "ids": processor.encode(text), "decoded": text}
           for text in plain])


if __name__ == "__main__":
    random.seed(1)
    main()
