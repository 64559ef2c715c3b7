#!/usr/bin/env python3
"""The command's fine-tuning, end to end on a tiny model: an adapter over the model and over a
compressed copy, resumed, attached, measured, merged and converted; quantized models; and what it
says to bad input.
usage: check-cli-adapters.py build-directory"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_model

COMMAND = os.path.join(os.path.abspath(sys.argv[1]), "ane-train")
checks = 0
SHAPE = json.dumps({"hidden_size": 64, "intermediate_size": 96, "layer_count": 2, "head_count": 4,
                    "kv_head_count": 2, "context_length": 128, "tie_embeddings": True})


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit("check-cli-adapters: " + " ".join(str(part) for part in what))


def run(*arguments, expected=0):
    """The standard output of a command that must end with the code `expected`, and its errors."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=600)
    check(done.returncode == expected, "ane-train", *arguments, "ended with", done.returncode,
          "expected", expected, "\n", done.stdout, done.stderr)
    return done.stdout, done.stderr


def refuse(code, pattern, *arguments):
    out, err = run(*arguments, expected=code)
    check(pattern in err, "expected", repr(pattern), "of ane-train", *arguments, "\n", out, err)


def make_model(work):
    """A small chat model that has seen text, but no conversation."""
    tiny_model.write_all(work)
    base = os.path.join(work, "base")
    run("train", "--model", SHAPE, "--tokenizer", os.path.join(work, "tokenizer"), "--data",
        os.path.join(work, "text.txt"), "--steps", "60", "--sequence-length", "64",
        "--batch-size", "4", "--learning-rate", "3e-3", "--export", base)
    return base


def finetune(work, base, name, *options, steps=30):
    adapter = os.path.join(work, name)
    out, _ = run("finetune", "--model", base, "--data", os.path.join(work, "chats"), "--output",
                 adapter, "--steps", str(steps), "--sequence-length", "128", "--learning-rate",
                 "1e-2", *options)
    return adapter, out


def loss(work, *options):
    out, _ = run("eval", "--data", os.path.join(work, "chats"), "--part", "valid",
                 "--sequence-length", "128", "--json", *options)
    return json.loads(out)["loss"]


def read_json(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


def check_finetune(work, base):
    adapter, out = finetune(work, base, "adapter")
    # What nobody said is shown.
    for pattern in ("rank 8, alpha 16: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                    "down_proj of 2 layers", "cosine", "generate --model"):
        check(pattern in out, pattern, "in", out)
    config = read_json(adapter, "adapter_config.json")
    check((config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 8, 16), config)
    check(os.path.exists(os.path.join(adapter, "adapter_model.safetensors")), os.listdir(adapter))
    before = loss(work, "--model", base)
    after = loss(work, "--model", base, "--adapter", adapter)
    check(after < before / 2, before, after)
    half = loss(work, "--model", base, "--adapter", adapter + ":0.5")
    check(after < half < before, after, half, before)
    # The same run in two parts ends with the same adapter.
    out, _ = run("finetune", "--resume", "--checkpoint-root", adapter + "-checkpoints", "--steps",
                 "30")
    check("steps are done already" in out, out)
    refuse(1, "another run", "finetune", "--model", base, "--data", os.path.join(work, "chats"),
           "--output", adapter)
    for place, pattern in ((base, "has files"), (os.path.join(base, "config.json"), "no folder")):
        refuse(1, pattern, "finetune", "--model", base, "--data", os.path.join(work, "chats"),
               "--output", place)
        check(not os.path.exists(place + "-checkpoints"), place)
    # An adapter keeps its shape; flags that describe it are welcome, others are not ignored.
    resume = ("finetune", "--resume", "--checkpoint-root", adapter + "-checkpoints", "--steps")
    for options in (("--rank", "4"), ("--alpha", "3"), ("--dropout", "0.5"), ("--dora",),
                    ("--targets", "q_proj"), ("--layers", "1")):
        refuse(2, "the flags describe another", *resume, "31", *options)
    dropped = finetune(work, base, "dropped", "--dropout", "0.5", steps=1)[0]
    refuse(2, "the flags describe another", "finetune", "--resume", "--checkpoint-root",
           dropped + "-checkpoints", "--steps", "2", "--dropout", "0")
    run(*resume, "30", "--dropout", "0", "--alpha", "16")
    refuse(2, "at least one layer", *resume, "31", "--layers", "0")
    # A model that has moved is found where the flag says, also by the next run.
    moved = os.path.join(work, "moved")
    shutil.copytree(base, moved)
    kept = os.path.join(work, "kept")
    run(*resume, "31", "--rank", "8", "--model", moved, "--output", kept)
    state = read_json(adapter + "-checkpoints", "step-00000031", "state.json")
    check(state["sections"]["properties"]["model"] == moved, state["sections"]["properties"])
    check(read_json(kept, "adapter_config.json")["base_model_name_or_path"] == moved, kept)
    return adapter, before, after


def check_options(work, base):
    _, out = finetune(work, base, "options", "--rank", "4", "--alpha", "4", "--rslora", "--dora",
                      "--dropout", "0.1", "--targets", "q_proj,up_proj", "--layers", "1",
                      "--rank-pattern", "up_proj=2:6", "--checkpoint-root",
                      os.path.join(work, "options-run"), steps=4)
    check("rank 4, alpha 4, rsLoRA, DoRA, dropout 0.10: q_proj, up_proj of 1 layers" in out, out)
    config = read_json(work, "options", "adapter_config.json")
    check(config["use_rslora"] and config["use_dora"], config)
    check(list(config["rank_pattern"].values()) == [2], config)
    full = os.path.join(work, "full")
    out, _ = run("finetune", "--full", "--trainable", "layers.1.*,norm.weight", "--model", base,
                 "--data", os.path.join(work, "chats"), "--steps", "4", "--sequence-length", "128",
                 "--checkpoint-root", full)
    check("trained layers.1.*,norm.weight" in out, out)
    resume = ("finetune", "--resume", "--checkpoint-root", full, "--steps")
    run(*resume, "6")
    run(*resume, "7", "--full", "--trainable", "layers.1.*,norm.weight")
    for patterns in ("norm.weight", "layers.*", ""):
        refuse(1, "optimizer", *resume, "8", "--full", "--trainable", patterns)
    check(not os.path.exists(os.path.join(full, "step-00000008")), os.listdir(full))
    refuse(1, "seen one of a model", "eval", "--model", base, "--adapter", full, "--data",
           os.path.join(work, "chats"))
    for options, text in ((("--full", "--rank", "2"), "no adapter"),
                          (("--full", "--dropout", "0"), "no adapter"),
                          (("--trainable", "norm.weight"), "--full"),
                          (("--targets", "q_prj"), "q_prj"),
                          (("--rank-pattern", "q_proj"), "PATTERN=RANK"),
                          (("--quantize", "int3"), "int8")):
        out, err = subprocess.Popen(
            [COMMAND, "finetune", "--model", base, "--data", os.path.join(work, "chats"),
             *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=os.path.join(work, "tokenizer")).communicate()
        check(text in err, options, err, out)
    refuse(2, "--model is required", "finetune", "--data", "x")
    refuse(2, "from files", "finetune", "--model", "tiny", "--data", "x")


def check_quantized_base(work, base, before, after):
    for scheme, limit in (("int8", 1.05), ("int4", 1.3)):
        adapter, _ = finetune(work, base, "over-" + scheme, "--quantize", scheme)
        small = os.path.join(work, scheme + ".safetensors")
        run("quantize", "--model", base, "--scheme", scheme, "--output", small)
        tuned = loss(work, "--model", small, "--tokenizer", os.path.join(work, "tokenizer"),
                     "--adapter", adapter)
        check(tuned < before / 2 and tuned < after * limit + 0.05, scheme, before, after, tuned)
        out, _ = run("info", small)
        check(("int8_channel" if scheme == "int8" else "int4_block:32") in out, out)
        # A run over a compressed model remembers how it was compressed.
        out, _ = run("finetune", "--resume", "--checkpoint-root", adapter + "-checkpoints",
                     "--steps", "32")
        check("done after step 32" in out, out)


def check_quantize(work, base):
    chats = os.path.join(work, "chats")
    out, _ = run("quantize", "--model", base, "--scheme", "int4:16", "--override",
                 "*down_proj.weight=int8", "--override", "model.embed_tokens.weight=fp32",
                 "--eval", chats, "--sequence-length", "128", "--json")
    found = json.loads(out)
    schemes = {tensor["name"]: tensor["scheme"] for tensor in found["tensors"]}
    check(schemes["model.layers.0.mlp.down_proj.weight"] == "int8_channel", schemes)
    check(schemes["model.layers.0.mlp.up_proj.weight"] == "int4_block:16", schemes)
    check(schemes["model.embed_tokens.weight"] == "fp32", schemes)
    for tensor in found["tensors"]:
        if tensor["scheme"].startswith("int4"):
            check(tensor["bytes_after"] * 6 < tensor["bytes_before"], tensor)  # 5 bits of 32
            check(0 < tensor["relative_rms"] < 0.15, tensor)
    check(abs(found["loss_before"] - loss(work, "--model", base)) < 1e-4, found)
    check(math.isclose(found["perplexity_after"], math.exp(found["loss_after"])), found)
    out, _ = run("quantize", "--model", base, "--scheme", "palette4", "--eval", chats)
    for pattern in ("perplexity", "bits a weight", "palette4:1", "relative"):
        check(pattern in out, pattern, "in", out)
    refuse(2, "--scheme is required", "quantize", "--model", base)
    refuse(2, "did you mean", "quantize", "--model", base, "--scheme", "int88")
    refuse(1, "no_such", "quantize", "--model", base, "--scheme", "int8", "--override",
           "no_such=int4")


def check_adapters(work, base, adapter, after):
    out, _ = run("adapters", "list", "--model", base, adapter, adapter + "-checkpoints")
    check(out.count("rank 8, alpha 16") == 2, out)
    out, _ = run("adapters", "list", "--model", base, os.path.join(work, "absent"), expected=1)
    check("cannot be used" in out, out)
    merged = os.path.join(work, "merged")
    run("adapters", "merge", "--model", base, "--adapter", adapter, "--output", merged)
    check(abs(loss(work, "--model", merged) - after) < 1e-4, after)
    mlx, back = os.path.join(work, "mlx"), os.path.join(work, "back")
    run("adapters", "convert", "--model", base, adapter, "--output", mlx, "--format", "mlx")
    check(os.path.exists(os.path.join(mlx, "adapters.safetensors")), os.listdir(mlx))
    run("adapters", "convert", "--model", base, mlx, "--output", back)
    check(abs(loss(work, "--model", base, "--adapter", back) - after) < 1e-5, after)
    gguf = os.path.join(work, "adapter.gguf")
    run("adapters", "convert", "--model", base, adapter, "--output", gguf, "--format", "gguf",
        "--type", "fp16")
    with open(gguf, "rb") as file:
        check(file.read(4) == b"GGUF", gguf)
    greedy = ("--temperature", "0", "--max-tokens", "20", "--chat", "--prompt", "What is after 3?")
    attached, _ = run("generate", "--model", base, "--adapter", adapter, *greedy)
    whole, _ = run("generate", "--model", merged, *greedy)
    check(attached == whole, attached, whole)
    plain, _ = run("generate", "--model", base, *greedy)
    check(plain != attached, plain)
    run("generate", "--model", base, "--adapter", adapter + ":0.5", "--adapter", back + ":0.5",
        *greedy)
    # What is added is taken away again.
    none = loss(work, "--model", base, "--adapter", adapter, "--adapter", back + ":-1")
    check(abs(none - loss(work, "--model", base)) < 1e-4, none)
    refuse(2, "--adapter is required", "adapters", "merge", "--model", base, "--output", merged)
    refuse(2, "did you mean 'mlx'", "adapters", "convert", "--model", base, adapter, "--output",
           back, "--format", "mlxx")
    refuse(2, "list, merge or convert", "adapters", "lst")
    for arguments in (("adapters", "list"), ("adapters", "merge"), ("adapters", "convert"),
                      ("finetune",), ("quantize",)):
        check("usage: ane-train " + " ".join(arguments) in run(*arguments, "--help")[0], arguments)


def main():
    with tempfile.TemporaryDirectory() as work:
        base = make_model(work)
        adapter, before, after = check_finetune(work, base)
        check_options(work, base)
        check_quantized_base(work, base, before, after)
        check_quantize(work, base)
        check_adapters(work, base, adapter, after)
    print(f"{checks} checks")


main()
