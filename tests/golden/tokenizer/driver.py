"""tests/tools/tokenizer_driver.cpp from Python: many requests in one run of the program."""

import struct
import subprocess

ADD, PARSE, RANGES, DECODE = 1, 2, 4, 8


def run(program, path, requests, vocab_size=0):
    """The answers to (flags, bytes) requests."""
    data = b"".join(struct.pack("<II", flags, len(text)) + text for flags, text in requests)
    result = subprocess.run([program, str(path), str(vocab_size)], input=data, check=True,
                            stdout=subprocess.PIPE).stdout
    at = 0

    def take(size):
        nonlocal at
        at += size
        return result[at - size:at]

    def text():
        return take(struct.unpack("<I", take(4))[0])

    answers = []
    for flags, _ in requests:
        if flags & DECODE:
            answers.append((text(), text()))
            continue
        count, = struct.unpack("<I", take(4))
        if count == 0xFFFFFFFF:
            answers.append(text().decode())
            continue
        ids = list(struct.unpack(f"<{count}i", take(4 * count)))
        ranges = struct.unpack(f"<{2 * count}q", take(16 * count)) if flags & RANGES else ()
        answers.append((ids, list(zip(ranges[::2], ranges[1::2])), text()))
    assert at == len(result)
    return answers
