#!/bin/sh
# Says what the Python binding lacks here; says nothing when all is there.
# usage: missing.sh python
set -eu

command -v "$1" > /dev/null || { echo "no Python ($1)"; exit 0; }
"$1" - <<'END'
import os, sys, sysconfig

if sys.version_info < (3, 11):
    print("Python 3.11 or later, seen", sys.version.split()[0])
elif not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("Python's headers (Debian: python3-dev)")
END
