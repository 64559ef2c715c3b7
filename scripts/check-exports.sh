#!/bin/sh
# Three lists are the same: the symbols that the library exports, the committed list, and the
# functions that the headers declare.
# usage: check-exports.sh library exports header...
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

LC_ALL=C
export LC_ALL
library=$1
exports=$2
shift 2
sort "$exports" > "$work/listed"
sed -n 's/^ANET_API .*[ *]\(anet_[a-z0-9_]*\)(.*/\1/p' "$@" | sort > "$work/declared"
case $(uname -s) in
  Darwin) nm -gU "$library" | sed -n 's/.* [TDS] _//p' ;;
  *) nm -D --defined-only "$library" | sed -n -e '/ A /d' -e 's/@.*//' -e 's/.* [A-Za-z] //p' ;;
esac | sort > "$work/exported"

diff -u "$work/declared" "$work/listed" ||
  { echo "$exports does not list what $* declare" >&2; exit 1; }
diff -u "$work/listed" "$work/exported" ||
  { echo "$library does not export what $exports lists" >&2; exit 1; }
echo "$(wc -l < "$work/exported") symbols"
