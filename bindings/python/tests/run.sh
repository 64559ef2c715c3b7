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
# pytest's last line: "1 failed, 41 passed, 1 error in 3.14s"
tail -n 1 "$output" | awk '{
  for (i = 2; i <= NF; ++i) {
    if ($i ~ /^passed/) passed += $(i - 1)
    if ($i ~ /^(failed|error)/) failed += $(i - 1)
  }
  printf "%d passed, %d failed\n", passed, failed
}'
exit $status
