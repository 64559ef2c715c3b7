"""Published steps, predicted part by part, with what was measured."""

from dataclasses import dataclass, field

import chips
import fit
import peers
from peers import QWEN, STORIES


@dataclass
class Step:
    name: str
    chip: chips.Chip
    measured: tuple            # milliseconds, lowest and highest published
    source: str
    predict: object            # of a chip: seconds by part
    parts: dict = field(default_factory=dict)  # milliseconds that were published, by part
    fitted: bool = False       # some of its constants were taken from it
    note: str = ""

    def result(self):
        parts = self.predict(self.chip)
        total = sum(parts.values()) * 1e3
        middle = sum(self.measured) / 2
        return {"name": self.name, "chip": self.chip.name, "source": self.source,
                "measured_ms": list(self.measured), "predicted_ms": total,
                "error": total / middle - 1, "fitted": self.fitted, "note": self.note,
                "parts_ms": {name: seconds * 1e3 for name, seconds in parts.items()},
                "published_parts_ms": self.parts}


def evaluate(programs, layers, chip):
    return layers * sum(program.seconds(chip) for program in programs)


def elements(s):
    return s.width * s.tokens * s.layers


def waiting(background, span):
    """What the main thread waits for the gradients that it left to another thread. `span` is the
    backward pass without its io, which competes with that thread for memory."""
    return max(0.0, background - span)


def dynamic(s, width, fused, vocabulary=9205, adam=False):
    """maderix's dynamic pipeline; the vocabulary is the compacted one.

    In the fp32 form weights are copied for every layer and step, else they lie in surfaces of their
    layer, and activations are converted."""
    def predict(chip):
        forward, backward = peers.dynamic_programs(s, width, fused)
        x, h = s.width * s.tokens, s.hidden * s.tokens
        if width == 4:
            io = sum(p.total("outer") for p in forward + backward) * s.layers
            io_seconds = 2 * io / peers.COPY
        else:
            q, kv = s.queries * s.tokens, s.keys * s.tokens
            converted = 14 * x + 6 * h + 4 * q + 4 * kv  # values that cross, both directions
            copied = 2 * (4 * s.scores + 8 * q)          # within fp16, read and written
            io_seconds = s.layers * (6 * converted / chip.copy_bandwidth.value
                                     + 2 * copied / peers.COPY)
        head = 2.0 * vocabulary * s.width * s.tokens
        engine_backward = evaluate(backward, s.layers, chip)
        norms = 2 * elements(s) * peers.NORM
        vectors_backward = (2 * elements(s) * peers.NORM_BACKWARD
                            + s.hidden * s.tokens * s.layers * peers.SILU_BACKWARD
                            + s.layers * 8 * (9 * x + 3 * h) / peers.COPY)
        parts = {
            "engine": evaluate(forward, s.layers, chip) + engine_backward,
            "io": io_seconds,
            "classifier": 2 * head / chip.host_product.value
                          + peers.LOSS_DYNAMIC * vocabulary * s.tokens,
            "vectors": norms + vectors_backward}
        parts["waiting"] = waiting((s.flops + head) / chip.host_product.value,
                                   engine_backward + vectors_backward)
        if adam:  # seven passes over fp32 and transposed copies, once in ten steps
            weights = s.layers * (s.attention + s.mlp) + vocabulary * s.width
            parts["optimizer"] = 0.1 * weights * (28 + 4 + 8) / chip.host_bandwidth.value
        return parts
    return predict


def static(s):
    """maderix's train_large: constants, and everything beside the convolutions on the CPU."""
    def predict(chip):
        forward, backward = peers.static_programs(s)
        x, h = s.width * s.tokens, s.hidden * s.tokens
        converted = (7 * x + 3 * h) + (7 * x + 2 * h)
        copied = 2 * (2 * h + 9 * x + 2 * s.scores)
        head = 2.0 * s.vocabulary * s.width * s.tokens
        engine_backward = evaluate(backward, s.layers, chip)
        vectors_backward = (2 * elements(s) * peers.NORM_BACKWARD
                            + s.layers * 8 * (9 * x + 3 * h) / peers.COPY)
        parts = {
            "engine": evaluate(forward, s.layers, chip) + engine_backward,
            "io": s.layers * (6 * converted / chip.copy_bandwidth.value + 2 * copied / peers.COPY),
            "classifier": 2 * head / chip.host_product.value,
            "vectors": peers.LOSS_STATIC * s.vocabulary * s.tokens + vectors_backward}
        parts["waiting"] = waiting((s.flops + head) / chip.host_product.value,
                                   engine_backward + vectors_backward)
        return parts
    return predict


def static_forward(s):
    """What train_large's timers cover: its forward pass alone."""
    def predict(chip):
        forward, _ = peers.static_programs(s)
        x, h = s.width * s.tokens, s.hidden * s.tokens
        return {"engine": evaluate(forward, s.layers, chip),
                "io": s.layers * 6 * (7 * x + 3 * h) / chip.copy_bandwidth.value,
                "classifier": 2.0 * s.vocabulary * s.width * s.tokens / chip.host_product.value,
                "vectors": peers.LOSS_STATIC * s.vocabulary * s.tokens}
    return predict


def fspecii(s, fused):
    def predict(chip):
        forward, backward = peers.fspecii_programs(s, fused)
        x, h, v = s.width * s.tokens, s.hidden * s.tokens, s.vocabulary * s.tokens
        copied = 2 * (6 * h + 14 * x + s.scores)         # taps from surface to surface, fp16
        converted = 6 * x
        head = 2.0 * s.vocabulary * s.width * s.tokens
        parts = {
            "engine": evaluate(forward + backward, s.layers, chip)
                      + evaluate(peers.classifier_programs(s, fused), 1, chip),
            "io": s.layers * (6 * converted / chip.copy_bandwidth.value + 2 * copied / peers.COPY)
                  + 6 * v / chip.copy_bandwidth.value,
            "vectors": 2 * elements(s) * peers.NORM_BACKWARD}
        if not fused:
            parts["classifier"] = head / chip.host_product.value
            weights = s.layers * (s.attention + s.mlp)   # Adam, once in ten steps
            parts["optimizer"] = 0.1 * weights * 30 / chip.host_bandwidth.value
        return parts
    return predict


def model_size(row):
    """slavko's synthetic plan: four evaluations a layer, then the gradients on the CPU."""
    def predict(chip):
        seconds = fit.model_size_seconds(row, chip.dispatch.value, chip.convolution.value,
                                         chip.port_bandwidth.value)
        return {"engine": seconds,
                "gradients": fit.model_size_flops(row) / chip.host_product.value}
    return predict


def steps():
    base = "maderix/ANE training/README.md"
    issue = "maderix/ANE issue #3, facts 7.6"
    slavko = "slavko ANE_M4_BENCHMARK 2.1"
    yield Step("dynamic, Stories110M", chips.M4, (91, 94.9), f"maderix README; {slavko}",
               dynamic(STORIES, 2, True, adam=True),
               {"engine": 37.3, "io": 15.5, "cpu": 32.3, "other": 9.8})
    yield Step("dynamic in fp32, Stories110M", chips.M4, (111, 111), base,
               dynamic(STORIES, 4, False))
    yield Step("dynamic in fp32, Stories110M", chips.M3_ULTRA, (115.4, 118.1),
               "maderix/ANE .../m3-ultra/raw/train_dynamic.log", dynamic(STORIES, 4, False),
               {"engine": 69.3, "io": 19.0, "classifier": 14.3, "vectors": 14.2}, fitted=True,
               note="rates of the CPU's vector passes are from this log")
    yield Step("dynamic, Qwen3-0.6B", chips.M4, (412, 412), "maderix README",
               dynamic(QWEN, 2, True, adam=True))
    yield Step("static, Stories110M", chips.M4_MAX, (62.9, 72), issue, static(STORIES))
    yield Step("static, Stories110M", chips.M4, (106.7, 106.7), base, static(STORIES))
    yield Step("static, Stories110M", chips.M5, (101, 120), issue, static(STORIES))
    yield Step("static, Stories110M", chips.M3_ULTRA, (78.1, 84.3), "train_large.log",
               static(STORIES))
    yield Step("static, Stories110M", chips.M1, (143, 167), issue + " (M1 Pro and Max)",
               static(STORIES), note="M1's constants; the runs were on M1 Pro and M1 Max")
    yield Step("static, forward alone", chips.M4_MAX, (26.6, 30.7), issue, static_forward(STORIES),
               {"engine": 10.2, "io": 4, "classifier": 5.5, "vectors": 12.5})
    yield Step("static, forward alone", chips.M5, (37.1, 40.2), issue, static_forward(STORIES),
               {"engine": 9.5, "io": 4.6, "classifier": 9.6, "vectors": 15})
    yield Step("weights and gradients on the engine, 108 evaluations", chips.M4, (57.7, 57.7),
               "fspecii/ane-trainer PLAN.md, plan C", fspecii(STORIES, False))
    yield Step("weights and gradients on the engine, 87 evaluations", chips.M4, (52, 52),
               "fspecii/ane-trainer README", fspecii(STORIES, True))
    for row in fit.M3_PRO_FIT + fit.M3_PRO_ASIDE:
        total = row[4] + row[5]
        yield Step(f"convolutions and sgemm, {row[0]}", chips.M3_PRO, (total, total),
                   "slavko ANE_MODEL_SIZE_BENCHMARK", model_size(row),
                   {"engine": row[4], "gradients": row[5]}, fitted=row in fit.M3_PRO_FIT)


def results():
    return [step.result() for step in steps()]


if __name__ == "__main__":
    for r in results():
        print(f"{r['name']:52} {r['chip']:8} {r['measured_ms']} {r['predicted_ms']:.1f} "
              f"{r['error']:+.0%} {'fit' if r['fitted'] else ''}")
        print("     ", {k: round(v, 1) for k, v in r["parts_ms"].items()}, r["published_parts_ms"])
