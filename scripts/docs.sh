#!/bin/sh
# Writes the references of all languages as HTML to <output>/c, python, rust and swift. What a tool
# cannot read, or an item without a comment, is a failure; a language whose tool is not here is left
# out, and that is said.
# Environment: STAGE, an installed copy of the library; PYTHON, which has pdoc; PYTHON_PACKAGE, the
# folder of the built package; CARGO and SWIFT.
# usage: docs.sh <output>
set -eu

output=$1
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$root"
failed=
: "${CARGO:=cargo}" "${SWIFT:=swift}"

# Each is a condition of `if`, where -e does not hold.

document_c() {
  log=$output/doxygen.log
  { cat docs/Doxyfile; echo "OUTPUT_DIRECTORY = $output"; echo "HTML_OUTPUT = c"
    echo "WARN_LOGFILE = $log"; } | doxygen - &&
    # Fields and constants may speak for themselves.
    ! grep -v -e '(variable) of struct .* is not documented' \
      -e '(enumvalue) of file .* is not documented' "$log"
}

document_python() {
  PYTHONPATH=$PYTHON_PACKAGE "$PYTHON" -m pdoc -o "$output/python" ane_train
}

document_rust() {
  PKG_CONFIG_PATH=$STAGE/lib/pkgconfig RUSTDOCFLAGS='-D warnings' CARGO_TARGET_DIR=$output/rust \
    "$CARGO" doc -q --no-deps --offline --manifest-path rust/Cargo.toml
}

# DocC reads the symbols that the compiler writes, and the catalog beside the sources.
document_swift() {
  symbols=$output/swift-symbols
  log=$output/docc.log
  catalog=$(find swift/Sources/AneTrain -name '*.docc')
  rm -rf "$symbols-public" && mkdir -p "$symbols-public"
  # shellcheck disable=SC2086
  PKG_CONFIG_PATH=$STAGE/lib/pkgconfig LD_LIBRARY_PATH=$STAGE/lib "$SWIFT" build -q \
    --package-path swift --scratch-path "$output/swift-build" --target AneTrain \
    -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$symbols" &&
    cp "$symbols"/AneTrain.symbols.json "$symbols"/AneTrain@*.json "$symbols-public" &&
    docc convert $catalog --additional-symbol-graph-dir "$symbols-public" \
      --fallback-display-name AneTrain --fallback-bundle-identifier AneTrain \
      --output-path "$output/swift" > "$log" 2>&1 &&
    # Parameters may speak for themselves, too.
    ! grep -e '^warning: ' -e '^error: ' "$log" | grep -v "^warning: Parameter '.*' is missing doc"
}

document() { # language, what it needs, page
  command -v "$2" > /dev/null || { echo "skipped: $1, because there is no $2 here"; return; }
  if "document_$1"; then echo "$1: $output/$1/$3"; else failed="$failed $1"; fi
}

document c doxygen index.html
document python "$PYTHON" ane_train.html
document rust "$CARGO" doc/ane_train/index.html
document swift docc index.html

if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
