#!/bin/sh
# What bf16 costs in accuracy: the demo's model and text, trained in f32 and in bf16 with the same seed;
# prints both validation losses, and fails when they differ by more than 0.5 %.
# usage: precision.sh build-directory work-directory [steps]
set -eu

build=$1
work=$2
steps=${3:-200}
limit=0.5

mkdir -p "$work"
"$build/examples/demo/corpus" 700000 > "$work/text.txt"

loss() {
  rm -rf "$work/$1"
  "$build/ane-train" train --config examples/demo/config.json --data "$work/text.txt" \
    --precision "$1" --steps "$steps" --eval-every "$steps" --eval-windows 256 \
    --checkpoint-root "$work/$1" --summary "$work/$1.json" > "$work/$1.txt"
  sed -n 's/^.*"val_loss_after":[[:space:]]*\([-0-9.eE+]*\),*$/\1/p' "$work/$1.json"
}

f32=$(loss f32)
bf16=$(loss bf16)
awk -v f32="$f32" -v bf16="$bf16" -v steps="$steps" -v limit="$limit" 'BEGIN {
  difference = 100 * (bf16 / f32 - 1)
  printf "validation loss after %d steps: f32 %.5f, bf16 %.5f: %+.3f %%\n", steps, f32, bf16, difference
  exit !(difference < limit && difference > -limit)
}' || { echo "expected a difference below $limit %" >&2; exit 1; }
