"""Texts that tokenizers find hard, as bytes, in a reproducible order."""

import random

import families

RUNS = [" ", "\n", "\r\n", "\t", "a", "A", "é", "中", "😀", "\u0301", "\u00a0", "=", "0", "ab", " \n", "\u3000"]
MARKS = ["\u0300", "\u0301", "\u0302", "\u0308", "\u0323", "\u0327", "\u0345", "\u0591", "\u05b0",
         "\u064b", "\u093c", "\u0e34", "\u3099", "\u20d7", "\u1dc0"]
ODD = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\x85", "\u00ad", "\u200b", "\u200d", "\ufeff", "\u2028",
       "\u202e", "\ufffd", "\ufffe", "\U0010ffff", "\u180e", "\u1680", "\u2581", "\u0130", "\u1e9e", "\u017f",
       "\u212a", "\u01c4", "\ufb01", "\u1100", "\u1161", "\u11a8", "\uac00", "\u0344", "\u0958", "\u2126",
       "\ud7a3", "\uf900", "\U0001d160", "\u0f73", "\u2adc", "½", "²", "Ⅷ", "①", "\u0660", "\u06f5",
       "'", "’", "'s", "'S", "'ſ", "'LL", "'t", "--", "...", "<", "<0x41>", "</s>"]
INVALID = [b"\x80", b"\xbf", b"\xc0\xaf", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98",
           b"\xf4\x90\x80\x80", b"\xf8", b"\xff", b"\xfe\xff", b"\xe0\x80\x80", b"\xf0\x80"]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️‍🔥", "1️⃣", "🧑🏿‍🚀"]
BLOCKS = [(0x20, 0x7e), (0xa0, 0x24f), (0x250, 0x3ff), (0x400, 0x52f), (0x530, 0x6ff), (0x700, 0x9ff),
          (0xa00, 0xdff), (0xe00, 0x10ff), (0x1100, 0x13ff), (0x1e00, 0x1fff), (0x2000, 0x2bff),
          (0x2e80, 0x31ff), (0x3200, 0x4dbf), (0x4e00, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7ff),
          (0xf900, 0xfdff), (0xfe00, 0xffef), (0x10000, 0x10fff), (0x1d000, 0x1d7ff),
          (0x1f000, 0x1faff), (0x20000, 0x2ffff)]


def numbers(random_):
    form = random_.choice(["{}", "{:,}", "{:.4f}", "0x{:x}", "{:e}", "-{}", "{:020}"])
    value = random_.getrandbits(random_.choice([3, 10, 31, 60]))
    return form.format(value)


def piece(random_, lines, tokens, accept):
    kind = random_.randrange(10)
    if kind < 3:
        return random_.choice(lines)[:random_.randrange(1, 120)]
    if kind == 3:
        first, last = random_.choice(BLOCKS)
        return "".join(c for c in (chr(random_.randint(first, last))
                                   for _ in range(random_.randrange(1, 30))) if accept(c))
    if kind == 4:
        return random_.choice(RUNS) * random_.randrange(1, 12)
    if kind == 5:
        return "".join(random_.choice("aeiouAEnsçк") + "".join(random_.sample(MARKS, random_.randrange(1, 4)))
                       for _ in range(random_.randrange(1, 4)))
    if kind == 6:
        return random_.choice(ODD)
    if kind == 7:
        return random_.choice(EMOJI) * random_.randrange(1, 3)
    if kind == 8:
        return numbers(random_)
    return random_.choice(tokens) if tokens else ""


def make(count, lines, tokens, accept=lambda character: True, seed=1):
    """`count` texts as bytes. `accept` says which characters the reference knows too."""
    random_ = random.Random(seed)
    texts = [b"", b" ", b"  ", b"\n", b"a"] + [run.encode() * 10_000 for run in RUNS]
    texts += [families.SAMPLES.encode(), b" hello  world ", "".join(ODD).encode()]
    texts += [token.encode() for token in tokens]
    texts += [f" {token} x{token}{token}y \n{token}\n".encode() for token in tokens]
    texts += [raw for raw in INVALID] + [b"a" + raw + b"\x80b " + raw for raw in INVALID]
    while len(texts) < count:
        data = b""
        for _ in range(random_.choice([1, 1, 2, 3, 5, 9])):
            data += piece(random_, lines, tokens, accept).encode()
            if random_.random() < 0.05:
                data += random_.choice(INVALID)
            if random_.random() < 0.3:
                data += b" "
        if random_.random() < 0.03 and data:  # cut anywhere, perhaps inside a character
            data = data[:random_.randrange(len(data)) + 1]
        texts.append(data)
    return texts[:count]
