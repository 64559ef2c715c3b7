#!/bin/sh
# Builds the Swift package, tests it, uses it from a package outside this tree, or tests the sample app,
# against the library that pkg-config finds. Without a Swift toolchain it says so and succeeds.
# usage: check-swift.sh build|test|notes-app build-directory
#        check-swift.sh consume build-directory staged-prefix C-example
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

lint() { "$swift" format lint --strict --parallel --recursive --configuration swift/.swift-format "$@"; }

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
  failed=$(grep ' Test .* failed after ' "$build/log" | grep -v -c ' Test run with ' || true)
  if [ $status -ne 0 ] || [ -z "$total" ]; then
    grep -v -e ' started\.$' -e ' passed after ' "$build/log" || true
    [ "$failed" -gt 0 ] || failed=1
  fi
  echo "$((${total:-$failed} - failed)) passed, $failed failed"
  [ $status -eq 0 ] && [ -n "$total" ] && [ "$total" -gt 0 ]
}

# Every public symbol has a comment, every link in one leads somewhere, and the code in the pages
# compiles.
check_documentation() {
  rm -rf "$build/symbols"
  mkdir -p "$build/symbols"
  # shellcheck disable=SC2086
  modules=$("$swift" build $package --show-bin-path)/Modules
  target=$("$swift" -print-target-info | sed -n 's/.*"triple" *: *"\([^"]*\)".*/\1/p' | head -n 1)
  includes=$(pkg-config --cflags-only-I ane_train | sed 's/-I/-Xcc -I/g')
  sdk=
  if [ "$(uname)" = Darwin ]; then sdk="-sdk $(xcrun --show-sdk-path)"; fi
  # shellcheck disable=SC2086
  run "$swift" symbolgraph-extract -module-name AneTrain -I "$modules" -I swift/Sources/CAneTrain \
    $includes $sdk -target "$target" -minimum-access-level public -output-dir "$build/symbols"
  "${PYTHON:-python3}" scripts/check-swift-docs.py "$build/symbols/AneTrain.symbols.json"
  docc=$(command -v docc || xcrun --find docc)
  run "$docc" convert swift/Sources/AneTrain/AneTrain.docc --output-dir "$build/docc" \
    --additional-symbol-graph-dir "$build/symbols" --fallback-display-name AneTrain \
    --fallback-bundle-identifier AneTrain
  # That not each parameter has a line of its own is no fault of a page.
  if grep -A 2 'warning: ' "$build/log" | grep -v 'is missing documentation' | grep 'warning: '; then
    return 1
  fi
  build_pages
}

# The Swift blocks of a page, one after another, are a program.
build_pages() {
  rm -rf "$build/pages"
  mkdir -p "$build/pages/Sources/Page" "$build/pages/Sources/Article" "$build/pages/Sources/Readme"
  blocks='/^```swift$/ { inside = 1; next } /^```$/ { inside = 0 } inside'
  awk "$blocks" docs/swift.md > "$build/pages/Sources/Page/main.swift"
  awk "$blocks" README.md > "$build/pages/Sources/Readme/main.swift"
  { echo 'import AneTrain'; echo 'let folder = CommandLine.arguments[1]'
    awk "$blocks" swift/Sources/AneTrain/AneTrain.docc/FineTuning.md
  } > "$build/pages/Sources/Article/main.swift"
  cat > "$build/pages/Package.swift" << END
// swift-tools-version: 6.2
import PackageDescription
let dependency: Target.Dependency = .product(name: "AneTrain", package: "swift")
let package = Package(
  name: "Pages", platforms: [.macOS(.v14)], dependencies: [.package(path: "$(pwd)/swift")],
  targets: [
    .executableTarget(name: "Page", dependencies: [dependency]),
    .executableTarget(name: "Article", dependencies: [dependency]),
    .executableTarget(name: "Readme", dependencies: [dependency]),
  ],
  swiftLanguageModes: [.v6])
END
  run "$swift" build --package-path "$build/pages" --scratch-path "$build/pages-build" \
    -Xswiftc -warnings-as-errors
}

# The example is a package that depends on ours. In a folder outside of this tree, from tracked files
# alone, it prints what the C example prints, to the last bit, and writes the same files.
consume_package() { # staged prefix, C example
  work=$build/consumer
  rm -rf "$work"
  git ls-files swift examples/swift scripts/tiny_model.py | while read -r file; do
    mkdir -p "$work/$(dirname "$file")"
    cp "$file" "$work/$file"
  done
  run "$swift" build --package-path "$work/examples/swift/Finetune" --scratch-path "$work/build" \
    -Xswiftc -warnings-as-errors
  "${PYTHON:-python3}" "$work/scripts/tiny_model.py" "$work/tiny"
  run "$1/bin/ane-train" train --tokenizer "$work/tiny/tokenizer" --data "$work/tiny/text.txt" \
    --steps 1 --sequence-length 32 --export "$work/tiny/base" \
    --model '{"hidden_size": 32, "intermediate_size": 64, "layer_count": 2, "head_count": 2}'
  "$2" "$work/tiny/base" "$work/tiny/chats" "$work/c" 6 > "$work/c.txt"
  "$work/build/debug/Finetune" "$work/tiny/base" "$work/tiny/chats" "$work/swift-output" 6 \
    > "$work/swift.txt"
  diff "$work/c.txt" "$work/swift.txt"
  cmp "$work/c/model.gguf" "$work/swift-output/model.gguf"
  diff -r "$work/c/adapter" "$work/swift-output/adapter"
  echo "the package in $work prints what C prints"
}

mkdir -p "$build"
case $1 in
  build) build_package --product AneTrain ;;
  test)
    lint swift examples/swift
    build_package --build-tests
    check_documentation
    test_package
    ;;
  consume) consume_package "$3" "$4" ;;
  notes-app)
    build=$build/notes-app
    package="--package-path examples/notes-app --scratch-path $build"
    mkdir -p "$build"
    # Reads the views, too, which are not compiled where there is no SwiftUI.
    lint examples/notes-app
    build_package --build-tests
    run "$build/debug/NotesApp" --demo
    grep -q '^with notes: .* third stone' "$build/log"
    test_package
    ;;
  *) echo "usage: check-swift.sh build|test|consume|notes-app build-directory [...]" >&2; exit 2 ;;
esac
