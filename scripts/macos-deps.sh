#!/bin/sh
# What the macOS cross build needs besides Debian's packages, into one folder: the Zig compiler
# (Clang with the headers of macOS and libc++) from PyPI, libc++ as archives, and Highway and cJSON
# from Debian's sources, compiled for arm64 macOS. Does nothing, quickly, when all is there.
# usage: macos-deps.sh folder
set -eu

zig_version=0.15.2
zig_hashes='--hash=sha256:806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130
  --hash=sha256:edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230'

scripts=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
deps=$(cd "$1" && pwd)

# The stamp says which scripts made the folder.
made_by=$(cat "$0" "$scripts/cross-apt.sh" "$scripts/macos-compiler.sh" | cksum)
if [ "$(cat "$deps/stamp" 2> /dev/null || true)" = "$made_by" ]; then exit 0; fi
# Zig's cache goes by content, so it may stay.
find "$deps" -mindepth 1 -maxdepth 1 ! -name zig-cache -exec rm -rf {} +
mkdir -p "$deps/lib" "$deps/include/cjson" "$deps/objects" "$deps/source"

echo "macos-deps: Zig $zig_version"
/usr/bin/python3 -m venv "$deps/venv"
# shellcheck disable=SC2086
echo ziglang==$zig_version $zig_hashes > "$deps/requirements.txt"
"$deps/venv/bin/pip" install -q --only-binary :all: --require-hashes -r "$deps/requirements.txt"
ln -s "$("$deps/venv/bin/python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')" \
  "$deps/zig"

echo 'macos-deps: libc++'
# Zig compiles its libc++ at the first link, and says where with ZIG_VERBOSE_LINK.
export ZIG_GLOBAL_CACHE_DIR="$deps/zig-cache"
echo 'int main() { throw 1; }' > "$deps/probe.cpp"
ZIG_VERBOSE_LINK=1 "$deps/zig/zig" c++ -target aarch64-macos.14.0 -O3 "$deps/probe.cpp" \
  -o "$deps/probe" 2> "$deps/probe.log" || { cat "$deps/probe.log" >&2; exit 1; }
for name in libc++ libcompiler_rt; do
  archive=$(tr ' ' '\n' < "$deps/probe.log" | grep "/$name\.a\$" | sort -u)
  [ -f "$archive" ] || { echo "expected one $name.a in Zig's link, saw '$archive'" >&2; exit 1; }
  cp "$archive" "$deps/lib/"
done
# The system's new and delete are to be found, which the application may replace.
"$deps/zig/zig" ar d "$deps/lib/libc++.a" new.o

echo 'macos-deps: Highway, cJSON'
# shellcheck source=cross-apt.sh
. "$scripts/cross-apt.sh"
private_apt "$deps/apt" deb-src "$(dpkg --print-architecture)"
(cd "$deps/source" && apt-get -c "$deps/apt/apt.conf" source -qq highway cjson > apt.log 2>&1) ||
  { cat "$deps/source/apt.log" >&2; exit 1; }

compile() { # c or c++, name of the object, source, options
  sh "$scripts/macos-compiler.sh" "$1" "$deps" -O3 -fPIC -fvisibility=hidden -c "$3" \
    -o "$deps/objects/$2.o" $4
}
highway=$(echo "$deps"/source/highway-*/hwy)
for source in aligned_allocator per_target targets; do
  compile c++ "$source" "$highway/$source.cc" "-std=c++17 -I$highway/.."
done
"$deps/zig/zig" ar rcs "$deps/lib/libhwy.a" "$deps/objects/aligned_allocator.o" \
  "$deps/objects/per_target.o" "$deps/objects/targets.o"
(cd "$highway/.." && find hwy -name '*.h' | tar -cf - -T -) | tar -xf - -C "$deps/include"

cjson=$(echo "$deps"/source/cjson-*)
compile c cJSON "$cjson/cJSON.c" '-std=c99 -DCJSON_HIDE_SYMBOLS'
"$deps/zig/zig" ar rcs "$deps/lib/libcjson.a" "$deps/objects/cJSON.o"
cp "$cjson/cJSON.h" "$deps/include/cjson/"

echo "$made_by" > "$deps/stamp"
