#!/bin/sh
# Runs the fuzzers of a build for some seconds each, two at a time, and reports what they found.
# usage: fuzz.sh build-folder seconds [reader]
set -u
build=$1
seconds=$2
only=${3:-}
seeds=$(cd "$(dirname "$0")/.." && pwd)/tests/fuzz/seeds

# The corpus grows below the build and is kept for the next time; inputs that take more than 10 s or
# 2 GB are findings too.
run_fuzzer() {
  name=$1
  mkdir -p "$build/corpus/$name" "$build/findings"
  [ -d "$seeds/$name" ] || { echo "expected seeds in $seeds/$name" >&2; return 1; }
  "$build/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="$build/findings/$name-" "$build/corpus/$name" \
    "$seeds/$name" > "$build/fuzz_$name.log" 2>&1
}

if [ -n "$only" ]; then
  names=$only
else
  names=$(for program in "$build"/fuzz_*; do
    case $program in *.log) ;; *) basename "$program" | sed 's/^fuzz_//' ;; esac
  done)
fi
failed=0
report() { # name status
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz_$1.log")
  if [ "$2" -eq 0 ] && [ -n "$runs" ]; then
    printf '%-22s %4s s %12s inputs  no finding\n' "$1" "$seconds" "$runs"
  else
    printf '%-22s FAILED: %s\n' "$1" "$build/fuzz_$1.log"
    tail -25 "$build/fuzz_$1.log"
    failed=$((failed + 1))
  fi
}

set -- $names
while [ $# -gt 0 ]; do
  first=$1
  second=${2:-}
  run_fuzzer "$first" & first_job=$!
  if [ -n "$second" ]; then run_fuzzer "$second" & second_job=$!; fi
  wait "$first_job"; report "$first" $?
  if [ -n "$second" ]; then wait "$second_job"; report "$second" $?; shift; fi
  shift
done
[ "$failed" -eq 0 ] || { echo "$failed fuzzers found something"; exit 1; }
