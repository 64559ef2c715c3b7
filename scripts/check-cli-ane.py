#!/usr/bin/env python3
"""`ane-train doctor` and `ane-train bench-device` say what docs/neural-engine.md promises: on the
CPU, without a framework, and on the emulated framework, healthy and broken. The other commands
train and write on the emulated framework, and tell where the work ran.
usage: check-cli-ane.py build-directory"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
COMMAND = os.path.join(BUILD, "ane-train")
EMULATOR = os.path.join(BUILD, "libane_emulator.so")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
checks = 0


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit("check-cli-ane: " + " ".join(str(part) for part in what))


def run(*arguments, expected, emulator=""):
    """The output of a command that must end with the code `expected`. Probes are not cached."""
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, ANE_EMULATOR=emulator, XDG_CACHE_HOME=cache, HOME=cache)
        environment.pop("ANE_TRAIN_FRAMEWORK", None)
        done = subprocess.run([COMMAND, *arguments], env=environment, capture_output=True,
                              text=True, timeout=600)
    check(done.returncode == expected, "ane-train", *arguments, "ended with", done.returncode,
          "expected", expected, "\n", done.stdout, done.stderr)
    return done.stdout + done.stderr


def keys_of(value, skip=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in skip:
                yield key
                yield from keys_of(inner, skip)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, skip)


with open(os.path.join(ROOT, "docs", "neural-engine.md"), encoding="utf-8") as file:
    DOCUMENTED = set(re.findall(r"`([a-z0-9_]+)`", file.read()))


def check_documented(value):
    unknown = sorted(set(keys_of(value)) - DOCUMENTED)
    check(not unknown, "keys that docs/neural-engine.md does not mention:", unknown)


def doctor(*arguments, expected, emulator=""):
    found = json.loads(run("doctor", "--json", *arguments, expected=expected, emulator=emulator))
    check(found["schema"] == "ane-train doctor 1", found["schema"])
    check(found["verdict"]["exit_code"] == expected, found["verdict"])
    check(found["verdict"]["text"] and found["verdict"]["advice"], found["verdict"])
    check_documented(found)
    for training in found["training"]["runs"]:
        if "error" not in training:
            losses = training["losses"]
            check(len(losses) == found["training"]["steps"], training)
            check(all(math.isfinite(loss) for loss in losses) and losses[-1] < losses[0], losses)
    return found


def check_doctor_without_engine():
    absent = os.path.join(BUILD, "no-such-framework")
    found = doctor("--framework", absent, expected=3)
    check(found["verdict"]["state"] == "no engine", found["verdict"])
    check(found["device"]["available"] is False, found["device"])
    check("no-such-framework" in found["device"]["reason"], found["device"])
    check([r["device"] for r in found["training"]["runs"]] == ["cpu"], found["training"]["runs"])
    text = run("doctor", "--framework", absent, expected=3)
    check("training on the CPU works" in text, text)

    found = doctor("--device", "cpu", expected=0)
    check(found["verdict"]["state"] == "cpu works", found["verdict"])
    check([r["precision"] for r in found["training"]["runs"]] == ["f32", "f16"], found)


def check_doctor_with_engine():
    found = doctor("--framework", EMULATOR, expected=0)
    check(found["verdict"]["state"] == "engine works", found["verdict"])
    training = found["training"]
    check(training["largest_difference"] <= training["tolerance"] == 0.01, training)
    host, engine = training["runs"]
    check((host["device"], engine["device"]) == ("cpu", "ane"), training)
    check(engine["engine_share"] >= 0.95, engine["engine_share"])
    check(engine["evaluations"] > 0 and engine["fallbacks"] == 0, engine)
    check(any(k["where"].startswith("ane") for k in engine["kernels"]), engine["kernels"])
    check(all(k["reason"] for k in engine["kernels"] if k["where"] == "cpu"), engine["kernels"])
    report = found["device"]["report"]
    check(report["framework_path"] == EMULATOR and report["chip"], report)
    check(len(report["probes"]) >= 10, report["probes"])
    for probe in report["probes"]:
        check(probe["question"] and "answer" in probe, probe)
    check(report["slots"]["budget"] > report["slots"]["compilations"] > 0, report["slots"])
    check(report["slots"]["programs"] > 0, report["slots"])
    check(report["rules"], report)
    text = run("doctor", "--framework", EMULATOR, expected=0)
    check("the engine works" in text, text)
    check(report["probes"][0]["question"] in text, text)


def check_doctor_with_faults():
    # A class that a system update took away: no engine, and the reason names it.
    found = doctor("--framework", EMULATOR, expected=3, emulator="missing_class=_ANERequest")
    check("_ANERequest" in found["device"]["reason"], found["device"])
    # Nothing on the engine is not a success.
    found = doctor("--framework", EMULATOR, "--placement", "host", expected=1)
    check(found["verdict"]["state"] == "engine unused", found["verdict"])
    # From the middle of the training on: failures are made up for, wrong numbers are noticed, and
    # an audit keeps them out.
    found = doctor("--framework", EMULATOR, expected=1, emulator="fail_evaluate=60+")
    check(found["verdict"]["state"] == "engine falters", found["verdict"])
    check(found["training"]["largest_difference"] <= 0.01, found["training"])
    check(any("status=0x" in kernel["reason"] for kernel in found["training"]["runs"][1]["kernels"]),
          found["training"])
    found = doctor("--framework", EMULATOR, expected=1, emulator="corrupt_evaluate=60+")
    check(found["verdict"]["state"] == "engine differs", found["verdict"])
    found = doctor("--framework", EMULATOR, "--audit", "1", expected=1,
                   emulator="corrupt_evaluate=60+")
    check(found["verdict"]["state"] == "engine falters", found["verdict"])
    check(found["training"]["largest_difference"] <= 0.01, found["training"])
    check(sum(kernel["audits"] for kernel in found["training"]["runs"][1]["kernels"]) > 0, found)


def bench(*arguments, device, sweeps):
    with tempfile.TemporaryDirectory() as folder:
        results, page = os.path.join(folder, "b.json"), os.path.join(folder, "b.html")
        run("bench-device", "--quick", "--only", ",".join(sweeps), "--json", results, "--plot",
            page, *arguments, expected=0)
        with open(results, encoding="utf-8") as file:
            found = json.load(file)
        with open(page, encoding="utf-8") as file:
            html = file.read()
    check_documented(found)
    check(found["schema"] == "ane-train bench-device 1", found["schema"])
    check(found["device"]["name"] == device, found["device"])
    check([s["name"] for s in found["sweeps"]] == sweeps, found["sweeps"])
    check(html.endswith("</html>\n") and html.count("<figure>") == len(sweeps), html[-200:])
    for sweep in found["sweeps"]:
        for point in sweep["points"]:
            check_point(sweep, point)
    return found


def check_point(sweep, point):
    check(point["status"] in ("ok", "refused", "skipped"), point)
    check(point["series"] and point[sweep["x"]] > 0, point)
    if point["status"] != "ok":
        check(point["reason"], point)
        return
    check(point[sweep["value"]] > 0 and point["runs"] > 0, point)
    check(0 < point["seconds_fastest"] <= point["seconds"] <= point["seconds_p95"], point)
    if sweep["value"] == "flops_per_second":
        expected = point["flops"] / point["seconds"]
        check(math.isclose(point["flops_per_second"], expected, rel_tol=1e-9), point)


def points(found, sweep):
    return next(s for s in found["sweeps"] if s["name"] == sweep)["points"]


def check_bench():
    found = bench("--device", "cpu", "--seconds", "0.1", device="cpu",
                  sweeps=["dispatch", "forms", "in_flight", "copies"])
    check(all(p["status"] == "ok" for s in found["sweeps"] for p in s["points"]), found["sweeps"])
    # One 1x1 convolution of 16 by 16 channels at 32 positions.
    check(points(found, "dispatch")[0]["flops"] == 2 * 16 * 16 * 32, points(found, "dispatch")[0])
    check(found["summary"]["dispatch_seconds"] > 0, found["summary"])
    # What exceeds the memory is reported, not dropped. 128 MB of weights need four times as much.
    found = bench("--device", "cpu", "--seconds", "0.01", "--max-memory", "100M", device="cpu",
                  sweeps=["weight_size"])
    states = {p["megabytes"]: p["status"] for p in points(found, "weight_size")}
    check(states == {1: "ok", 8: "ok", 32: "skipped", 128: "skipped"}, states)

    found = bench("--device", "ane", "--framework", EMULATOR, "--seconds", "0.01", device="ane",
                  sweeps=["dispatch", "forms", "in_flight", "copies"])
    measured = [p for p in points(found, "forms") if p["status"] == "ok"]
    check(measured and all(p["where"] == "ane" for p in measured), points(found, "forms"))
    check(found["device"]["report"]["framework_path"] == EMULATOR, found["device"])


MODEL = json.dumps({"hidden_size": 64, "intermediate_size": 96, "layer_count": 2, "head_count": 4,
                    "context_length": 64, "tie_embeddings": True})


def train(folder, *arguments, emulator=""):
    """The text, the step records, the end record and the report of a short training."""
    data, log, report = (os.path.join(folder, name) for name in ("text.txt", "log", "report.html"))
    with open(data, "w", encoding="utf-8") as file:
        file.write("".join(f"{n} and one make {n + 1}.\n" for n in range(600)))
    text = run("train", "--model", MODEL, "--data", data, "--batch-size", "2", "--steps", "12",
               "--learning-rate", "0.003", "--log", log, "--report", report, "--checkpoint-root",
               os.path.join(folder, "checkpoints"), "--sample", "1 and", "--sample-tokens", "5",
               *arguments, expected=0, emulator=emulator)
    with open(log, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    with open(report, encoding="utf-8") as file:
        html = file.read()
    steps = [record for record in records if record["event"] == "step"]
    check(steps[-1]["loss"] < 0.9 * steps[0]["loss"], steps)
    check(records[-1]["event"] == "end", records[-1])
    check_start(records)
    check("Where the work ran" in html, html[:500])
    return text, steps, records[-1], html


def check_start(records):
    """Before the first step the log tells what is planned, and where the programs are."""
    start, kernels = records[0], records[1]
    check(start["event"] == "start" and start["first_step"] == 0, start)
    plan = dict(start["memory"])
    check(plan.pop("total") == sum(plan.values()) > 0, start)
    check(abs(time.time() - start["time"]) < 600, start)
    check(kernels["event"] == "kernels" and kernels["step"] == 0, kernels)
    check([k["label"] for k in kernels["kernels"]] == [k["label"] for k in records[-1]["kernels"]],
          kernels)
    steps = [record for record in records if record["event"] == "step"]
    check(plan["weights"] < steps[0]["peak_resident_bytes"] <= steps[-1]["peak_resident_bytes"],
          steps)


def check_training():
    with tempfile.TemporaryDirectory() as folder:
        engine = ("--device", "ane", "--framework", EMULATOR, "--placement", "engine")
        text, steps, end, html = train(folder, *engine)
        for step in steps:
            share = step["engine_flops"] / (step["engine_flops"] + step["host_flops"])
            check(step["engine_evaluations"] > 0 and share >= 0.95, step)
            check(0 < step["engine_seconds"] <= step["seconds"], step)
        # Evaluations and samples run programs of their own.
        total = sum(kernel["evaluations"] for kernel in end["kernels"])
        check(total > sum(step["engine_evaluations"] for step in steps), end)
        check("% of the FLOPs" in text and "0 fallbacks" in text, text)
        check("block_backward" in html and "Engine and CPU" in html, html[-3000:])

        checkpoints = os.path.join(folder, "checkpoints")
        out = run("generate", "--model", checkpoints, "--prompt", "1 and", "--temperature", "0",
                  "--max-tokens", "5", *engine, expected=0)
        check(out.startswith("1 and"), out)
        losses = [json.loads(run("eval", "--model", checkpoints, "--data",
                                 os.path.join(folder, "text.txt"), "--windows", "4", "--json",
                                 *where, expected=0))["loss"]
                  for where in (engine, ("--device", "cpu"))]
        check(math.isclose(*losses, rel_tol=0.01), losses)
    with tempfile.TemporaryDirectory() as folder:
        text, steps, end, html = train(folder, *engine, emulator="fail_evaluate=150+")
        check(sum(step["fallbacks"] for step in steps) > 0, steps)
        check("fell back to the CPU" in text and "status=0x" in text, text)
        check("status=0x" in html, html[-3000:])
    with tempfile.TemporaryDirectory() as folder:
        text, steps, end, _ = train(folder, "--device", "cpu")
        check(all(step["engine_evaluations"] == 0 < step["host_flops"] for step in steps), steps)
        check(all(kernel["where"] == "cpu" for kernel in end["kernels"]), end)


def check_devices():
    out = run("devices", "--framework", EMULATOR, expected=0)
    check("auto is ane" in out and "not available" not in out, out)
    out = run("devices", "--framework", os.path.join(BUILD, "no-such-framework"), expected=0)
    check("no-such-framework" in out and "auto is cpu" in out, out)


def check_usage():
    for pattern, arguments in (
            ("expects ane or cpu", ["doctor", "--device", "gpu"]),
            ("did you mean --json", ["doctor", "--jsn"]),
            ("did you mean 'depth'", ["bench-device", "--only", "dept"]),
            ("ends in .html", ["bench-device", "--plot", "plot.svg"]),
            ("a number above 0", ["bench-device", "--seconds", "-1"])):
        text = run(*arguments, expected=2)
        check(pattern in text, text)
    for name in ("doctor", "bench-device"):
        check(f"usage: ane-train {name}" in run(name, "--help", expected=0), name)
    text = run("bench-device", "--device", "ane", "--framework", "/no/such/file", expected=1)
    check("/no/such/file" in text, text)


check(os.path.exists(EMULATOR), EMULATOR, "is not there; make emulator")
check_usage()
check_doctor_without_engine()
check_doctor_with_engine()
check_doctor_with_faults()
check_bench()
check_training()
check_devices()
print(f"{checks} checks")
