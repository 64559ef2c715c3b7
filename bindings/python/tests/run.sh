#!/bin/sh
# Runs pytest on a built package; the last line is "<n> passed, <n> failed".
# usage: run.sh python package-folder [argument of pytest...]
set -u

python=$1
package=$2
shift 2
cd "$(dirname "$0")" || exit 1
output=$(mktemp)
trap 'rm -f "$output"' EXIT

PYTHONPATH=$package PYTHONDONTWRITEBYTECODE=1 ANE_TRAIN_PACKAGE=$package \
  "$python" -X dev -m pytest -q "$@" > "$output" 2>&1
status=$?
cat "$output"
count() { # how many did so, in pytest's last line: "1 failed, 41 passed, 1 error in 3.14s"
  tail -n 1 "$output" | sed -n "s/.*[^0-9]*\b\([0-9][0-9]*\) $1.*/\1/p"
}
passed=$(count passed)
failed=$(($(count failed | sed 's/^$/0/' | grep . || echo 0) + $(count error | grep . || echo 0)))
echo "${passed:-0} passed, $failed failed"
exit $status
