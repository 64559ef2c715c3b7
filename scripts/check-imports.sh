#!/bin/sh
# A library that others link does not print, exit or abort: it must not even import the means.
# NM and FORMAT, if set, are another nm and the system whose form it writes.
# usage: [NM=nm] [FORMAT=Darwin] check-imports.sh library|object...
set -eu

forbidden='printf vprintf fprintf vfprintf dprintf vdprintf puts fputs putchar fputc putc perror
  __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk __dprintf_chk
  stdout stderr __stdoutp __stderrp _ZSt4cout _ZSt4cerr _ZSt4clog _ZSt5wcout _ZSt5wcerr
  exit _exit _Exit quick_exit abort __assert_fail __assert_rtn psignal syslog system'

# Apple's form has names alone, with an underscore before each, and the file before its names.
case ${FORMAT:-$(uname -s)} in
  Darwin) imported=$("${NM:-nm}" -u "$@" | awk 'NF && !/:$/ { sub(/^_/, "", $NF); print $NF }') ;;
  *) imported=$("${NM:-nm}" -D -u "$@" | sed -n 's/^ *[Uw] *\([^@ ]*\).*/\1/p') ;;
esac
imported=$(echo "$imported" | sort -u)

# An empty list would mean that nothing was looked at.
echo "$imported" | grep -qx free || { echo "no free among the imports of $*" >&2; exit 1; }

found=
for symbol in $forbidden; do
  if echo "$imported" | grep -qx -- "$symbol"; then found="$found $symbol"; fi
done
if [ -n "$found" ]; then
  echo "$* imports:$found" >&2
  exit 1
fi
echo "$(echo "$imported" | wc -l) imported symbols"
