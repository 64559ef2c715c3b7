#!/usr/bin/env python3
"""Names the public symbols of a Swift symbol graph that have no comment; fails if there are any.
usage: check-swift-docs.py AneTrain.symbols.json"""

import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        symbols = json.load(file)["symbols"]
    # What the compiler makes, a memberwise == for example, is nowhere in the source.
    written = [symbol for symbol in symbols if "location" in symbol]
    bare = sorted(".".join(symbol["pathComponents"]) for symbol in written
                  if not any(line["text"].strip()
                             for line in symbol.get("docComment", {}).get("lines", [])))
    for name in bare:
        print(f"expected a comment on '{name}', seen none")
    if not written:
        print("expected public symbols, seen none")
    return 1 if bare or not written else 0


if __name__ == "__main__":
    sys.exit(main())
