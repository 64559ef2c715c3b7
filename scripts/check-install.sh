#!/bin/sh
# Installs into an empty folder, compiles a C program with what pkg-config says and nothing else,
# runs it and the installed command, and uninstalls without leaving a file.
# usage: MAKE=... CC=... check-install.sh work-directory
set -eu

rm -rf "$1"
mkdir -p "$1"
work=$(cd "$1" && pwd)
stage=$work/stage
prefix=/opt/ane-train

${MAKE:-make} -s install DESTDIR="$stage" PREFIX=$prefix

cat > "$work/consumer.c" << 'END'
#include <ane_train.h>
#include <stdio.h>
int main(void) {
  anet_tokenizer *tokenizer = NULL;
  if (anet_abi_version() != ANET_ABI_VERSION) return 1;
  if (anet_tokenizer_create_bytes(&tokenizer, NULL) != ANET_OK) return 1;
  printf("%s %d\n", anet_version_string(), (int)anet_tokenizer_vocab_size(tokenizer));
  anet_tokenizer_release(tokenizer);
  return 0;
}
END

export PKG_CONFIG_PATH="$stage$prefix/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage"
# shellcheck disable=SC2046
${CC:-cc} -Wall -Werror "$work/consumer.c" $(pkg-config --cflags --libs ane_train) -o "$work/consumer"
seen=$(LD_LIBRARY_PATH="$stage$prefix/lib" DYLD_LIBRARY_PATH="$stage$prefix/lib" "$work/consumer")
wanted="$(pkg-config --modversion ane_train) 258"
[ "$seen" = "$wanted" ] || { echo "the consumer printed '$seen', expected '$wanted'" >&2; exit 1; }

# The command finds the library beside itself, wherever the tree is.
mv "$stage$prefix" "$work/moved"
env -u LD_LIBRARY_PATH "$work/moved/bin/ane-train" devices > /dev/null
mv "$work/moved" "$stage$prefix"

${MAKE:-make} -s uninstall DESTDIR="$stage" PREFIX=$prefix
left=$(find "$stage" ! -type d)
[ -z "$left" ] || { echo "uninstall left: $left" >&2; exit 1; }
