#!/usr/bin/env python3
"""Lists the characters that `tokenizers` does not normalize as the newest Unicode does: the table
`unnormalized` of src/io/tokenizer/unicode.cpp. Needs unicodedata2 besides tests/requirements.txt.
"""

import unicodedata2 as unicode
from tokenizers import normalizers

NFC, NFD, NFKD = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()


def differs(character):
    if any(form.normalize_str(character) != unicode.normalize(name, character)
           for form, name in ((NFC, "NFC"), (NFD, "NFD"), (NFKD, "NFKD"))):
        return True
    if unicode.combining(character):
        for text in (order for mark in "\u0334\u0345\u0301"
                     for order in ("a" + mark + character, "a" + character + mark)):
            if NFD.normalize_str(text) != unicode.normalize("NFD", text):
                return True
    parts = unicode.decomposition(character)
    if parts and not parts.startswith("<") and " " in parts:
        text = "".join(chr(int(part, 16)) for part in parts.split())
        return NFC.normalize_str(text) != unicode.normalize("NFC", text)
    return False


def harmless(number):
    character = chr(number)
    return not unicode.combining(character) and unicode.normalize("NFKD", character) == character


ranges = []
for number in range(0x110000):
    if 0xD800 <= number <= 0xDFFF or not differs(chr(number)):
        continue
    if ranges and number - ranges[-1][1] < 16 and all(map(harmless, range(ranges[-1][1] + 1, number))):
        ranges[-1][1] = number
    else:
        ranges.append([number, number])
print(", ".join("{0x%X, 0x%X}" % tuple(pair) for pair in ranges))
