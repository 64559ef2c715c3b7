#!/bin/sh
# Builds the Swift package, tests it, or uses it from a package outside this tree, against the
# library that pkg-config finds. Without a Swift toolchain it says so and succeeds.
# usage: check-swift.sh build|test|consume build-directory
set -eu

build=$2
swift=${SWIFT:-swift}
package="--package-path swift --scratch-path $build"

if ! "$swift" --version > /dev/null 2>&1; then
  echo "skipped: no Swift toolchain ('$swift')"
  exit 0
fi

run() { # Swift's progress lines say nothing about a failure
  "$@" > "$build/log" 2>&1 || { grep -v '^\[[0-9]*/[0-9]*\]' "$build/log"; return 1; }
}

build_package() {
  # shellcheck disable=SC2086
  run "$swift" build $package -Xswiftc -warnings-as-errors "$@"
}

# Swift Testing ends with "Test run with 90 tests in 12 suites passed after 9.1 seconds.", and has a
# line "Test name() failed after ..." for each that failed.
test_package() {
  status=0
  # shellcheck disable=SC2086
  "$swift" test --skip-build --disable-xctest $package > "$build/log" 2>&1 || status=$?
  total=$(sed -n 's/.* Test run with \([0-9]*\) tests\{0,1\} .*/\1/p' "$build/log")
  failed=$(grep -c ' Test .* failed after ' "$build/log" || true)
  if [ $status -ne 0 ] || [ -z "$total" ]; then
    grep -v -e ' started\.$' -e ' passed after ' "$build/log" || true
    [ "$failed" -gt 0 ] || failed=1
  fi
  echo "$((${total:-$failed} - failed)) passed, $failed failed"
  [ $status -eq 0 ] && [ -n "$total" ] && [ "$total" -gt 0 ]
}

mkdir -p "$build"
case $1 in
  build) build_package --product AneTrain ;;
  test)
    "$swift" format lint --strict --parallel --recursive --configuration swift/.swift-format swift
    build_package --build-tests
    test_package
    ;;
  *) echo "usage: check-swift.sh build|test|consume build-directory" >&2; exit 2 ;;
esac
