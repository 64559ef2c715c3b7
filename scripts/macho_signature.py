#!/usr/bin/env python3
"""Verifies the ad-hoc code signature of a thin 64-bit Mach-O file, as the kernel would.

arm64 macOS ends a process when a page of its code does not match the hash that the file's signature
has for it. LLVM's tools only tell where the signature is.

usage: macho_signature.py file
"""

import hashlib
import struct
import sys

LC_CODE_SIGNATURE = 0x1D
SUPER_BLOB = 0xFADE0CC0
CODE_DIRECTORY = 0xFADE0C02
SLOT_CODE_DIRECTORY = 0
FLAG_ADHOC = 0x2
HASH_SHA256 = 2


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{sys.argv[1]}: {what}: expected {expected:#x}, saw {seen:#x}")


def signature_of(data):
    """Offset and bytes of the signature that the load commands name."""
    magic, _, _, _, command_count = struct.unpack_from("<5I", data)
    expect("magic number", 0xFEEDFACF, magic)
    position = 32
    for _ in range(command_count):
        command, size = struct.unpack_from("<2I", data, position)
        if command == LC_CODE_SIGNATURE:
            offset, length = struct.unpack_from("<2I", data, position + 8)
            return offset, data[offset : offset + length]
        position += size
    sys.exit(f"{sys.argv[1]}: expected a load command LC_CODE_SIGNATURE, saw none")


def code_directory_of(signature):
    magic, _, count = struct.unpack_from(">3I", signature)
    expect("magic number of the signature", SUPER_BLOB, magic)
    for index in range(count):
        slot, offset = struct.unpack_from(">2I", signature, 12 + 8 * index)
        if slot == SLOT_CODE_DIRECTORY:
            return signature[offset:]
    sys.exit(f"{sys.argv[1]}: expected a code directory in the signature, saw none")


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    offset, signature = signature_of(data)
    directory = code_directory_of(signature)
    (magic, _, _, flags, hashes, _, _, pages, limit, hash_size, hash_type, _, page_shift) = (
        struct.unpack_from(">9I4B", directory)
    )
    expect("magic number of the code directory", CODE_DIRECTORY, magic)
    expect("ad-hoc flag", FLAG_ADHOC, flags & FLAG_ADHOC)
    expect("hash type", HASH_SHA256, hash_type)
    expect("end of the signed part", offset, limit)
    page_size = 1 << page_shift
    expect("number of pages", -(-limit // page_size), pages)
    for page in range(pages):
        start = page * page_size
        seen = hashlib.sha256(data[start : min(start + page_size, limit)]).digest()[:hash_size]
        if directory[hashes + page * hash_size :][:hash_size] != seen:
            sys.exit(f"{sys.argv[1]}: page {page} does not match its hash in the signature")
    print(f"ad-hoc signature, {pages} pages match")


if __name__ == "__main__":
    main()
