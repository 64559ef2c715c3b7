#!/bin/sh
# Runs test programs and, after "--", make targets; prints one line for each and then, alone on the
# last line, the sum: "<n> passed, <n> failed".
# A doctest program counts its test cases, anything else counts as one. A program that dies before
# its summary, or that ran no case at all, counts as a failure. A target that prints such a sum
# of its own counts as that many; one that ends with "skipped: <why>" is named again before the sum.
# RUNNER, if set, is the command that runs the programs: an emulator of another processor.
# usage: [RUNNER=command] run-tests.sh program... [-- target...]
set -u

passed=0
failed=0
skipped=
output=$(mktemp)
trap 'rm -f "$output"' EXIT

report() { # name, seconds, cases passed, cases failed
  printf '%-28s %4ds  %5d passed  %5d failed\n' "$1" "$2" "$3" "$4"
  passed=$((passed + $3))
  failed=$((failed + $4))
  if [ "$4" -ne 0 ]; then sed 's/^/    /' "$output"; fi
}

run_program() {
  start=$(date +%s)
  if [ ! -x "$1" ]; then
    echo "was not built" > "$output"
    report "$(basename "$1")" 0 0 1
    return
  fi
  # shellcheck disable=SC2086
  ${RUNNER:-} "$1" --no-colors=true > "$output" 2>&1
  status=$?
  # "[doctest] test cases:  12 |  11 passed | 1 failed | 0 skipped"
  summary=$(sed -n 's/^\[doctest\] test cases: *[0-9]* *| *\([0-9]*\) passed *| *\([0-9]*\) failed.*/\1 \2/p' "$output")
  ok=${summary%% *}
  bad=${summary##* }
  if [ -z "$summary" ]; then ok=0 bad=1; fi
  if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  report "$(basename "$1")" $(($(date +%s) - start)) "$ok" "$bad"
}

run_target() {
  start=$(date +%s)
  status=0
  ${MAKE:-make} -s "$1" > "$output" 2>&1 || status=$?
  ok=$((status == 0)) bad=$((status != 0))
  sum=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$output" | tail -n 1)
  if [ -n "$sum" ]; then
    ok=${sum% *}
    if [ "$status" -eq 0 ] || [ "${sum#* }" -ne 0 ]; then bad=${sum#* }; fi
  fi
  last=$(tail -n 1 "$output")
  case $status$last in "0skipped: "*) ok=0 bad=0 skipped="$skipped$1 $last\n" ;; esac
  report "$1" $(($(date +%s) - start)) "$ok" "$bad"
}

run=run_program
for item in "$@"; do
  if [ "$item" = -- ]; then run=run_target; else $run "$item"; fi
done

# shellcheck disable=SC2059
printf "$skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
