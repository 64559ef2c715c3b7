#!/bin/sh
# A compiler driver for arm64 macOS 14 on Linux, used as CC and CXX. Zig compiles. The linker is
# LLVM's, since Zig's own has no -exported_symbols_list. libc++ is linked in, for there is no SDK to
# link Apple's with, but the exceptions below it are the system's: Objective-C throws those too.
# usage: macos-compiler.sh c|c++ folder-of-macos-deps arguments...
set -eu

language=$1
deps=$2
shift 2
export ZIG_GLOBAL_CACHE_DIR="$deps/zig-cache"

case " $* " in
  *' -c '*)
    case $language in c) driver=cc ;; *) driver=c++ ;; esac
    exec "$deps/zig/zig" $driver -target aarch64-macos.14.0 "$@"
    ;;
esac

linker=$(printf '%s\n' /usr/lib/llvm-*/bin/ld64.lld | sort -V | tail -n 1)
[ -x "$linker" ] || { echo "expected ld64.lld in /usr/lib/llvm-*/bin (package lld)" >&2; exit 1; }
exec "$deps/zig/zig" clang --driver-mode=g++ --target=arm64-apple-macos14.0 \
  -B"$(dirname "$linker")" -fuse-ld=lld -Wl,-dead_strip -nostdlib++ "$@" \
  -L"$deps/lib" -L"$deps/zig/lib/libc/darwin" -lc++ \
  "$(dirname "$0")/macos-libc++.tbd" -lcompiler_rt
