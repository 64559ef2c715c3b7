#!/bin/sh
# The headers of include/ compile without a warning, included first and alone, with every compiler at
# hand and in every language version that we promise. tests/capi/abi_offsets.c asserts the layout
# of its structs at the same time.
# usage: CC=... CXX=... check-header.sh build-directory
set -eu

work=$1/header-check
mkdir -p "$work"
warnings='-Wall -Wextra -Wpedantic -Wshadow -Werror'

compile() { # compiler, standard, source
  # shellcheck disable=SC2086
  "$1" "-std=$2" $warnings -Iinclude -c "$3" -o "$work/out.o" ||
    { echo "$3 does not compile with $1 -std=$2" >&2; exit 1; }
  count=$((count + 1))
}

count=0
for cc in $(printf '%s\n' "${CC:-cc}" gcc clang | sort -u); do
  command -v "$cc" > /dev/null || continue
  for standard in c99 c11 c17; do
    compile "$cc" $standard tests/capi/header_c.c
    compile "$cc" $standard tests/capi/header_apple_c.c
  done
  for standard in c11 c17; do compile "$cc" $standard tests/capi/abi_offsets.c; done
done
for cxx in $(printf '%s\n' "${CXX:-c++}" g++ clang++ | sort -u); do
  command -v "$cxx" > /dev/null || continue
  for standard in c++17 c++20; do
    compile "$cxx" $standard tests/capi/header_cpp.cpp
    compile "$cxx" $standard tests/capi/header_apple_cpp.cpp
  done
done

# What the README shows compiles too.
sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' > "$work/readme.c"
grep -q anet_session_fit "$work/readme.c" || { echo "README.md has no C example" >&2; exit 1; }
compile "${CC:-cc}" c11 "$work/readme.c"
echo "$count compilations"
