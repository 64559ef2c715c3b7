#!/bin/sh
# The example of fine-tuning in C, Python, Rust and Swift: the same losses to the last bit, the same
# answer and files. A language without its toolchain is named and left out; C and one more are needed.
# usage: [CARGO= SWIFT=] check-languages.sh build-directory python package-folder
set -eu

build=$1 python=$2 package=$3
work=$build/languages
rm -rf "$work"
mkdir -p "$work"

python3=${PYTHON:-python3}
"$python3" scripts/tiny_model.py "$work/tiny"
"$build/ane-train" train --tokenizer "$work/tiny/tokenizer" --data "$work/tiny/text.txt" --steps 1 \
  --model '{"hidden_size": 64, "intermediate_size": 160, "layer_count": 2, "head_count": 4}' \
  --sequence-length 32 --export "$work/tiny/base" > "$work/base"

set -- "C=$build/examples/07_finetune_jsonl"
if [ -d "$package" ]; then
  set -- "$@" "Python=env PYTHONPATH=$package $python examples/python/finetune.py"
else
  echo "Python is left out: its package was not built"
fi
if ${CARGO:-cargo} --version > /dev/null 2>&1; then
  ${CARGO:-cargo} build --quiet --release --offline --manifest-path examples/rust/Cargo.toml
  set -- "$@" "Rust=$CARGO_TARGET_DIR/release/finetune_jsonl"
else
  echo "Rust is left out: no cargo"
fi
if ${SWIFT:-swift} --version > /dev/null 2>&1; then
  ${SWIFT:-swift} build --package-path examples/swift/Finetune --scratch-path "$build/swift-example" \
    > "$work/swift" 2>&1 || { cat "$work/swift"; exit 1; }
  set -- "$@" "Swift=$build/swift-example/debug/Finetune"
else
  echo "Swift is left out: no swift"
fi
[ $# -gt 1 ] || { echo 'skipped: no toolchain but C'; exit 0; }

exec "$python3" scripts/check-languages.py "$work" "$work/tiny/base" "$work/tiny/chats" "$@"
