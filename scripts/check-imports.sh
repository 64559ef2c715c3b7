#!/bin/sh
# A library that others link does not print, exit or abort: it must not even import the means.
# NM and FORMAT, if set, are another nm and the system whose form it writes.
# usage: [NM=nm] [FORMAT=Darwin] check-imports.sh library|object...
set -eu

forbidden='printf vprintf fprintf vfprintf dprintf vdprintf puts fputs putchar fputc putc perror
  __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk __dprintf_chk
  stdout stderr __stdoutp __stderrp _ZSt4cout _ZSt4cerr _ZSt4clog _ZSt5wcout _ZSt5wcerr
  exit _exit _Exit quick_exit abort __assert_fail __assert_rtn psignal syslog system'

imports_of() {
  case ${FORMAT:-$(uname -s)} in # Apple's form has names alone, with an underscore before each
    Darwin) "${NM:-nm}" -u "$1" | awk 'NF { sub(/^_/, "", $NF); print $NF }' ;;
    *) "${NM:-nm}" -D -u "$1" | sed -n 's/^ *[Uw] *\([^@ ]*\).*/\1/p' ;;
  esac
}

patterns=$(echo "$forbidden" | tr -s ' ' '\n')
count=0
status=0
seen_free=
for file in "$@"; do
  imported=$(imports_of "$file")
  if echo "$imported" | grep -qx free; then seen_free=yes; fi
  found=$(echo "$imported" | grep -xF -- "$patterns" | tr '\n' ' ') || true
  [ -z "$found" ] || { echo "$file imports: $found" >&2; status=1; }
  count=$((count + $(echo "$imported" | wc -l)))
done

# Without it, nothing was looked at.
[ -n "$seen_free" ] || { echo "no free among the imports of $*" >&2; exit 1; }
[ $status -eq 0 ] || exit 1
echo "$count imported symbols"
