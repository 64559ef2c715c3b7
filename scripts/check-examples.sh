#!/bin/sh
# Every example and every command runs on a small text and says what it should.
# usage: check-examples.sh build-directory
set -eu

build=$1
work=$build/example-check
rm -rf "$work"
mkdir -p "$work"

expect() { # file, pattern
  grep -q -e "$2" "$1" || { echo "expected '$2' in:" >&2; cat "$1" >&2; exit 1; }
}
refuse() { # exit code, pattern, arguments of ane-train
  code=$1 pattern=$2
  shift 2
  status=0
  "$build/ane-train" "$@" > "$work/refused" 2>&1 || status=$?
  [ $status -eq "$code" ] || { echo "ane-train $* ended with $status, expected $code" >&2; exit 1; }
  expect "$work/refused" "$pattern"
}

i=0
while [ $i -lt 400 ]; do
  i=$((i + 1))
  echo "Line $i: the number after $i is $((i + 1))."
done > "$work/text.txt"

"$build/examples/01_devices" > "$work/01"
expect "$work/01" '^cpu *available'
"$build/examples/02_program" > "$work/02"
expect "$work/02" '^main: y = 86.5$' # 0.5 + 4 + 18 + 64
expect "$work/02" '^main_backward: d_w = 1 4 9 16$'
expect "$work/02" '^main_backward: d_x = 1 4 12 32$'
"$build/examples/03_train" "$work/text.txt" "$work/03_checkpoints" 2 > "$work/03"
expect "$work/03" 'validation loss'
"$build/examples/04_resume_generate" "$work/text.txt" "$work/03_checkpoints" "Line" 1 > "$work/04"
expect "$work/04" '^resumed after step 2$'

# A model folder as other tools write it: a new model with a tokenizer, exported.
"${PYTHON:-python3}" scripts/tiny_model.py "$work/tiny"
"$build/ane-train" train --tokenizer "$work/tiny/tokenizer" --data "$work/text.txt" --steps 1 \
  --model '{"hidden_size": 32, "intermediate_size": 64, "layer_count": 2, "head_count": 2}' \
  --sequence-length 32 --export "$work/tiny/base" > "$work/base"
expect "$work/base" '^exported'
"$build/examples/05_finetune_chat" "$work/tiny/base" "$work/tiny/chats/train.jsonl" \
  "$work/tiny/tuned" 10 > "$work/05"
expect "$work/05" '^54 conversations in'
expect "$work/05" '^done after step 10$'
"$build/ane-train" info "$work/tiny/tuned" > "$work/tuned"
expect "$work/tuned" 'tokenizer.json'

"$build/examples/06_finetune_adapter" "" "$work/adapter" 40 > "$work/06"
expect "$work/06" '^before:$'
expect "$work/06" '^loss .* after 40 steps$'
expect "$work/adapter/adapter_config.json" 'LORA'

"$build/examples/07_finetune_jsonl" "$work/tiny/base" "$work/tiny/chats" "$work/tiny/jsonl" 6 > "$work/07"
expect "$work/07" '^saved step-00000003$'
expect "$work/07" '^step  *6  loss'
expect "$work/07" '^wrote adapter and model.gguf$'

# What fails says why, not only that it does.
for example in 03_train 04_resume_generate 05_finetune_chat 06_finetune_adapter 07_finetune_jsonl; do
  "$build/examples/$example" "$work/absent" "$work/absent" "$work/absent" 1 2> "$work/failed" && exit 1
  expect "$work/failed" "$work/absent"
done

# The command: a run of six steps equals one of three that is resumed for three more.
options="--model stories260K --sequence-length 32 --batch-size 2 --eval-windows 4 --threads 2"
"$build/ane-train" train $options --data "$work/text.txt" --steps 6 --save-every 3 --sample Line \
  --checkpoint-root "$work/whole" --log "$work/log" --report "$work/report.html" \
  --summary "$work/summary.json" --schedule cosine --sample-tokens 8 > "$work/train"
expect "$work/train" '^done after step 6'
expect "$work/log" '"event":"end"'
expect "$work/report.html" '</html>'
expect "$work/summary.json" 'val_loss_after'
mkdir "$work/half"
cp -R "$work/whole/step-00000003" "$work/half/"
"$build/ane-train" train --resume --checkpoint-root "$work/half" --threads 2 > "$work/resume"
for file in model.safetensors optimizer.safetensors; do
  cmp "$work/whole/step-00000006/$file" "$work/half/step-00000006/$file"
done
"$build/ane-train" generate --model "$work/whole" --prompt "Line 1" --max-tokens 5 > "$work/generate"
expect "$work/generate" '^Line 1'
"$build/ane-train" eval --model "$work/whole" --data "$work/text.txt" --sequence-length 32 --json > "$work/eval"
expect "$work/eval" '"perplexity":'
"$build/ane-train" info "$work/whole" --tensors > "$work/info"
expect "$work/info" 'model.layers.0.self_attn.q_proj.weight'
"$build/ane-train" devices > "$work/devices"
expect "$work/devices" '^auto is '
for command in train finetune quantize adapters generate eval export tokenize data info devices doctor bench-device; do
  "$build/ane-train" $command --help > "$work/help"
  expect "$work/help" "^usage: ane-train $command"
done
refuse 2 'did you mean --learning-rate' train --lerning-rate 1
refuse 2 "did you mean 'tiny'" train --data "$work/text.txt" --model tinny
refuse 2 'expected one of constant' train --data "$work/text.txt" --schedule cosin
refuse 1 'max-memory' train --data "$work/text.txt" --max-memory 1M
refuse 1 'No such file' train --data "$work/absent.txt"
