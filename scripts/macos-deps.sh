#!/bin/sh
# What the macOS cross build needs besides Debian's packages, into one folder: the Zig compiler
# (Clang with the headers of macOS and libc++) from PyPI, libc++ as archives, and Highway, cJSON,
# PCRE2 and utf8proc from Debian's sources, compiled for arm64 macOS. Does nothing, quickly, when all is there.
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

echo 'macos-deps: Highway, cJSON, PCRE2, utf8proc'
# shellcheck source=cross-apt.sh
. "$scripts/cross-apt.sh"
private_apt "$deps/apt" deb-src "$(dpkg --print-architecture)"
# Not every mirror has the sources of security updates; then the release's own serve.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
for package in highway cjson pcre2 utf8proc; do
  (cd "$deps/source" && { apt-get -c "$deps/apt/apt.conf" source -qq "$package" ||
    apt-get -c "$deps/apt/apt.conf" source -qq "$package/$suite"; } > apt.log 2>&1) ||
    { cat "$deps/source/apt.log" >&2; exit 1; }
done

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

# PCRE2 brings what its configure script would write, for a usual Unix (NON-AUTOTOOLS-BUILD).
pcre2=$(echo "$deps"/source/pcre2-*/src)
cp "$pcre2/config.h.generic" "$pcre2/config.h"
cp "$pcre2/pcre2.h.generic" "$pcre2/pcre2.h"
cp "$pcre2/pcre2_chartables.c.dist" "$pcre2/pcre2_chartables.c"
pcre2_sources='auto_possess chartables chkdint compile config context convert dfa_match error
  extuni find_bracket jit_compile maketables match match_data newline ord2utf pattern_info script_run
  serialize string_utils study substitute substring tables ucd valid_utf xclass'
pcre2_objects=
for source in $pcre2_sources; do
  [ -f "$pcre2/pcre2_$source.c" ] || continue # some versions have fewer files
  compile c "pcre2_$source" "$pcre2/pcre2_$source.c" "-std=gnu99 -DHAVE_CONFIG_H \
    -DPCRE2_CODE_UNIT_WIDTH=8 -DPCRE2_STATIC -DSUPPORT_UNICODE -DSUPPORT_JIT -I$pcre2"
  pcre2_objects="$pcre2_objects $deps/objects/pcre2_$source.o"
done
# shellcheck disable=SC2086
"$deps/zig/zig" ar rcs "$deps/lib/libpcre2-8.a" $pcre2_objects
cp "$pcre2/pcre2.h" "$deps/include/"

utf8proc=$(echo "$deps"/source/utf8proc-*)
compile c utf8proc "$utf8proc/utf8proc.c" '-std=c99 -DUTF8PROC_STATIC'
"$deps/zig/zig" ar rcs "$deps/lib/libutf8proc.a" "$deps/objects/utf8proc.o"
cp "$utf8proc/utf8proc.h" "$deps/include/"

echo "$made_by" > "$deps/stamp"
