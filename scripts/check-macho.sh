#!/bin/sh
# What arm64 macOS asks of the cross-built library and command, and what we promise of them, read
# from the files with LLVM's tools. Prints a line for each; the first that does not hold ends it.
# usage: check-macho.sh build-directory abi version exports
set -eu

build=$1 abi=$2 version=$3 listed=$4
minimum=14.0
library=$build/libane_train.$abi.dylib
command=$build/ane-train
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL

same() { # what, expected, seen
  [ "$2" = "$3" ] || { printf '%s: expected:\n%s\nseen:\n%s\n' "$1" "$2" "$3" >&2; exit 1; }
  echo "ok: $1: $(printf '%s' "$2" | tr '\n' ' ')"
}

headers() { llvm-objdump --macho --private-headers "$1"; }
# The fields of a load command: command, field, file. The command's name comes before its fields.
field() {
  headers "$3" | awk -v command="$1" -v name="$2" \
    '$1 == "cmd" { inside = $2 == command } inside && $1 == name { print $2 }'
}
kind() { llvm-objdump --macho --private-header "$1" | awk '/^MH_/ { print $1, $2, $5 }'; }
linked() { llvm-objdump --macho --dylibs-used "$1" | sed -n 's/^\t\(.*\) (compat.*/\1/p'; }
exported() { llvm-objdump --macho --exports-trie "$1" | sed -n 's/^0x[0-9A-F]* *_\([^ ]*\).*/\1/p' | sort; }

same 'library is' 'MH_MAGIC_64 ARM64 DYLIB' "$(kind "$library")"
same 'command is' 'MH_MAGIC_64 ARM64 EXECUTE' "$(kind "$command")"
same 'short name' "libane_train.$abi.dylib" "$(readlink "$build/libane_train.dylib")"
same 'install name' "@rpath/libane_train.$abi.dylib" "$(field LC_ID_DYLIB name "$library")"
llvm-objdump --macho --dylibs-used "$library" > "$work/used"
same 'version' "$version" "$(sed -n "s|^\t@rpath/.* current version \(.*\))|\1|p" "$work/used")"

sort "$listed" > "$work/listed"
exported "$library" > "$work/exported"
diff -u "$work/listed" "$work/exported" ||
  { echo "$library does not export what $listed lists" >&2; exit 1; }
echo "ok: exports: the $(wc -l < "$work/exported") of $listed"

# libc++ for what exceptions need; the other libraries of the system are opened at run time.
wanted="@rpath/libane_train.$abi.dylib
/usr/lib/libc++.1.dylib
/usr/lib/libSystem.B.dylib"
same 'library links' "$wanted" "$(linked "$library")"
same 'command links' "$wanted" "$(linked "$command")"

for file in "$library" "$command"; do
  name=$(basename "$file")
  llvm-nm -u "$file" > "$work/imports"
  grep -qx _free "$work/imports" || { echo "no _free among the imports of $file" >&2; exit 1; }
  # Frameworks are opened at run time: neither their functions and constants nor classes.
  if grep -E 'ANE|^_(IO|CF|kCF|NS|objc_|OBJC_|sel_|class_|cblas_|BLAS)' "$work/imports" >&2; then
    echo "expected no import from a framework in $file, saw these" >&2
    exit 1
  fi
  echo "ok: $name: no framework among $(wc -l < "$work/imports") imports"
  same "$name: platform" macos "$(field LC_BUILD_VERSION platform "$file")"
  same "$name: minimum system" "$minimum" "$(field LC_BUILD_VERSION minos "$file")"
  seen=$(python3 "$(dirname "$0")/macho_signature.py" "$file")
  echo "ok: $name: $seen"
done

same 'command looks for the library in' '@loader_path
@loader_path/..' "$(field LC_RPATH path "$command")"

# Most of libc++ is inside the library and can abort; our own code, in the objects, must not be able to.
# shellcheck disable=SC2046
seen=$(NM=llvm-nm FORMAT=Darwin sh "$(dirname "$0")/check-imports.sh" $(find "$build/src" -name '*.o'))
echo "ok: nothing prints, exits or aborts: $seen in the objects"
