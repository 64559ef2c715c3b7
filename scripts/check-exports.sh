#!/bin/sh
# Three lists are the same: the symbols that the library exports, the committed list, and the
# functions that the header declares.
# usage: check-exports.sh library exports header
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

LC_ALL=C
export LC_ALL
sort "$2" > "$work/listed"
sed -n 's/^ANET_API .*[ *]\(anet_[a-z0-9_]*\)(.*/\1/p' "$3" | sort > "$work/declared"
case $(uname -s) in
  Darwin) nm -gU "$1" | sed -n 's/.* [TDS] _//p' ;;
  *) nm -D --defined-only "$1" | sed -n -e '/ A /d' -e 's/@.*//' -e 's/.* [A-Za-z] //p' ;;
esac | sort > "$work/exported"

diff -u "$work/declared" "$work/listed" ||
  { echo "$2 does not list what $3 declares" >&2; exit 1; }
diff -u "$work/listed" "$work/exported" ||
  { echo "$1 does not export what $2 lists" >&2; exit 1; }
echo "$(wc -l < "$work/exported") symbols"
