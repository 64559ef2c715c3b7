#!/bin/sh
# The crates as `cargo package` would pack them, used by the example, which is a crate of its own, in a
# folder outside of this tree. It is built through pkg-config and through ANE_TRAIN_LIB_DIR, and prints
# what the C example prints, to the last bit. Without a library, or with one of another ABI, the build
# says what to do.
# usage: CARGO=... CC=... PYTHON=... package-test.sh staged-prefix C-example work-directory
set -eu

stage=$1
c_example=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
rm -rf "$3"
mkdir -p "$3"
work=$(cd "$3" && pwd)
tree=$(cd "$(dirname "$0")/.." && pwd)
cargo=${CARGO:-cargo}
# macOS hides this variable from its own shell, and with that from what the shell runs.
export DYLD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"

if ! command -v "$cargo" > /dev/null; then
  echo "skipped: $cargo is not here"
  exit 0
fi

fail() {
  echo "$*" >&2
  exit 1
}

for crate in ane-train-sys ane-train; do
  (cd "$tree/rust/$crate" && "$cargo" package --list --allow-dirty --offline --quiet) > "$work/files"
  while read -r file; do
    [ -f "$tree/rust/$crate/$file" ] || continue # made while packing
    mkdir -p "$(dirname "$work/rust/$crate/$file")"
    cp "$tree/rust/$crate/$file" "$work/rust/$crate/$file"
  done < "$work/files"
done
mkdir -p "$work/examples"
cp -R "$tree/examples/rust" "$work/examples/rust"
cd "$work/examples/rust"
mkdir "$work/nothing"
unset ANE_TRAIN_LIB_DIR ANE_TRAIN_INCLUDE_DIR CARGO_TARGET_DIR

build() { # target directory, environment...
  target=$1
  shift
  env CARGO_TARGET_DIR="$target" "$@" "$cargo" build --offline --locked
}
refuse() { # pattern, environment...
  pattern=$1
  shift
  if build "$work/refused" "$@" > "$work/log" 2>&1; then fail "built with $*"; fi
  grep -q -e "$pattern" "$work/log" || { cat "$work/log"; fail "expected '$pattern'"; }
}

build "$work/by-pkg-config" PKG_CONFIG_PATH="$stage/lib/pkgconfig"
build "$work/by-folder" PKG_CONFIG_LIBDIR="$work/nothing" PKG_CONFIG_PATH= \
  ANE_TRAIN_LIB_DIR="$stage/lib"

# A small chat model, as other tools write it.
"${PYTHON:-python3}" "$tree/scripts/tiny_model.py" "$work/tiny"
"$stage/bin/ane-train" train --tokenizer "$work/tiny/tokenizer" --data "$work/tiny/text.txt" \
  --steps 1 --sequence-length 32 --export "$work/tiny/base" \
  --model '{"hidden_size": 32, "intermediate_size": 64, "layer_count": 2, "head_count": 2}' \
  > "$work/base"
"$c_example" "$work/tiny/base" "$work/tiny/chats" "$work/c" 8 > "$work/c.txt"
for way in by-pkg-config by-folder; do
  "$work/$way/debug/finetune_jsonl" "$work/tiny/base" "$work/tiny/chats" "$work/$way-output" 8 \
    > "$work/$way.txt"
  diff "$work/c.txt" "$work/$way.txt" || fail "C and Rust print other lines"
done
cat "$work/by-pkg-config.txt"

refuse 'install libane_train' PKG_CONFIG_LIBDIR="$work/nothing" PKG_CONFIG_PATH=
refuse 'install libane_train' PKG_CONFIG="$work/nothing/pkg-config"
refuse 'seen none in' ANE_TRAIN_LIB_DIR="$work/nothing"
mkdir -p "$work/newer/lib/pkgconfig" "$work/newer/include" "$work/alone"
touch "$work/alone/libane_train.so.1" "$work/alone/libane_train.1.dylib"
refuse 'ABI 0.* seen ABI 1' ANE_TRAIN_LIB_DIR="$work/alone"
sed 's/^#define ANET_ABI_VERSION .*/#define ANET_ABI_VERSION 1/' "$stage/include/ane_train.h" \
  > "$work/newer/include/ane_train.h"
sed "s|^prefix=.*|prefix=$work/newer|" "$stage/lib/pkgconfig/ane_train.pc" \
  > "$work/newer/lib/pkgconfig/ane_train.pc"
refuse 'ABI 0.* seen ABI 1' PKG_CONFIG_PATH="$work/newer/lib/pkgconfig"
sed 's|^Version:.*|Version: 0.2.0|' "$stage/lib/pkgconfig/ane_train.pc" \
  > "$work/newer/lib/pkgconfig/ane_train.pc"
refuse "'ane_train < 0.2'" PKG_CONFIG_PATH="$work/newer/lib/pkgconfig"

# At run time, too: the same names, but another number.
if [ "$(uname -s)" = Linux ]; then
  awk '{ print "int " $1 "(void) { return " ($1 == "anet_abi_version") "; }" }' \
    "$tree/src/ane_train.exports" > "$work/other.c"
  echo 'ANE_TRAIN_0 { global: anet_*; };' > "$work/other.map"
  "${CC:-cc}" -shared -fPIC -Wl,-soname,libane_train.so.0 \
    -Wl,--version-script="$work/other.map" "$work/other.c" -o "$work/newer/lib/libane_train.so.0"
  if LD_LIBRARY_PATH="$work/newer/lib" "$work/by-folder/debug/finetune_jsonl" a b c \
    > "$work/log" 2>&1; then fail 'ran with a library of another ABI'; fi
  grep -q 'expected libane_train of ABI 0, seen ABI 1' "$work/log" || { cat "$work/log"; exit 1; }
fi
echo "the packed crates build, run and refuse as they should"
