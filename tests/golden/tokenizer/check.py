#!/usr/bin/env python3
"""Our tokenizers against `tokenizers` and `sentencepiece`, text by text: `make tokenizer-check`.

Trains a vocabulary for each family, encodes and decodes with both, and prints the differences and a
line for each family. Exits with 1 if there is a difference.
"""

import argparse
import itertools
import json
import pathlib
import random
import struct
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer

import driver
import families
import strings


def valid_text(data):
    """Text of the bytes with U+FFFD for what is not UTF-8, and the byte offset of each character
    and of the end. Python cuts invalid sequences as we do."""
    text = data.decode("utf-8", errors="replace")
    if "\ufffd" not in text:
        return text, list(itertools.accumulate((len(c.encode()) for c in text), initial=0))
    offsets, at = [0], 0
    while at < len(data):
        for size in range(1, 5):  # the shortest prefix that decodes to one character for good
            try:
                data[at:at + size].decode()
                break
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data" or at + size >= len(data):
                    size = error.end - error.start
                    break
        at += size
        offsets.append(at)
    assert len(offsets) == len(text) + 1
    return text, offsets


class Difference(Exception):
    pass


def compare(what, text, ours, theirs):
    if ours != theirs:
        raise Difference(f"{what} of {text[:80]!r}: expected {theirs[:40]}, seen {ours[:40]}")


def decoding_reference(tokenizer):
    """`tokenizers` from 0.22 on gives an added token as its normalized self and does not know it as
    special then. We give what was added, as earlier versions do: without a normalizer both agree."""
    document = json.loads(tokenizer.to_str())
    document["normalizer"] = None
    return Tokenizer.from_str(json.dumps(document))


def check_encoding(tokenizer, texts, answers, flags):
    """The differences in ids, ranges and decoded text."""
    reference = decoding_reference(tokenizer)
    add, parse = bool(flags & driver.ADD), bool(flags & driver.PARSE)
    tokenizer.encode_special_tokens = not parse
    for data, answer in zip(texts, answers):
        text, offsets = valid_text(data)
        expected = tokenizer.encode(text, add_special_tokens=add)
        try:
            if isinstance(answer, str):
                raise Difference(f"{data[:80]!r}: {answer}")
            ids, ranges, decoded = answer
            compare("ids", data, ids, expected.ids)
            spans = [(offsets[a], offsets[b]) for a, b in expected.offsets]
            # Tokens around the text are empty, at its ends.
            mine = [(0, 0) if a == b else (a, b) for a, b in ranges]
            compare("ranges", data, mine, [(0, 0) if a == b else (a, b) for a, b in spans])
            compare("text", data, decoded.decode(), reference.decode(expected.ids))
        except Difference as difference:
            yield str(difference)


def random_ids(size, count, seed=2):
    random_ = random.Random(seed)
    return [[random_.randrange(size) for _ in range(random_.randrange(1, 12))] for _ in range(count)]


def check_decoding(tokenizer, program, path, size):
    """Sequences that no text gives: whole and streamed."""
    tokenizer = decoding_reference(tokenizer)
    lists = random_ids(size, 3000)
    byte_ids = [i for i in (tokenizer.token_to_id(f"<0x{b:02X}>") for b in range(256)) if i]
    if byte_ids:
        random_ = random.Random(3)
        lists += [[random_.choice(byte_ids + [300, 301]) for _ in range(6)] for _ in range(1000)]
    packed = [(driver.DECODE, struct.pack(f"<{len(ids)}i", *ids)) for ids in lists]
    for ids, (whole, streamed) in zip(lists, driver.run(program, path, packed)):
        expected = tokenizer.decode(ids)
        try:
            compare("text of ids", str(ids), whole.decode(), expected)
            compare("streamed text of ids", str(ids), streamed.decode(), expected)
        except Difference as difference:
            yield str(difference)


def check_family(name, tokenizer, config, program, folder, texts):
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    differences = []
    modes = [driver.RANGES, driver.RANGES | driver.ADD, driver.RANGES | driver.PARSE]
    for index, flags in enumerate(modes):
        part = texts if index == 0 else texts[:len(texts) // 4]
        answers = driver.run(program, folder, [(flags, data) for data in part])
        differences += check_encoding(tokenizer, part, answers, flags)
    differences += check_decoding(tokenizer, program, folder, tokenizer.get_vocab_size())
    return differences


# llama2.c, from its description: characters or bytes, then the best pair again and again.
def llama2c_encode(pieces, scores, lookup, data):
    if not data:
        return []
    ids = [lookup[b" "]]
    at = 0
    while at < len(data):
        end = at + 1
        while end < len(data) and end - at < 4 and data[end] & 0xC0 == 0x80:
            end += 1
        whole = data[at:end]
        ids += [lookup[whole]] if whole in lookup else [byte + 3 for byte in whole]
        at = end
    while True:
        best, place = -1e10, None
        for i in range(len(ids) - 1):
            merged = lookup.get(pieces[ids[i]] + pieces[ids[i + 1]])
            if merged is not None and scores[merged] > best:
                best, place, index = scores[merged], i, merged
        if place is None:
            return ids
        ids[place:place + 2] = [index]


def is_plain(data):
    """Whether SentencePiece and llama2.c read the text alike: U+2581 is a space to the one, and NUL
    ends a text of the other."""
    text = data.decode("utf-8", errors="replace")
    return not any(character in text for character in ("\ufffd", families.SPACE, "\x00"))


def check_llama2c(processor, program, folder, texts):
    folder.mkdir()
    data = families.llama2_bin(processor)
    (folder / "tokenizer.bin").write_bytes(data)
    pieces, scores, at = [], [], 4
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        pieces.append(data[at + 8:at + 8 + length])
        scores.append(score)
        at += 8 + length
    lookup = {}
    for index, text in enumerate(pieces):
        lookup.setdefault(text, index)
    answers = driver.run(program, folder, [(driver.RANGES, text) for text in texts], len(pieces))
    for text, (ids, ranges, decoded) in zip(texts, answers):
        try:
            if len(text) <= 400:
                compare("ids", text, ids, llama2c_encode(pieces, scores, lookup, text))
            plain = text.decode("utf-8", errors="replace")
            if is_plain(text):
                compare("SentencePiece's ids", text, ids, processor.encode(plain))
            compare("text", text, decoded.decode(), plain)
            covered = b"".join(text[a:b] for a, b in ranges)
            compare("bytes covered", text, covered, text)
        except Difference as difference:
            yield str(difference)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="tokenizer_driver")
    parser.add_argument("--count", type=int, default=20_000, help="texts for each family")
    parser.add_argument("--vocab", type=int, default=6000)
    parser.add_argument("--only", help="one family")
    options = parser.parse_args()
    text = families.training_text(3_000_000)
    lines = families.lines_of(text)
    random.Random(1).shuffle(lines)
    processor = families.train_sentencepiece(lines, options.vocab)
    makers = {name: lambda make=make: make(lines, options.vocab)
              for name, make in (("qwen", families.qwen), ("smollm2", families.smollm2),
                                 ("llama3", families.llama3), ("variant", families.variant))}
    makers["llama2"] = lambda: families.llama2(processor)
    failed = False
    # Characters that Python's Unicode knows; libraries differ about newer ones.
    known = lambda c: unicodedata.category(c) not in ("Cn", "Cs")
    with tempfile.TemporaryDirectory() as root:
        for name in list(makers) + ["llama2.c"]:
            if options.only not in (None, name):
                continue
            folder = pathlib.Path(root) / name
            if name == "llama2.c":
                texts = strings.make(options.count, lines, ["<s>", "</s>", "<unk>"], known)
                differences = list(check_llama2c(processor, options.program, folder, texts))
            else:
                tokenizer, config = makers[name]()
                tokens = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
                texts = strings.make(options.count, lines, tokens, known)
                differences = check_family(name, tokenizer, config, options.program, folder, texts)
            for difference in differences[:10]:
                print(f"  {name}: {difference}")
            print(f"{name}: {len(texts)} texts, {len(differences)} differences", flush=True)
            failed = failed or bool(differences)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
