#!/bin/sh
# What the make targets of the Rust crates run. Without cargo, the last line is "skipped: <why>".
# usage: CARGO=... RUSTC=... CC=... PYTHON=... run.sh build|bindings|test|sanitized work-directory
set -eu

task=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)
cd "$(dirname "$0")"
cargo=${CARGO:-cargo}
# macOS hides this variable from its own shell, and with that from what the shell runs.
export DYLD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
include=../include
bindings=ane-train-sys/src/bindings.rs

if ! command -v "$cargo" > /dev/null; then
  echo "skipped: $cargo is not here"
  exit 0
fi

passed=0
failed=0

# A check counts as one.
check() { # name, command...
  name=$1
  shift
  if "$@" > "$work/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $name"
    cat "$work/log"
  fi
}

# Cases are counted from the runner's own lines: "test result: ok. 9 passed; 0 failed; ...".
tests() { # command...
  status=0
  "$@" > "$work/log" 2>&1 || status=$?
  sums=$(awk '/^test result:/ { ok += $4; bad += $6 } END { print ok + 0, bad + 0 }' "$work/log")
  ok=${sums% *} bad=${sums#* }
  # A program that dies before its sum is a failure, too.
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$bad" -ne 0 ] || [ "$ok" -eq 0 ]; then cat "$work/log"; fi
  passed=$((passed + ok))
  failed=$((failed + bad))
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

generate() {
  "${PYTHON:-python3}" generate_bindings.py $include/ane_train.h $include/ane_train_apple.h > "$1.raw"
  rustfmt --edition 2021 --config-path . < "$1.raw" > "$1"
}

bindings_are_current() {
  generate "$work/bindings.rs"
  diff -u $bindings "$work/bindings.rs" || { echo "run 'make rust-bindings'"; return 1; }
}

has() { # subcommand
  "$cargo" "$1" --version > /dev/null 2>&1 || { echo "not checked: cargo $1 is not here"; return 1; }
}

case $task in
  build)
    "$cargo" build --offline --release --quiet
    ;;
  bindings)
    generate "$work/bindings.rs"
    cp "$work/bindings.rs" $bindings
    ;;
  test)
    check 'the declarations agree with C' "${PYTHON:-python3}" check_bindings.py $bindings $include \
      ../src/ane_train.exports "$work/check"
    if has fmt; then
      check 'bindings.rs is current' bindings_are_current
      check 'cargo fmt' "$cargo" fmt --check
      check 'rustfmt of the example' rustfmt --check --edition 2021 --config-path . \
        ../examples/rust/src/main.rs
    fi
    if has clippy; then
      check 'cargo clippy' "$cargo" clippy --offline --all-targets -- -D warnings
    fi
    check 'cargo doc' env RUSTDOCFLAGS='-D warnings' "$cargo" doc --offline --no-deps
    tests "$cargo" test --offline --no-fail-fast
    if [ -f "${ANE_TRAIN_TEST_EMULATOR:-}" ]; then
      tests "$cargo" test --offline --test ane -- --ignored
    else
      echo "not tested: the device ane, whose emulator is not here ('make emulator')"
    fi
    finish
    ;;
  sanitized)
    command -v valgrind > /dev/null || { echo 'skipped: valgrind is not here'; exit 0; }
    for kind in X86_64_UNKNOWN_LINUX_GNU AARCH64_UNKNOWN_LINUX_GNU; do
      export CARGO_TARGET_${kind}_RUNNER="valgrind --quiet --error-exitcode=9 --leak-check=full \
        --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
        --num-callers=30 --suppressions=$PWD/valgrind.supp"
    done
    tests "$cargo" test --offline --no-fail-fast --lib --tests
    finish
    ;;
  *)
    echo "expected build, bindings, test or sanitized, seen $task" >&2
    exit 2
    ;;
esac
