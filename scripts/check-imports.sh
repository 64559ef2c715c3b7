#!/bin/sh
# A library that others link does not print, exit or abort: it must not even import the means.
# usage: check-imports.sh library
set -eu

forbidden='printf vprintf fprintf vfprintf dprintf vdprintf puts fputs putchar fputc putc perror
  __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk __dprintf_chk
  stdout stderr __stdoutp __stderrp _ZSt4cout _ZSt4cerr _ZSt4clog _ZSt5wcout _ZSt5wcerr
  exit _exit _Exit quick_exit abort __assert_fail __assert_rtn psignal syslog system'

dynamic=$([ "$(uname -s)" = Darwin ] || echo -D)
# shellcheck disable=SC2086
imported=$(nm $dynamic -u "$1" | sed -n 's/^ *[Uw] *\([^@ ]*\).*/\1/p')
case $(uname -s) in Darwin) imported=$(echo "$imported" | sed 's/^_//') ;; esac

# An empty list would mean that nothing was looked at.
echo "$imported" | grep -qx free || { echo "no free among the imports of $1" >&2; exit 1; }

found=
for symbol in $forbidden; do
  if echo "$imported" | grep -qx -- "$symbol"; then found="$found $symbol"; fi
done
if [ -n "$found" ]; then
  echo "$1 imports:$found" >&2
  exit 1
fi
echo "$(echo "$imported" | wc -l) imported symbols"
