"""Checks of the cost model; `make ane-plan-check`. No Mac is needed, and no numbers change by the run.

    python3 bench/ane_plan/check.py LIBRARY FRAMEWORK FOLDER

The arithmetic is compared with closed forms, descriptions of published plans with the sizes that
their sources state, published steps with the errors that docs/neural-engine.md states, and the
reading of our programs with the library's and the emulator's own counts.
"""

import pathlib
import sys

import chips
import fit
import mil
import ours
import peer_steps
import peers
import record
import variants
from engine import Op, Program, linear

# Predicted over measured, less 1, as docs/neural-engine.md has it.
STATED = {
    ("dynamic, Stories110M", "M4"): +0.07,
    ("dynamic in fp32, Stories110M", "M4"): -0.02,
    ("dynamic, Qwen3-0.6B", "M4"): -0.11,
    ("static, Stories110M", "M4 Max"): -0.02,
    ("static, Stories110M", "M4"): -0.12,
    ("static, Stories110M", "M5"): -0.16,
    ("static, Stories110M", "M3 Ultra"): -0.00,
    ("static, Stories110M", "M1"): -0.08,
    ("static, forward alone", "M4 Max"): +0.08,
    ("static, forward alone", "M5"): -0.10,
    ("weights and gradients on the engine, 108 evaluations", "M4"): +0.18,
    ("weights and gradients on the engine, 87 evaluations", "M4"): +0.07,
    ("convolutions and sgemm, Small-15M", "M3 Pro"): +0.09,
    ("convolutions and sgemm, Stories-110M", "M3 Pro"): +0.07,
    ("convolutions and sgemm, Large-600M", "M3 Pro"): -0.07,
    ("convolutions and sgemm, XL-1B", "M3 Pro"): -0.31,
}

TEXT = """program(1.3)
{
    func block<ios18>(tensor<fp16, [1, 1, 4, 48]> i000_hidden, tensor<fp16, [1, 1, 8, 4]> i001_q_weight) {
        bool c_0 = const()[name = string("c_0"), val = bool(false)];
        bool c_1 = const()[name = string("c_1"), val = bool(true)];
        fp16 c_2 = const()[name = string("c_2"), val = fp16(0.5)];
        tensor<fp16, [1, 1, 4, 48]> mul_0 = mul(x = i000_hidden, y = i000_hidden)[name = string("mul_0")];
        tensor<fp16, [1, 1, 8, 48]> matmul_0 = matmul(x = i001_q_weight, y = mul_0, transpose_x = c_0, transpose_y = c_0)[name = string("matmul_0")];
        tensor<fp16, [1, 1, 8, 48]> mul_1 = mul(x = matmul_0, y = c_2)[name = string("mul_1")];
        tensor<fp16, [1, 1, 8, 48]> silu_0 = silu(x = mul_1)[name = string("silu_0")];
        tensor<fp16, [1, 8, 1, 48]> reshape_0 = reshape(x = silu_0, shape = c_3)[name = string("reshape_0")];
        tensor<fp16, [1, 2, 1, 48]> slice_by_size_0 = slice_by_size(x = reshape_0, begin = c_4, size = c_5)[name = string("slice_by_size_0")];
        tensor<fp16, [1, 8, 1, 48]> o000_out = add(x = reshape_0, y = slice_by_size_0)[name = string("o000_out")];
    } -> (o000_out);
}
"""

failures = []


def check(what, truth):
    print(f"  {'ok    ' if truth else 'FAILED'}  {what}")
    if not truth:
        failures.append(what)


def near(value, expected, tolerance=1e-9):
    return abs(value - expected) <= tolerance * abs(expected)


def rooflines():
    m4 = chips.M4
    flops, moved = 2.0 * 768 * 2048 * 256, 2 * 768 * 2048 + 2 * 256 * (768 + 2048)
    seconds = linear("", 768, 2048, 256, constant=True).seconds(m4)
    closed = m4.dispatch.value + max(flops / m4.convolution.value,
                                     moved / m4.port_bandwidth.value)
    check("one product: dispatch and the larger of two times", near(seconds, closed))
    two = Program("", (Op("a", 1e9, True), Op("b", 0, False, 54e6, 0), Op("c", 0, False, 0, 1e6)))
    closed = (m4.dispatch.value + 1e9 / m4.convolution.value + 54e6 / m4.port_bandwidth.value
              + 1e6 / m4.inner_bandwidth.value)
    check("ops follow each other", near(two.seconds(m4), closed))
    check("an op without work costs nothing", near(Program("", (Op("x"),)).seconds(m4),
                                                   m4.dispatch.value))


def late_state():
    """Of two of four layers, whose state the CPU writes from the loss on."""
    m4 = chips.M4
    program = Program("", (Op("a", 1e-3 * m4.convolution.value, True),))
    loss, backward = 2 * program.seconds(m4), 4 * program.seconds(m4)
    uses = tuple(ours.Use(*use) for use in (("forward", program, 4), ("loss", program, 2),
                                            ("backward", program, 4)))

    def backward_of(seconds):
        plan = ours.Plan("", uses, groups=4, late=seconds * m4.host_bandwidth.value)
        return plan.seconds(m4)["backward"]

    check("late state that ends with the loss costs nothing", near(backward_of(loss), backward))
    check("so does what is there when the last layer's gradients are",
          near(backward_of(loss + 0.75 * backward), backward))
    check("the engine waits for what is later",
          near(backward_of(loss + 2 * backward), backward + 1.25 * backward))


def reading():
    program, ports, unbounded = mil.read(TEXT)
    # Rows of 48 fp16 take 128 bytes at ports, of 4 take 64.
    check("ports in rows of 64 bytes", ports == (4 * 128 + 8 * 64, 8 * 128))
    check("ops that cost", [op.name for op in program.ops]
          == ["mul mul_0", "matmul matmul_0", "slice_by_size slice_by_size_0", "add o000_out"])
    check("what a sum makes can overflow", unbounded == ports[1])
    bounded = mil.read(TEXT.replace("= add(x = reshape_0, y = slice_by_size_0)",
                                    "= softmax(x = reshape_0, axis = c_6)"))[2]
    check("what a softmax makes cannot", bounded == 0)
    check("FLOPs of the product", program.total("flops") == 2 * 8 * 4 * 48)
    check("each port is read once", program.total("outer") == sum(ports))
    # mul: a second read and a result of 384; matmul: 384 and 768; the factor and the activation
    # belong to it; the slice: 192 of 768 read, and written; add: reads of 768 and 192.
    check("bytes between the ops",
          program.total("inner") == 384 + 384 + 384 + 768 + 2 * 192 + 768 + 192)
    check("the parameter's product is tagged", [op.tag for op in program.ops]
          == ["", "weights", "", ""])


def descriptions():
    """Sizes of surfaces as the sources of the peers have them."""
    s, t = peers.STORIES, 256
    forward, backward = peers.dynamic_programs(s, 4, False)
    sizes = {p.name: p.total("outer") for p in forward + backward}
    expected = {"sdpaFwd": 768 * (t + 4 * 768) * 4 + 6 * 768 * t * 4,
                "ffnW13": 768 * (t + 2 * 2048) * 4 + 3 * 2048 * t * 4,
                "ffnW2": 2048 * (t + 768) * 4 + 768 * t * 4,
                "ffnBwdW13t": 2048 * (2 * t + 2 * 768) * 4 + 768 * t * 4,
                "qkvBwd": 768 * (3 * t + 3 * 768) * 4 + 768 * t * 4}
    check("maderix's surfaces in fp32", all(sizes[name] == n for name, n in expected.items()))
    check("maderix's FLOPs of one direction", near(s.flops, 43487e6, 1e-3))
    forward, _ = peers.fspecii_programs(s, True)
    activations = forward[0].total("outer") - 2 * (s.attention + s.mlp)
    check("fspecii's fused outputs have 16128 channels",
          activations == 2 * t * (768 + 16128))
    check("fspecii's evaluations", [len(sum(peers.fspecii_programs(s, fused), [])) * 12
                                    + len(peers.classifier_programs(s, fused))
                                    for fused in (True, False)] == [87, 110])


def constants():
    report = fit.report()
    names = {"M4": chips.M4, "M4 Max": chips.M4_MAX, "M3 Pro": chips.M3_PRO,
             "M3 Ultra": chips.M3_ULTRA}
    for name, chip in names.items():
        for field, value in report[name].items():
            if isinstance(value, float):
                constant = getattr(chip, field)
                check(f"{name} {field} is what the fit says",
                      constant.origin != "fitted" or near(constant.value, value, 0.03))
    check("M4's points aside within 12 %", abs(report["M4"]["aside"]["largest"]) <= 0.12)
    stray = [f"{chip.name} {name}" for chip in chips.EVERY
             for name, constant in chip.constants().items()
             if not constant.low <= constant.value <= constant.high or not constant.source]
    check(f"every constant lies in its spread and has a source {' '.join(stray)}", not stray)


def published_steps():
    results = [r for r in peer_steps.results() if not r["fitted"]]
    for r in results:
        stated = STATED.get((r["name"], r["chip"]))
        check(f"{r['name']} on {r['chip']}: {r['error']:+.1%}",
              stated is not None and abs(r["error"] - stated) <= 0.0101)
    close = [r for r in results if abs(r["error"]) <= 0.25]
    check("the dynamic step on M4 and three more within 25 %",
          len(close) >= 4 and any(r["name"] == "dynamic, Stories110M" for r in close))


def records(library, framework, folder):
    folder = pathlib.Path(folder).resolve() / "ane_plan" / "check"
    for workload in ("stories110m full", "stories110m lora"):
        here = folder / workload.replace(" ", "-")
        here.mkdir(parents=True, exist_ok=True)
        log = record.run((library, framework, "m4"), here, workload, 2, record.SMALL_VOCABULARY)
        programs = [{"text": f"{log['trace']}/{name}.mil", "bytes": log["bytes"][name],
                     "evaluations": n} for name, n in log["evaluations"].items()]
        uses = list(ours.uses_of({"programs": programs}))
        flops = sum(use.evaluations * use.program.total("flops") for use in uses)
        # RoPE's halves of heads are swapped by a product with a constant. On the engine the same
        # product adds, which takes twice as much, and gradients want the sines' halves swapped too,
        # once a program: both layers are in one where their weights are constants. Where norms are
        # trained, a mean of each one's gradient is a product.
        is_full = workload.endswith("full")
        halves, sines = 2 * 64 * 768 * record.TOKENS, 2 * 64 * 64 * record.TOKENS
        means = (2 * 2 + 1) * 2 * 768 * record.TOKENS if is_full else 0
        added = 2 * (2 + 2) * halves + (2 if is_full else 1) * 2 * sines + means
        check(f"{workload}: FLOPs as the library counts them, and what joining ops adds",
              flops == log["engine_flops"] + added)
        outer = sum(use.outer() for use in uses)
        ports = sum(n * sum(log["bytes"][name]) for name, n in log["evaluations"].items())
        if is_full:
            s = record.SHAPES["stories110m"]
            heads = 2 * s["hidden_size"] * record.TOKENS ** 2
            weights = 2 * 2 * (4 * 768 ** 2 + 3 * 768 * 2048) * record.TOKENS
            head = 2 * record.SMALL_VOCABULARY * 768 * record.TOKENS
            check(f"{workload}: FLOPs in closed form", flops == added
                  + 3 * weights + 3 * head + 2 * (2 + 4) * heads + 2 * (2 + 2) * halves)
            matrices = (64 * 128, 64 * 128 + 64 * 64)  # of a layer's forward and backward pass
            check(f"{workload}: each port's bytes once, and the constants' in each pass of a layer",
                  outer == ports + 2 * 2 * sum(matrices))
        else:
            check(f"{workload}: constants beside the ports", outer > ports)
        check(f"{workload}: phases", {use.phase for use in uses} == {"forward", "loss", "backward"})
        plan = ours.Plan(workload, tuple(uses), trained=1e6, loss=1e6, optimizer=4e6,
                         update=28e6, first_update=6e6, groups=2)
        totals = [plan.total(chips.M4.end(which)) for which in ("good", "bad")]
        check(f"{workload}: the good end is faster than the bad one",
              totals[0] < plan.total(chips.M4) < totals[1])
        check(f"{workload}: no change of the plan costs evaluations",
              all(change(plan).evaluations() <= plan.evaluations()
                  for change in variants.CHANGES.values()))


def main():
    rooflines()
    late_state()
    reading()
    descriptions()
    constants()
    published_steps()
    records(*sys.argv[1:4])
    print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
