#!/usr/bin/env python3
"""The command with models, conversations and texts of other tools, end to end on a tiny model:
make a model folder, check data, train on packed conversations, kill and resume, evaluate, write,
export and load what was exported. And what it says to bad input.
usage: check-cli-text.py build-directory"""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_model

BUILD = os.path.abspath(sys.argv[1])
COMMAND = os.path.join(BUILD, "ane-train")
checks = 0
SHAPE = json.dumps({"hidden_size": 64, "intermediate_size": 96, "layer_count": 2, "head_count": 4,
                    "kv_head_count": 2, "context_length": 128, "tie_embeddings": True})


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit("check-cli-text: " + " ".join(str(part) for part in what))


def run(*arguments, expected=0, text=""):
    """The standard output and error of a command that must end with the code `expected`."""
    done = subprocess.run([COMMAND, *arguments], input=text, capture_output=True, text=True,
                          timeout=600)
    check(done.returncode == expected, "ane-train", *arguments, "ended with", done.returncode,
          "expected", expected, "\n", done.stdout, done.stderr)
    return done.stdout, done.stderr


def refuse(code, pattern, *arguments, text=""):
    out, err = run(*arguments, expected=code, text=text)
    check(pattern in err, "expected", repr(pattern), "of ane-train", *arguments, "\n", out, err)
    check(err.startswith("ane-train: ") or "\nane-train: " in err, err)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def read_bytes(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def make_model(work):
    """A model folder as other tools write it: a new model with a tokenizer, exported."""
    tiny_model.write_all(work)
    base = os.path.join(work, "base")
    out, _ = run("train", "--model", SHAPE, "--tokenizer", os.path.join(work, "tokenizer"),
                 "--data", os.path.join(work, "text.txt"), "--steps", "2", "--sequence-length",
                 "64", "--batch-size", "2", "--export", base)
    check("exported " + base in out, out)
    files = set(os.listdir(base))
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        check(name in files, name, "in", files)
    out, _ = run("info", base)
    for pattern in ("hugging_face", "tokenizer.json (271 ids)", "ends a text        270,268",
                    "the model's"):
        check(pattern in out, pattern, "in", out)
    return base


# --- Tokens ---------------------------------------------------------------------------------------

def check_tokenize(work, base):
    # By hand: Ġthe is one token, 258; 'c', 'a', 't' are bytes; "on" is 261; <|im_end|> is 270.
    out, _ = run("tokenize", "--model", base, "--ids", "--text", " the cat on<|im_end|>",
                 "--special")
    vocab = tiny_model.vocabulary()
    space = vocab["Ġ"]
    expected = [vocab["Ġthe"], space, vocab["c"], vocab["a"], vocab["t"], space, vocab["on"], 270]
    check([int(word) for word in out.split()] == expected, out, expected)
    out, _ = run("tokenize", "--model", base, "--json", "--text", " the é")
    found = json.loads(out)
    check(found["ids"][0] == vocab["Ġthe"] and found["ranges"][0] == [0, 4], found)
    check(found["count"] == 4 and found["ranges"][2:] == [[5, 7], [5, 7]], found)
    out, _ = run("tokenize", "--model", base, "--decode", text=" ".join(map(str, found["ids"])))
    check(out == " the é\n", out)
    out, _ = run("tokenize", "--tokenizer", base, "--text", "<|im_end|>", "--ids")
    check("270" not in out and len(out.split()) > 5, out)  # not parsed unless asked for

    ids = os.path.join(work, "text.bin")
    run("tokenize", "--model", base, "--file", os.path.join(work, "text.txt"), "--output", ids)
    out, _ = run("tokenize", "--model", base, "--file", os.path.join(work, "text.txt"), "--ids")
    numbers = [int(word) for word in out.split()]
    check(read_bytes(ids) == b"".join(n.to_bytes(2, "little") for n in numbers), len(numbers))
    losses = [json.loads(run("eval", "--model", base, "--data", data, "--sequence-length", "64",
                             "--json")[0])["loss"]
              for data in (ids, os.path.join(work, "text.txt"))]
    check(losses[0] == losses[1], losses)


# --- Data -----------------------------------------------------------------------------------------

def count_tokens(base, text):
    return json.loads(run("tokenize", "--model", base, "--special", "--json", "--text",
                          text)[0])["count"]


def check_data(work, base):
    out, _ = run("data", "check", "--model", base, "--data", os.path.join(work, "chats"),
                 "--sequence-length", "128", "--json")
    found = json.loads(out)
    train, valid = found["parts"]
    check((train["part"], valid["part"]) == ("train", "valid"), found)
    check((train["examples"]["examples"], valid["examples"]["examples"]) == (60, 12), found)
    check(train["examples"]["kinds"] == {"messages": 60}, train["examples"])
    # Replies and the tokens that end them, and nothing else.
    turns = [message["content"] for number in range(60)
             for message in tiny_model.conversation(number)["messages"]
             if message["role"] == "assistant"]
    learned = count_tokens(base, "\n".join(turn + "<|im_end|>" for turn in turns)) - len(turns) + 1
    check(train["examples"]["supervised_tokens"] == learned, train["examples"], learned)
    check(train["examples"]["unusable_rows"] == 0, train["examples"])
    check(train["examples"]["round_trips"] == 60, train["examples"])
    check(train["rows"]["density"] > 0.5 and train["rows"]["truncated"] == 0, train["rows"])
    check(train["rows"]["supervised_tokens"] == learned, train["rows"])
    runs = train["samples"][0]
    said = [run["text"] for run in runs if run["supervised"]]
    check(said == ["After 0 there is 1.<|im_end|>", "After 1 there is 2.<|im_end|>"], runs)
    out, _ = run("data", "check", "--model", base, "--data", os.path.join(work, "chats"))
    check("[[After 0 there is 1.<|im_end|>]]" in out and "\033" not in out, out)

    # What cannot be used: by line, with the reason; the good rows count.
    bad = write(os.path.join(work, "bad.jsonl"), "\n".join([
        json.dumps(tiny_model.conversation(1)), "{", '{"messages": 3}', "",
        json.dumps({"messages": [{"role": "user", "content": "nobody answers"}]}),
        json.dumps(tiny_model.conversation(1)),
        json.dumps({"messages": [{"role": "user", "content": "<|im_end|>"},
                                 {"role": "assistant", "content": "so what"}]})]) + "\n")
    arguments = ("data", "check", "--model", base, "--data", bad, "--json")
    report = json.loads(run(*arguments)[0])["parts"][0]["examples"]
    check(report["examples"] == 3 and report["duplicates"] == 1, report)
    check([row["line"] for row in report["unusable"]] == [2, 3, 4, 5], report)
    check(report["spells_special"] == 1 and report["first_special"][0]["line"] == 7, report)
    run(*arguments, "--strict", expected=1)
    out, _ = run(*arguments[:-1], "--strict", expected=1)
    check("bad.jsonl:2:" in out and "note:" in out, out)
    return bad


# --- Training -------------------------------------------------------------------------------------

def train_arguments(work, base, root, steps):
    return ["train", "--model", base, "--data", os.path.join(work, "chats"), "--sequence-length",
            "128", "--batch-size", "2", "--steps", str(steps), "--learning-rate", "0.003",
            "--schedule", "cosine", "--save-every", "5", "--eval-every", "10", "--threads", "2",
            "--checkpoint-root", root, "--log", root + ".log"]


def kill_in_training(arguments, log):
    """SIGKILL in the middle: the log tells where the run is."""
    with subprocess.Popen([COMMAND, *arguments], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if os.path.exists(log) and read_bytes(log).count(b'"event":"step"') >= 7:
                process.kill()
                break
            time.sleep(0.002)
    check(process.returncode == -signal.SIGKILL, "ended with", process.returncode)


def same_state(first, second):
    for name in ("model.safetensors", "optimizer.safetensors"):
        check(read_bytes(first, name) == read_bytes(second, name), name, first, second)


def check_training(work, base):
    steps = 150
    whole, killed = (os.path.join(work, name) for name in ("whole", "killed"))
    report = os.path.join(work, "report.html")
    out, _ = run(*train_arguments(work, base, whole, steps), "--report", report, "--sample",
                 "What is after 7?", "--sample-every", "50", "--sample-tokens", "10", "--summary",
                 os.path.join(work, "summary.json"))
    check("packed rows" in out and "% full" in out and "done after step 150" in out, out)
    with open(os.path.join(work, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    check(summary["val_loss_after"] < 0.5 * summary["val_loss_before"], summary)
    check(math.isclose(summary["val_perplexity_after"], math.exp(summary["val_loss_after"])),
          summary)
    check(summary["layout"] == "packed" and 0.5 < summary["density"] <= 1, summary)
    with open(whole + ".log", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    check([r["step"] for r in records if r["event"] == "sample"] == [0, 50, 100, 150], records[-3:])
    check(records[0]["layout"] == "packed" and float(records[0]["density"]) > 0.5, records[0])
    check(records[-1]["reason"] == "done after step 150", records[-1])
    with open(report, encoding="utf-8") as file:
        html = file.read()
    check("perplexity" in html and "of packed rows is data" in html, html[-2000:])

    kill_in_training(train_arguments(work, base, killed, steps), killed + ".log")
    check(not os.path.exists(os.path.join(killed, f"step-{steps:08d}")), os.listdir(killed))
    # Nothing is repeated: model, tokenizer, data and layout are the checkpoint's.
    out, _ = run("train", "--resume", "--checkpoint-root", killed, "--threads", "2",
                 "--save-every", "5")
    check("resumed" in out and "packed rows" in out, out)
    same_state(os.path.join(whole, f"step-{steps:08d}"), os.path.join(killed, f"step-{steps:08d}"))

    # Other data are refused, and the message says what to do.
    other = os.path.join(work, "other")
    shutil.copytree(os.path.join(work, "chats"), other)
    with open(os.path.join(other, "train.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(tiny_model.conversation(1)) + "\n")
    again = ("train", "--resume", "--checkpoint-root", killed, "--data", other, "--steps",
             str(steps + 5), "--threads", "2")
    refuse(1, "--restart-data", *again)
    out, _ = run(*again, "--restart-data")
    check(f"done after step {steps + 5}" in out, out)
    return whole


def check_places(work, base, run_folder):
    """What cannot be written, or is another run's, is refused before anything is trained."""
    absent = os.path.join(work, "absent")
    text = os.path.join(work, "text.txt")
    arguments = ("train", "--model", base, "--data", text, "--sequence-length", "64", "--steps", "1")
    for options, pattern in ((("--report", os.path.join(absent, "report.html")), "no folder"),
                             (("--summary", work), "it is a folder"),
                             (("--log", os.path.join(absent, "log")), "no folder"),
                             (("--export", os.path.join(absent, "model")), "no folder"),
                             (("--export", text), "it is no folder"),
                             (("--export", work), "expected a new directory"),
                             (("--export", work, "--export-format", "gguf"), "it is a folder"),
                             (("--export", absent, "--export-companion", absent), "no folder"),
                             (("--checkpoint-root", text), "it is no folder"),
                             (("--checkpoint-root", run_folder), "of another run")):
        out, err = run(*arguments, *options, expected=1)
        check(options[0] in err + "--checkpoint-root" and pattern in err, options, err)
        check("step" not in out, options, out)
    inside = os.path.join(run_folder, "step-00000005")
    for resume in ((), ("--resume",)):
        refuse(1, "got the checkpoint", *arguments, "--checkpoint-root", inside, *resume)
    check(not os.path.exists(absent), absent)
    # The folders above checkpoints are made.
    deep = os.path.join(work, "deep", "er")
    run(*arguments, "--checkpoint-root", deep)
    check(os.path.exists(os.path.join(deep, "step-00000001")), deep)


def check_unexportable(work, base):
    """A model that the export's format cannot hold is refused before the training; what is at the
    path stays, and nothing is left beside it."""
    folder = os.path.join(work, "unexportable")
    os.mkdir(folder)
    earlier = write(os.path.join(folder, "model.out"), "earlier")
    text = ("--data", os.path.join(work, "text.txt"), "--sequence-length", "64", "--steps", "1")
    normed = os.path.join(work, "normed")
    shape = json.loads(SHAPE)
    run("train", "--model", json.dumps(shape | {"qk_norm": True}), *text, "--export", normed)
    both = json.dumps(shape | {"qk_norm": True, "qkv_bias": True})
    narrow = json.dumps(shape | {"hidden_size": 40, "head_dim": 10})
    for command, options, pattern in (
            (("train", "--model", normed), ("llama2c",), "qk_norm"),
            (("finetune", "--model", normed, "--output", os.path.join(folder, "adapter")),
             ("llama2c",), "qk_norm"),
            (("train", "--model", both), ("gguf",), "qkv_bias"),
            (("train", "--model", both), ("hugging-face",), "qkv_bias"),
            (("train", "--model", narrow), ("gguf", "--export-type", "q8_0"), "multiple of 32"),
            (("train", "--model", base), ("llama2c", "--export-companion", base), "tokenizer")):
        target = earlier if options[0] != "hugging-face" else os.path.join(folder, "new")
        out, err = run(*command, *text, "--export", target, "--export-format", *options, expected=1)
        check("ane-train: --export: " in err and pattern in err, options, err)
        check("validation loss" not in out, options, out)
        check(os.listdir(folder) == ["model.out"], os.listdir(folder))
    check(read_bytes(earlier) == b"earlier", earlier)


def check_full_disk(work):
    """A log that cannot grow any more ends the run, but what was trained is saved."""
    limit = 128 * 1024  # more than a checkpoint's file, less than the log of all steps

    def restrict():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    root = os.path.join(work, "full-disk")
    shape = ('{"hidden_size": 16, "intermediate_size": 16, "layer_count": 1, "head_count": 2, '
             '"context_length": 16, "tie_embeddings": true}')
    done = subprocess.run(
        [COMMAND, "train", "--model", shape, "--data", os.path.join(work, "text.txt"), "--steps",
         "2000", "--eval-every", "2000", "--checkpoint-root", root, "--log", root + ".log"],
        capture_output=True, text=True, timeout=600, preexec_fn=restrict)
    check(done.returncode == 1 and "cannot write" in done.stderr, done.returncode, done.stderr)
    check("saved below" in done.stdout, done.stdout)
    check(0 < int(os.listdir(root)[0].removeprefix("step-")) < 2000, os.listdir(root))


def check_resumed_settings(work, base):
    """Settings come back as they were given, and a flag replaces what it names, or says that it
    does not."""
    root = os.path.join(work, "settings")
    run("train", "--model", base, "--data", os.path.join(work, "text.txt"), "--sequence-length",
        "32", "--steps", "1", "--split", "4e-7", "--patience", "9", "--min-delta", "1e-12",
        "--checkpoint-root", root)
    resume = ("train", "--resume", "--checkpoint-root", root, "--steps")
    out, err = run(*resume, "2", "--schedule", "cosine")
    check("validation" in out and "done after step 2" in out and err == "", out, err)
    with open(os.path.join(root, "step-00000002", "state.json"), encoding="utf-8") as file:
        sections = json.load(file)["sections"]
    check(sections["session"]["total_steps"] == 2, sections["session"])
    check(sections["properties"]["split"] == "4e-07", sections["properties"])
    check(sections["properties"]["min_delta"] == "1e-12", sections["properties"])
    check(sections["properties"]["model"] == base, sections["properties"])
    check("--model is not used" in run(*resume, "3", "--model", "tiny")[1], "no note")
    check(run(*resume, "4", "--model", base)[1] == "", "a note")
    # What is given counts whatever its value, from a configuration file as well.
    check_resumed_zeros(work, base)


def check_resumed_zeros(work, base):
    root = os.path.join(work, "zeros")
    run("train", "--model", base, "--data", os.path.join(work, "text.txt"), "--sequence-length",
        "32", "--steps", "1", "--split", "0.1", "--patience", "9", "--min-delta", "0.5",
        "--document-separator", "\\n", "--strict", "--checkpoint-root", root)
    resume = ("train", "--resume", "--checkpoint-root", root, "--steps")

    def properties(step):
        with open(os.path.join(root, f"step-{step:08d}", "state.json"), encoding="utf-8") as file:
            return json.load(file)["sections"]["properties"]

    def kept(step):
        return [properties(step).get(key) or "" for key in ("patience", "min_delta", "split")]

    check(kept(1) == ["9", "0.5", "0.1"], properties(1))
    check(json.loads(properties(1)["data_options"])["strict"] == "true", properties(1))
    config = write(os.path.join(work, "zeros.json"),
                   json.dumps({"train": {"min_delta": 0, "strict": False}}))
    run(*resume, "2", "--config", config)
    check(kept(2) == ["9", "", "0.1"], properties(2))
    check(json.loads(properties(2)["data_options"])["strict"] == "false", properties(2))
    run(*resume, "3", "--min-delta", "0.25")
    check(kept(3) == ["9", "0.25", "0.1"], properties(3))
    # Without patience there is nothing that needs a delta, unless it is asked for.
    refuse(2, "--min-delta needs --patience", *resume, "4", "--patience", "0", "--min-delta", "1")
    run(*resume, "4", "--patience", "0", "--eval-every", "0")
    check(kept(4) == ["", "", "0.1"], properties(4))
    run(*resume, "5", "--split", "0", "--restart-data")
    check(kept(5) == ["", "", "0"], properties(5))


def check_layouts(work, base):
    """Every layout learns, bucketed rows included."""
    for layout in ("padded", "bucketed"):
        summary = os.path.join(work, layout + ".json")
        run("train", "--model", base, "--data", os.path.join(work, "chats"), "--layout", layout,
            "--sequence-length", "128", "--batch-size", "2", "--steps", "12", "--learning-rate",
            "0.003", "--summary", summary)
        with open(summary, encoding="utf-8") as file:
            found = json.load(file)
        check(found["layout"] == layout and found["val_loss_after"] < found["val_loss_before"],
              found)


def check_texts(work, base):
    """Documents of a text file, options from a configuration file, and Ctrl-C."""
    text, root = os.path.join(work, "text.txt"), os.path.join(work, "interrupted")
    config = write(os.path.join(work, "config.json"), json.dumps({
        "model": base, "session": {"sequence_length": 64, "batch_size": 2},
        "train": {"data": text, "document_separator": "\n", "layout": "padded", "split": 0,
                  "strict": True, "steps": 2}}))
    out, _ = run("train", "--config", config)
    check("400 examples in 400 padded rows" in out and "validation" not in out, out)
    out, _ = run("train", "--config", config, "--layout", "packed", "--split", "0.25")
    check("300 examples in" in out and "100 examples in" in out, out)
    log = root + ".log"
    with subprocess.Popen([COMMAND, "train", "--config", config, "--steps", "1000000",
                           "--checkpoint-root", root, "--log", log],
                          stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if os.path.exists(log) and read_bytes(log).count(b'"event":"step"') >= 3:
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.002)
        process.wait(timeout=120)
    check(process.returncode == 130, process.returncode)
    saved = sorted(os.listdir(root))[-1]
    out, _ = run("train", "--resume", "--checkpoint-root", root, "--steps",
                 str(int(saved[5:]) + 1))
    check("400 examples in 400 padded rows" in out, out)


def check_null_tokens(work):
    """Token files may hold the byte 0, which no text has."""
    tokens = os.path.join(work, "zeros.bin")
    with open(tokens, "wb") as file:
        file.write(bytes(128))
    out, _ = run("data", "check", "--tokenizer", "bytes", "--data", tokens, "--layout", "packed",
                 "--sequence-length", "8")
    check("\ufffd" in out, out)


def check_date(work, base):
    """A template that writes today's date: a run keeps the day on which it began."""
    root, data = os.path.join(work, "dated"), os.path.join(work, "chats")
    dated = write(os.path.join(work, "dated.jinja"),
                  "{{ strftime_now('%d %b %Y') }}\n" + tiny_model.TEMPLATE)
    run("train", "--model", base, "--data", data, "--chat-template", dated, "--sequence-length",
        "128", "--steps", "2", "--checkpoint-root", root)
    begun = time.time()
    time.sleep(1.1)
    out, _ = run("train", "--resume", "--checkpoint-root", root, "--steps", "3")
    check("done after step 3" in out, out)
    dates = set()
    for step in (2, 3):
        with open(os.path.join(root, f"step-{step:08d}", "state.json"), encoding="utf-8") as file:
            dates.add(json.load(file)["sections"]["properties"]["template_date"])
    check(len(dates) == 1 and begun - 600 < int(dates.pop()) <= begun, dates)


def check_evaluations(work, base):
    """How often the loss is taken: what was said, 0 included, else ten times in a run."""
    root = os.path.join(work, "evaluated")
    log = root + ".log"
    arguments = ("--model", base, "--data", os.path.join(work, "chats"), "--sequence-length", "128",
                 "--steps", "20", "--log", log)
    for command in (("train",), ("finetune", "--output", root)):
        for options, steps in ((("--eval-every", "0"), [0, 20]),
                               (("--eval-every", "7"), [0, 7, 14, 20]),
                               ((), list(range(0, 21, 2)))):
            run(*command, *arguments, *options)
            with open(log, encoding="utf-8") as file:
                records = [json.loads(line) for line in file]
            found = [record["step"] for record in records if record["event"] == "eval"]
            check(found == steps, command, options, found)
            shutil.rmtree(root + "-checkpoints", ignore_errors=True)
        refuse(2, "--eval-every 0", *command, *arguments, "--eval-every", "0", "--patience", "2")
    # Samples come with the evaluations, until it is said how often.
    for options, steps in (((), [0, 10, 20]), (("--sample-every", "7"), [0, 7, 14, 20]),
                           (("--sample-every", "0"), [0, 20])):
        run("train", *arguments, "--eval-every", "10", "--sample", "After", "--sample-tokens", "1",
            *options)
        with open(log, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        found = [record["step"] for record in records if record["event"] == "sample"]
        check(found == steps, options, found)
    refuse(2, "--sample-every needs", "train", *arguments, "--sample-every", "7")


def check_early_stop(work, base):
    """A rate that learns nothing stops after `patience` evaluations and exports the best."""
    root, tuned = os.path.join(work, "early"), os.path.join(work, "early-model")
    out, _ = run("train", "--model", base, "--data", os.path.join(work, "chats"),
                 "--sequence-length", "128", "--steps", "100", "--eval-every", "2", "--patience",
                 "3", "--min-delta", "5", "--checkpoint-root", root, "--export", tuned)
    # The first evaluation is the best; three more improve it by less than 5 nats.
    check("stopped early after step 8" in out and "in 3 evaluations" in out, out)
    check("best    loss" in out and "step-" in out, out)
    check(os.path.exists(os.path.join(tuned, "model.safetensors")), out)
    # A resumed run knows what stopped it.
    with open(os.path.join(root, "step-00000008", "state.json"), encoding="utf-8") as file:
        check(json.load(file)["sections"]["properties"]["patience"] == "3", root)
    refuse(2, "--eval-every 0", "train", "--resume", "--checkpoint-root", root, "--steps", "200",
           "--eval-every", "0")


# --- Writing and exporting ------------------------------------------------------------------------

def check_generate(work, model):
    greedy = ("--temperature", "0", "--max-tokens", "12")
    question = "What is after 5?"
    one, _ = run("generate", "--model", model, "--chat", "--prompt", question, *greedy)
    chat, _ = run("generate", "--model", model, "--chat", *greedy,
                  text=f"{question}\n/reset\n{question}\n/quit\nnever said\n")
    check(one.strip() and chat == one + one, repr(one), repr(chat))
    piped, _ = run("generate", "--model", model, "--chat", "--prompt", "-", *greedy,
                   text=question + "\n")
    check(piped == one, piped)
    # History counts: the second turn is not the first.
    two, _ = run("generate", "--model", model, "--chat", *greedy, text=f"{question}\n{question}\n")
    check(two.startswith(one), repr(two), repr(one))
    plain, _ = run("generate", "--model", model, "--prompt", "After", *greedy)
    check(plain.startswith("After"), plain)

    prompts = write(os.path.join(work, "prompts.jsonl"), "".join(
        json.dumps(record) + "\n" for record in (
            {"prompt": question},
            {"messages": [{"role": "user", "content": question}]},
            {"prompt": "What is after 9?"})))
    out, _ = run("generate", "--model", model, "--chat", "--prompts", prompts, "--batch-size", "2",
                 *greedy)
    found = [json.loads(line) for line in out.splitlines()]
    check(len(found) == 3 and found[0]["prompt"] == question, found)
    check([found[0]["text"] + "\n", found[1]["text"] + "\n"] == [one, one], found, one)
    check(all(record["finish"] in ("stop", "length") for record in found), found)
    for options in (("--min-p", "0.1"), ("--repetition-penalty", "1.2"), ("--top-k", "3")):
        first, second = (run("generate", "--model", model, "--prompt", "After", "--max-tokens", "9",
                             "--seed", "5", *options)[0] for _ in range(2))
        check(first == second, first, second)


def loss_of(path, data, *arguments):
    return json.loads(run("eval", "--model", path, "--data", data, "--json", *arguments)[0])


def check_eval(work, model):
    data = os.path.join(work, "chats")
    whole = loss_of(model, data)
    padded = loss_of(model, data, "--layout", "padded")
    check(whole["tokens"] == padded["tokens"], whole, padded)
    check(math.isclose(whole["loss"], padded["loss"], rel_tol=1e-5), whole, padded)
    check(math.isclose(whole["perplexity"], math.exp(whole["loss"]), rel_tol=1e-9), whole)
    out, err = run("eval", "--model", model, "--data", data, "--per-example")
    rows = [json.loads(line) for line in out.splitlines()]
    check([row["example"] for row in rows] == list(range(12)), rows)
    check(sum(row["tokens"] for row in rows) == whole["tokens"], rows)
    mean = sum(row["loss"] * row["tokens"] for row in rows) / whole["tokens"]
    check(math.isclose(mean, whole["loss"], rel_tol=1e-5), mean, whole)
    # Examples longer than a row, in pieces and cut off.
    split = [json.loads(line) for line in
             run("eval", "--model", model, "--data", data, "--per-example", "--sequence-length",
                 "32", "--long", "split")[0].splitlines()]
    check([row["tokens"] for row in split] == [row["tokens"] for row in rows], split, rows)
    cut = [json.loads(line) for line in
           run("eval", "--model", model, "--data", data, "--per-example", "--sequence-length",
               "64")[0].splitlines()]
    check(len(cut) == 12 and sum(r["tokens"] for r in cut) < whole["tokens"], cut)


def check_export(work, base, model):
    data = os.path.join(work, "chats")
    expected = loss_of(model, data)
    for name, limit, arguments in (
            ("hf", 1e-6, ("--format", "hugging-face")),
            ("hf-bf16", 0.02, ("--format", "hugging-face", "--type", "bf16")),
            ("model.gguf", 1e-6, ("--format", "gguf")),
            ("q8.gguf", 0.02, ("--format", "gguf", "--type", "q8_0")),
            ("model.bin", 1e-6, ("--format", "llama2c"))):
        path = os.path.join(work, "out-" + name)
        out, _ = run("export", "--model", model, "--output", path, *arguments)
        check("exported " + path in out, out)
        text = () if name.startswith("hf") else (
            "--tokenizer", base, "--chat-template", base)
        found = loss_of(path, data, *text)
        check(found["tokens"] == expected["tokens"], name, found, expected)
        check(math.isclose(found["loss"], expected["loss"], rel_tol=limit), name, found, expected)
        out, _ = run("info", path)
        check("parameters" in out and "format" in out, out)


def check_seeds(work, base):
    """Every number of 64 bits is a seed, in each command and in configuration files."""
    root, text = os.path.join(work, "seeds"), os.path.join(work, "text.txt")
    train = ("train", "--model", base, "--data", text, "--sequence-length", "32", "--steps", "1")
    generate = ("generate", "--model", base, "--prompt", "After", "--max-tokens", "9")
    limits = "--seed expects a number from 0 to 18446744073709551615"
    for seed in ("18446744073709551616", "-1", "+1", " 1", "1.5", "1e3", ""):
        refuse(2, f"{limits}, got '{seed}'", *train, "--seed", seed)
        refuse(2, f"{limits}, got '{seed}'", *generate, "--seed", seed)
    for seed in (0, 2**31, 10**15, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1):
        config = write(root + ".json", json.dumps(
            {"session": {"seed": seed if seed < 2**53 else str(seed)}}))
        for options in (("--seed", str(seed)), ("--config", config)):
            run(*train, "--checkpoint-root", root, *options)
            run("train", "--resume", "--checkpoint-root", root, "--steps", "2")
            with open(os.path.join(root, "step-00000002", "state.json"), encoding="utf-8") as file:
                check(json.load(file)["sections"]["session"]["seed"] == seed, options)
            shutil.rmtree(root)
    # What a double does not hold is not rounded in silence.
    for seed in (2**53, 2**53 + 1, 2**64 - 1):
        refuse(2, "only as a string", *train, "--config",
               write(root + ".json", json.dumps({"session": {"seed": seed}})))
    written = [run(*generate, "--seed", str(seed))[0] for seed in (2**64 - 1, 2**64 - 1, 2**32, 0)]
    check(written[0] == written[1] and len(set(written)) == 3, written)


# --- Bad input ------------------------------------------------------------------------------------

def check_bad_input(work, base, bad):
    chats, absent = os.path.join(work, "chats"), os.path.join(work, "absent")
    refuse(1, "absent", "train", "--model", base, "--data", absent)
    refuse(1, "absent", "eval", "--model", absent + "/", "--data", chats)
    refuse(1, "absent", "data", "check", "--model", base, "--data", absent)
    refuse(2, "chatlm", "train", "--model", base, "--data", chats, "--chat-template", "chatlm")
    broken = write(os.path.join(work, "broken.jinja"), "{% for message in messages %}")
    refuse(1, "line", "train", "--model", base, "--data", chats, "--chat-template", broken)
    refuse(1, "bad.jsonl", "train", "--model", base, "--data", bad, "--strict")
    refuse(1, "no chat template", "generate", "--model", base, "--chat", "--prompt", "hello",
           "--chat-template", "none")
    refuse(1, "special token", "generate", "--model", base, "--chat", "--prompt", "<|im_end|>")
    refuse(2, "did you mean 'packed'", "train", "--data", chats, "--layout", "paked")
    refuse(2, "did you mean --supervise", "train", "--data", chats, "--supervize", "last")
    refuse(2, "expects a JSON object", "train", "--data", chats, "--template-variables", "[1]")
    refuse(2, "--steps expects", "train", "--data", chats, "--steps", "0")
    refuse(2, "--learning-rate expects", "train", "--data", chats, "--learning-rate", "0")
    refuse(1, "a directory", "train", "--data", chats, "--config", chats)
    refuse(1, "--split 0", "train", "--data", os.path.join(work, "text.txt"), "--layout", "packed")
    refuse(2, "--scheme expects", "quantize", "--model", base, "--scheme", "int3")
    refuse(2, "--max-shard expects", "export", "--model", base, "--output", absent, "--max-shard",
           "many")
    refuse(2, "gguf", "export", "--model", base, "--output", absent, "--type", "q8_0")
    refuse(2, "--output is required", "export", "--model", base)
    refuse(2, "data expects `check`", "data", "chekc", "--data", chats)
    refuse(2, "--patience needs", "train", "--model", base, "--data", chats, "--split", "0",
           "--patience", "2")

    foreign = os.path.join(work, "foreign")
    shutil.copytree(base, foreign)
    path = os.path.join(foreign, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["architectures"], config["model_type"] = ["MambaForCausalLM"], "mamba"
    write(path, json.dumps(config))
    for command in (("train", "--data", chats), ("info",), ("export", "--output", absent)):
        where = ("--model", foreign) if command[0] != "info" else (foreign,)
        refuse(1, "Mamba", command[0], *where, *command[1:])
    for arguments in (("export",), ("tokenize",), ("data",)):
        check(f"usage: ane-train {arguments[0]}" in run(*arguments, "--help")[0], arguments)


def main():
    with tempfile.TemporaryDirectory() as work:
        base = make_model(work)
        check_tokenize(work, base)
        bad = check_data(work, base)
        model = check_training(work, base)
        check_places(work, base, model)
        check_unexportable(work, base)
        check_resumed_settings(work, base)
        check_full_disk(work)
        check_layouts(work, base)
        check_texts(work, base)
        check_null_tokens(work)
        check_date(work, base)
        check_evaluations(work, base)
        check_seeds(work, base)
        check_early_stop(work, base)
        check_generate(work, model)
        check_eval(work, model)
        check_export(work, base, model)
        check_bad_input(work, base, bad)
    print(f"{checks} checks")


main()
