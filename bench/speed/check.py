"""Checks of the arithmetic of `make bench`; `make bench-check`. Nothing here depends on a time.

    python3 bench/speed/check.py LIBRARY

Counts are compared with sums made another way and with the library's own counts, order statistics
with NumPy's, and the taking of turns, the verdicts and the pictures with made-up measurements.
"""

import dataclasses
import pathlib
import sys
import tempfile
import xml.etree.ElementTree

import numpy as np

import acceptance
import counts
import generation
import ours
import report
import svg
import text
import turns
from spread import spread
from steps import OURS
from tables import Table
from workloads import SHAPES, WORKLOADS, Shape, Workload, make_folder, read_bf16

from library import COMPRESSION, Library, ModelConfig, QuantizeOptions, SessionOptions

SMALL = Shape(vocab_size=512, hidden_size=64, intermediate_size=160, layer_count=3, head_count=4,
              kv_head_count=2, head_dim=32, context_length=64, qk_norm=True)
failures = []
checks = 0


def check(what, truth):
    global checks
    checks += 1
    print(f"  {'ok    ' if truth else 'FAILED'}  {what}")
    if not truth:
        failures.append(what)


FULL = Workload("small", 0, 16, "f32", batch=2, custom=SMALL)
LORA = Workload("small", 4, 16, "bf16", batch=2, custom=SMALL)


def flops_one_by_one(workload):
    """Every product of a step, as the model's tensors and positions have them."""
    shape, tokens = workload.shape, workload.batch * workload.sequence
    total = {"forward": 0, "loss": 0, "backward": 0}
    for name, extents in shape.tensors():
        if len(extents) < 2 or "embed" in name or "lm_head" in name:
            continue
        rows, columns = extents
        once = 2 * tokens * rows * columns
        reads_lowest = ".layers.0." in name and any(
            f".{letter}_proj" in name for letter in "qkv")
        total["forward"] += once
        if workload.rank:
            low = 2 * tokens * workload.rank
            total["forward"] += low * columns + low * rows
            total["backward"] += 2 * low * rows + low * columns  # dB, d(Ax), dA
            if not reads_lowest:
                total["backward"] += once + low * columns
        else:
            total["backward"] += 2 * once
    for position in range(workload.sequence):
        for _ in range(position + 1):
            pair = 2 * shape.head_dim * shape.head_count * shape.layer_count * workload.batch
            total["forward"] += 2 * pair
            total["backward"] += 4 * pair
    head = 2 * tokens * shape.vocab_size * shape.hidden_size
    total["loss"] = head * (2 if workload.rank else 3)
    return total


def counted_flops():
    for workload in (FULL, LORA, WORKLOADS[0]):
        seen, expected = counts.flops(workload), flops_one_by_one(workload)
        check(f"FLOPs of {workload.name}: closed form and one by one",
              all(seen[phase] == expected[phase] for phase in expected)
              and seen["optimizer"] == seen["staging"] == 0)
    # 6 a weight and token is the rule of thumb, without attention (Kaplan et al. 2020, 2.1).
    big = Workload("stories110M", 0, 256, "f32")
    rule = 6 * big.tokens * counts.trained_weights(big)
    check("FLOPs of stories110M are 6 a weight and token and some attention",
          1 < sum(counts.flops(big).values()) / rule < 1.05)


def library_counts(path):
    """A step of the library: its products, and at most the whole squares of attention, with the
    scores made again for the backward pass."""
    for workload in (FULL, dataclasses.replace(LORA, precision="f32")):
        library = ours.open_session(path, workload, 1)
        ids = np.arange(2 * 17).reshape(2, 17)
        result = library.step(ids[:, :-1], ids[:, 1:])
        least = sum(counts.flops(workload).values())
        pairs = workload.batch * workload.sequence ** 2
        square = SMALL.layer_count * 2 * SMALL.query_size * pairs
        causal = square * (workload.sequence + 1) / (2 * workload.sequence)
        check(f"FLOPs of {workload.name} are what the library counts",
              least <= result.host_flops <= least - 6 * causal + 7 * square)
        weights = sum(parameter.element_count for parameter in library.parameters)
        check(f"weights that {workload.name} trains", counts.trained_weights(workload) == weights)
    for name, shape in SHAPES.items():
        full = sum(int(np.prod(extents)) for _, extents in shape.tensors())
        check(f"weights of {name}", counts.trained_weights(Workload(name, 0, 256, "f32")) == full)


def counted_bytes():
    full = counts.moved_bytes(FULL)
    tokens, size = 32, 4
    matrices = sum(rows * columns for _, rows, columns in SMALL.matrices())
    kept = {"input": 64, "q": 128, "k": 64, "v": 64, "attention": 128, "middle": 64, "gate": 160,
            "up": 160}
    layers = SMALL.layer_count * (matrices + tokens * sum(kept.values())) * size
    check("bytes of the forward pass", full["forward"] == layers + tokens * 64 * size)
    check("bytes of the loss", full["loss"] == 3 * 512 * 64 * size)
    gradients = 4 * (SMALL.layer_count * (matrices + 2 * 64 + 2 * 32) + 64)
    check("bytes of the backward pass", full["backward"] == layers + gradients)
    weights = counts.trained_weights(FULL)
    check("bytes of the optimizer", full["optimizer"] == 7 * 4 * weights)
    lora = counts.moved_bytes(LORA)
    trained = counts.trained_weights(LORA)
    check("bytes of an adapter in bf16",
          lora["forward"] == full["forward"] // 2 and lora["loss"] == 2 * 512 * 64 * 2
          and lora["backward"] == layers // 2 + 4 * trained and lora["optimizer"] == 30 * trained)


def rooflines():
    bandwidth = {"read": 1e9, "adamw": 2e9}
    work, moved = counts.flops(FULL), counts.moved_bytes(FULL)
    slow = counts.roofline(FULL, 1e3, bandwidth)
    fast = counts.roofline(FULL, 1e30, bandwidth)
    check("roofline of a slow processor is the products'",
          all(slow[phase] == work[phase] / 1e3 for phase in ("forward", "loss", "backward")))
    check("roofline of a fast processor is the memory's",
          fast["forward"] == moved["forward"] / 1e9
          and fast["optimizer"] == slow["optimizer"] == moved["optimizer"] / 2e9
          and fast["staging"] == 0)
    shapes = counts.products(FULL)
    check("the products of a step, each once", len(shapes) == len(set(shapes)) and all(
        shape in shapes for shape in ((32, 128, 64), (32, 64, 128), (160, 64, 32), (32, 512, 64))))


def decoded_bytes(path):
    """Of an 8-bit model: what the library says its matrices hold."""
    library = Library(path, ModelConfig(**SMALL.fields()), SessionOptions(),
                      quantize=QuantizeOptions(compression=COMPRESSION["int8_channel"]))
    held = sum(parameter.bytes for parameter in library.parameters if parameter.rank == 2)
    check("bytes of a decoded token in 8 bits",
          generation.bytes_of(SMALL, "int8", "f32") == held + 4 * SMALL.layer_count * 2 * 64 * (
              generation.PROMPT + generation.GENERATED // 2))
    held = sum(parameter.element_count for parameter in library.parameters if parameter.rank == 2)
    cache = SMALL.layer_count * 2 * 64 * (generation.PROMPT + generation.GENERATED // 2)
    check("bytes of a decoded token in bf16",
          generation.bytes_of(SMALL, "bf16", "bf16") == 2 * (held + cache))


class FakeMemory:
    """Faster every time."""
    rate = 0

    def bandwidth_now(self):
        self.rate += 100
        return {"read": self.rate}


class FakeWriter:
    """Slower every time, so that a share tells which bandwidth it counts against."""
    def __init__(self, memory):
        self.memory = memory

    def run(self, steps):
        return [{"decode": 1 + self.memory.rate / 100, "prefill": 1}] * steps


def decoding_turns():
    memory = FakeMemory()
    records, bandwidths, shares = generation.take_turns(FakeWriter(memory), memory, 600, 0)
    check("decoding against the bandwidth right before",
          [entry["decode"] for entry in records] == [2, 3, 4] and bandwidths == [100, 200, 300]
          and shares == [3, 1, 0.5])


def statistics():
    generator = np.random.default_rng(5)
    for count in (1, 2, 5, 8):
        values = list(generator.standard_normal(count))
        seen = spread(values)
        expected = np.percentile(values, (0, 25, 50, 75, 100))
        names = ("min", "lower_quartile", "median", "upper_quartile", "max")
        check(f"order statistics of {count} values",
              np.allclose([seen[name] for name in names], expected) and seen["count"] == count)


def folders():
    with tempfile.TemporaryDirectory() as root:
        folder = make_folder(SMALL, pathlib.Path(root) / "small")
        tensors = dict(read_bf16(folder))
        check("a folder of random weights is read as it was written",
              {name: tuple(values.shape) for name, values in tensors.items()}
              == {name: tuple(extents) for name, extents in SMALL.tensors()}
              and tensors["model.norm.weight"].tolist() == [0x3F80] * 64)


RUNNER = """
import sys
sys.path.insert(0, {folder!r})
from turns import serve
serve({{}}, lambda step: {{"seconds": {seconds}, "step": step}})
"""


def taking_turns():
    folder = str(pathlib.Path(turns.__file__).parent)

    def runner(name, seconds):
        source = RUNNER.format(folder=folder, seconds=seconds)
        return turns.Runner(name, [sys.executable, "-c", source], {})

    order = []

    class Watched(turns.Runner):
        def run(self, steps):
            order.append((self.name, steps))
            return super().run(steps)

    runners = [runner("fast", 0.25), runner("slow", 3.0)]
    for each in runners:
        each.__class__ = Watched
    seen = turns.take_turns(runners, 3, 1e9)
    check("a process reports when asked", runners[0].report() == {})
    for each in runners:
        each.stop()
    check("turns alternate and have about a second of steps", order == [
        ("fast", 1), ("fast", 1), ("slow", 1), ("fast", 4), ("slow", 1), ("slow", 1), ("fast", 4),
        ("fast", 4), ("slow", 1)])
    check("steps are numbered on, and those that warm up are left out",
          [record["step"] for record in seen.records["fast"]] == list(range(2, 14))
          and [record["step"] for record in runners[0].records] == list(range(14)))
    dying = turns.Runner("dying", [sys.executable, "-c", "print({})\nraise MemoryError('no more')"],
                         {})
    try:
        dying.run(1)
        check("a process that ends between turns", False)
    except turns.Missing as missing:
        check("a process that ends between turns", str(missing) == "MemoryError: no more")
    dying.stop()
    for source, reason in (("print('{\"missing\": \"no time\"}')", "no time"),
                           ("raise ValueError('no luck')", "ValueError: no luck")):
        try:
            turns.Runner("none", [sys.executable, "-c", source], {})
            check(f"a process that cannot measure: {reason}", False)
        except turns.Missing as missing:
            check(f"a process that cannot measure: {reason}", str(missing) == reason)


def made_up_summary():
    """Measurements of two workloads, one of which the library has not."""
    rows = []
    for precision, share in (("f32", 0.8), ("bf16", None)):
        workload = Workload("stories110M", 0, 256, precision)
        phases = {phase: 0.25 for phase in counts.PHASES}
        row = {"name": workload.name, **dataclasses.asdict(workload), "missing": {},
               "seconds": {"PyTorch 9.9": spread([3.0, 3.5, 4.0])}, "ratio": {}, "parity": {},
               "limits": {"peak": 1e12, "product_precision": "f32", "reason": None, "products": [],
                          "bandwidth": {"read": 3e10, "copy": 2e10, "adamw": 3e10}},
               "roofline": {phase: 0.2 for phase in counts.PHASES}}
        if share is None:
            row["missing"] = {OURS: "the library has no bf16"}
        else:
            row |= {"phases": phases, "share": {phase: share for phase in (*phases, "step")},
                    "ratio": {"PyTorch 9.9": 2.8}}
            row["seconds"][OURS] = spread([1.2, 1.25, 1.3])
            row["parity"] = {"PyTorch 9.9": {"steps": 8, "loss": 1e-7, "norm": 1e-4, "ok": True}}
        rows.append(row)
    return {"machine": {"model": "none", "threads": 2, "extensions": []}, "quick": True,
            "date": "2000-01-01", "pytorch": {"PyTorch 9.9": {"blas": "none",
                                                              "fused_attention": True}},
            "ane_plan": {"stories110m full": 60.4}, "steps": rows,
            "generation": [{"model": "stories110M", "rows": [
                {"precision": "bf16", "computed_in": "bf16", "decode_seconds": spread([0.01]),
                 "prefill_seconds": spread([0.001]), "bandwidth": spread([3e10]),
                 "bandwidth_share": spread([0.7, 0.8, 0.9])},
                {"precision": "int8", "computed_in": "f32", "missing": "no memory"}]}],
            "memory": [{"name": "a", "plan": {"total": 100e6}, "peak_bytes": 105e6, "ratio": 1.05},
                       {"name": "b", "missing": "<reason> & more"}]}


def verdicts():
    lines = {line.what: line for line in acceptance.checklist(made_up_summary())}
    expected = {
        "stories110M f32, whole step, against PyTorch 9.9": (acceptance.MISSED, "2.80 x"),
        "stories110M bf16, whole step, against PyTorch 9.9": (acceptance.UNKNOWN, ""),
        "stories110M f32, share of the roofline": (acceptance.MET, "80%"),
        "stories15M bf16, whole step, against PyTorch 9.9": (acceptance.NOT_RUN, ""),
        "decoding stories110M in bf16, share of bandwidth": (acceptance.MET, "80%"),
        "decoding stories110M in int8, share of bandwidth": (acceptance.UNKNOWN, ""),
        "peak memory over the plan, a": (acceptance.MET, "1.05 x"),
        "peak memory over the plan, b": (acceptance.UNKNOWN, ""),
        "the engine's step on M4, stories110m full, predicted": (acceptance.MISSED, "60 ms"),
    }
    for what, verdict in expected.items():
        check(f"verdict on {what}", (lines[what].verdict, lines[what].figure) == verdict)


def verdicts_in_bf16():
    summary = made_up_summary()
    row = summary["steps"][0]
    row["precision"] = "bf16"

    def seen():
        return next(line.verdict for line in acceptance.checklist(summary)
                    if line.what == "stories110M bf16, share of the roofline")

    without, row["limits"]["product_precision"] = seen(), "bf16"
    check("a bound in bf16 wants products in bf16",
          (without, seen()) == (acceptance.UNKNOWN, acceptance.MET))


def verdicts_beyond_the_roofline():
    row = made_up_summary()["steps"][0]  # the roofline is 1 s, PyTorch 3.5 s, the ratio 2.8
    row["roofline"] = {phase: 1 / len(counts.PHASES) for phase in counts.PHASES}
    check("a miss that no step could avoid says so",
          [acceptance.judged_ratio(row, "", "", "PyTorch 9.9", limit).why for limit in (2, 3, 4)]
          == ["", "", "the roofline itself is 3.50 x"])


def verdicts_of_few_runs():
    def verdict(difference, error):
        seen = {"difference": difference, "error": error}
        return acceptance.judged_difference("", "", seen, 0.005).verdict

    check("a difference is judged as far as its error allows",
          [verdict(0.004, 0.0004), verdict(-0.004, 0.0004), verdict(0.02, 0.002),
           verdict(-0.02, 0.002), verdict(0.008, 0.002), verdict(-0.004, 0.002)]
          == [acceptance.MET] * 2 + [acceptance.MISSED] * 2 + [acceptance.UNKNOWN] * 2)


def tables():
    summary = made_up_summary()
    lines = text.step_table(summary["steps"], list(summary["pytorch"])).markdown()
    check("Markdown has the same columns in each row", len({line.count("|") for line in lines}) == 1
          and "| 1,250 ms | 3,500 ms | 2.80 x |" in lines[2])
    plain = Table(["a", "b"], [["1", "22"], ["333", "4"]]).text()
    check("columns of a table line up", len({len(line) for line in plain}) == 1)


def shapes_of(picture):
    """Elements of a picture by their tag; raises when it is not well-formed."""
    tree = xml.etree.ElementTree.fromstring(picture)
    elements = {}
    for element in tree.iter():
        elements.setdefault(element.tag.rpartition("}")[2], []).append(element.attrib)
    return elements


def pictures():
    seen = shapes_of(svg.bars("<a & b>", [("x & y", [svg.Bar("one", 2.0, 1.0, 4.0),
                                                     svg.Bar("two", 1.0)])], str,
                              ["one", "two"]))
    bars = [float(rect["width"]) for rect in seen["rect"]][-2:]
    room = svg.WIDTH - svg.LABELS - svg.VALUES
    check("bars are as long as their values, the longest whisker fits",
          bars == [room / 2, room / 4] and len(seen["path"]) == 1)
    seen = shapes_of(svg.stacks("s", [("a", {"p": 3.0, "q": 1.0}), ("b", {"p": 1.0, "q": 1.0})],
                                str))
    rects = [(float(rect["x"]), float(rect["width"])) for rect in seen["rect"]][-4:]
    check("parts of a stack lie end to end",
          rects[0] == (svg.LABELS, room * 0.75)
          and rects[1] == (svg.LABELS + room * 0.75, room * 0.25)
          and rects[3] == (svg.LABELS + room * 0.25, room * 0.25))
    seen = shapes_of(svg.lines("l", [("one", [(256, 1.0), (1024, 2.0)])], "size", str))
    first, last = (float(circle["cx"]) for circle in seen["circle"])
    low, high = (float(circle["cy"]) for circle in seen["circle"])
    bottom = svg.LINE_HEIGHT - svg.BOTTOM
    check("points of a line lie where their values are",
          first == svg.LEFT and last == svg.WIDTH - svg.RIGHT - svg.VALUES
          and abs((bottom - high) - 2 * (bottom - low)) < 0.11)
    check("ticks are round and reach the largest value",
          svg.round_steps(0.93) == [0.2 * i for i in range(6)]
          and svg.round_steps(50) == [0, 10, 20, 30, 40, 50]
          and svg.round_steps(7.1)[-1] == 8)


def pages():
    summary = made_up_summary()
    page = report.page(summary).partition("\n")[2]
    elements = shapes_of(page)
    check("the page is well-formed and has its plots", len(elements["svg"]) == 4)
    document = ("a\n<!-- bench: checklist -->\nold\n<!-- /bench -->\n"
                "<!-- bench: startup -->\nkept\n<!-- /bench -->\nz\n")
    filled = report.renewed(document, report.markdown_blocks(summary))
    check("a run renews what it measured and leaves the rest",
          "old" not in filled and "| to be shown | bound |" in filled and "\nkept\n" in filled
          and filled.startswith("a\n") and filled.endswith("\nz\n")
          and report.renewed(filled, report.markdown_blocks(summary)) == filled)


def main():
    path = sys.argv[1]
    counted_flops()
    library_counts(path)
    counted_bytes()
    rooflines()
    decoded_bytes(path)
    decoding_turns()
    statistics()
    folders()
    taking_turns()
    verdicts()
    verdicts_of_few_runs()
    verdicts_in_bf16()
    verdicts_beyond_the_roofline()
    tables()
    pictures()
    pages()
    print(f"{checks - len(failures)} passed, {len(failures)} failed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
