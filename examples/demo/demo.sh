#!/bin/sh
# The demo: trains a byte-level Llama from nothing on a generated text, shows what it writes before
# and after, then repeats the last steps from a checkpoint and compares every bit.
# Leaves summary.json and report.html in the work directory.
# usage: demo.sh build-directory work-directory
set -eu

build=$1
work=$2
ane_train=$build/ane-train
steps=400
resumed_steps=10

rm -rf "$work"
mkdir -p "$work/resumed"

echo "Writing a text to learn from"
"$build/examples/demo/corpus" 700000 > "$work/text.txt"

echo "Training"
"$ane_train" train \
  --config examples/demo/config.json \
  --data "$work/text.txt" \
  --steps $steps --save-every $((steps - resumed_steps)) --checkpoint-root "$work/checkpoints" \
  --log "$work/log.jsonl" --report "$work/report.html" --summary "$work/trained.json"

echo "Resuming from step $((steps - resumed_steps)) in a new process"
middle=$(printf 'step-%08d' $((steps - resumed_steps)))
last=$(printf 'step-%08d' $steps)
cp -R "$work/checkpoints/$middle" "$work/resumed/"
"$ane_train" train --resume --checkpoint-root "$work/resumed" > "$work/resumed.txt"

exact=true
for file in model.safetensors optimizer.safetensors; do
  cmp "$work/checkpoints/$last/$file" "$work/resumed/$last/$file" || exact=false
done

# The summary of the training, and the verdict on the resumed one.
sed -e '$d' "$work/trained.json" | sed -e '$s/$/,/' > "$work/summary.json"
printf '\t"resume_exact":\t%s\n}\n' $exact >> "$work/summary.json"

number() { sed -n "s/^.*\"$1\":[[:space:]]*\\([-0-9.eE+]*\\),*\$/\\1/p" "$work/summary.json"; }
before=$(number val_loss_before)
after=$(number val_loss_after)
echo
printf 'validation loss  %.3f before, %.3f after\n' "$before" "$after"
echo "resumed run      $([ $exact = true ] && echo 'equal bit for bit' || echo 'DIFFERENT')"
echo "report           $work/report.html"
echo "numbers          $work/summary.json"
echo "try              $ane_train generate --model $work/checkpoints --prompt 'One morning'"

# Chance is ln 258 = 5.55 nats a byte; knowing only how often each letter occurs gives about 2.9.
awk "BEGIN { exit !($after < 1.2 && $after < $before / 3) }" ||
  { echo "the loss did not fall enough" >&2; exit 1; }
[ $exact = true ]
