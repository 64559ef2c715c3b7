"""What the chips are assumed to do: every constant with its source and its confidence.

Confidence: R, somebody's code or logs ran on hardware; C, somebody says so; I, our inference.
Origin: published, the number stands in the source; fitted, by fit.py on the points named there;
inferred, from another chip by the rule that is named. `low` and `high` are the spread of sources;
predictions are made with both ends too.

"facts 7.1" is a section of the collection of published facts that docs/neural-engine.md describes.
"""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Constant:
    value: float
    low: float
    high: float
    origin: str
    confidence: str
    source: str


@dataclass(frozen=True)
class Chip:
    name: str
    dispatch: Constant           # seconds of an evaluation before any work
    convolution: Constant        # FLOP/s of 1x1 convolutions
    product: Constant            # FLOP/s of matmul
    port_bandwidth: Constant     # bytes/s through ports, and of constants
    inner_bandwidth: Constant    # bytes/s between the ops of a program
    host_product: Constant       # fp32 FLOP/s of the CPU's matrix unit
    host_bandwidth: Constant     # bytes/s of the CPU, all threads
    copy_bandwidth: Constant     # bytes/s of one thread that converts fp32 and fp16
    memory_bandwidth: Constant   # bytes/s of everything together
    performance_cores: int

    def constants(self):
        """By name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Constant)}

    def end(self, which, only=None):
        """The chip at the good or the bad end of every constant's spread, or of one's."""
        def pick(name, constant):
            slow_is_high = name == "dispatch"
            high = (which == "bad") == slow_is_high
            return replace(constant, value=constant.high if high else constant.low)
        return replace(self, **{name: pick(name, constant)
                                for name, constant in self.constants().items()
                                if only in (None, name)})


def published(value, low, high, confidence, source):
    return Constant(value, low, high, "published", confidence, source)


def fitted(value, low, high, source):
    return Constant(value, low, high, "fitted", "R", source)


def inferred(value, low, high, source):
    return Constant(value, low, high, "inferred", "I", source)


# Ops of a streaming graph on M5: 107 to 147 GB/s each, whatever the tensor's size. Other chips by
# the ratio of their convolutions, as on-chip memory scales with cores and clock.
INNER_M5 = published(125e9, 107e9, 200e9, "R",
                     "electricapp/ane-bridge-rs docs/MIL-CONSTRAINTS.md: 107-147 GB/s an op, "
                     "about 200 on chip")


def inner(convolution):
    ratio = convolution / 12.3e12
    return inferred(INNER_M5.value * ratio, INNER_M5.low * ratio, INNER_M5.high * ratio,
                    "M5's 125 GB/s by the ratio of convolution rates")


COPY = inferred(45e9, 25e9, 60e9, "facts 7.3: memcpy 56-90, interleaved staging about 10 GB/s; "
                "facts 7.6: 4.2-5 ms for 213 MB of a static step's forward io on M5")

M1 = Chip(
    "M1",
    published(0.23e-3, 0.19e-3, 0.25e-3, "R", "facts 7.1, 7.4; sbryngelson/ane-guide ch. 9, 18"),
    published(3.25e12, 1.8e12, 5.5e12, "R", "facts 7.2, 7.4: fit of five convolutions"),
    published(4.3e12, 2.7e12, 4.8e12, "R", "sbryngelson/ANEForge ROOFLINES: two M1"),
    published(40e9, 9e9, 51e9, "R", "ane-guide ch. 18: 40 broad shapes, 51 weights, 9 in its fit"),
    inner(5.5e12),
    published(0.9e12, 0.7e12, 1.4e12, "R", "arXiv 2606.25426: Accelerate on M1"),
    published(59e9, 50e9, 60e9, "R", "arXiv 2502.05317: STREAM"),
    replace(COPY, value=30e9, low=12e9),
    published(68e9, 60e9, 68e9, "C", "Apple: 68 GB/s"),
    performance_cores=4)

M3_PRO = Chip(
    "M3 Pro",
    fitted(0.120e-3, 0.10e-3, 0.30e-3, "fit.py, M3 Pro; facts 7.1 has 140-300 us"),
    fitted(4.4e12, 3.5e12, 9.4e12, "fit.py, M3 Pro; facts 7.2 has 9.4-12.8 for deep chains"),
    inferred(3.4e12, 2.4e12, 4.4e12, "M2 Pro's GEMM, ANEForge ROOFLINES"),
    fitted(35e9, 20e9, 45e9, "fit.py, M3 Pro"),
    inner(12.8e12),
    fitted(1.45e12, 1.0e12, 1.6e12, "fit.py, M3 Pro; slavko ANE_M4_BENCHMARK: 1.449 average"),
    inferred(120e9, 90e9, 130e9, "M3's STREAM 92 of 100, by the 150 GB/s of M3 Pro"),
    COPY,
    published(150e9, 130e9, 150e9, "C", "Apple: 150 GB/s"),
    performance_cores=6)

M4 = Chip(
    "M4",
    fitted(0.070e-3, 0.07e-3, 0.106e-3, "fit.py, M4; facts 7.1 has 71-100 us"),
    fitted(10.0e12, 7.5e12, 13.9e12, "fit.py, M4; facts 7.2 has 7.5-13.9 for chains"),
    published(5.4e12, 5.0e12, 10.0e12, "R", "ANEForge ROOFLINES: M4 GEMM 5.44 TFLOP/s"),
    fitted(54e9, 45e9, 61e9, "fit.py, M4; facts 7.3 has 45-61 GB/s"),
    inner(12.3e12),
    published(1.33e12, 0.72e12, 1.77e12, "R", "slavko ANE_M4_BENCHMARK section 4: average of 7"),
    published(103e9, 68e9, 103e9, "R", "arXiv 2502.05317: STREAM; fspecii PLAN.md has 68"),
    COPY,
    published(120e9, 103e9, 120e9, "C", "Apple: 120 GB/s"),
    performance_cores=4)

M4_MAX = Chip(
    "M4 Max",
    published(0.095e-3, 0.095e-3, 0.175e-3, "R", "facts 7.1"),
    published(11.1e12, 8.8e12, 11.1e12, "R", "facts 7.2: inmem_peak"),
    published(8.9e12, 7.3e12, 8.9e12, "R", "ANEForge #271: GEMM 8.90; facts 7.2: rustane 7.3"),
    fitted(95e9, 54e9, 110e9, "fit.py, M4 Max"),
    inner(12.3e12),
    published(2.3e12, 2.1e12, 2.5e12, "R", "facts 7.6: 12.6 GFLOP of the classifier in 5-6 ms"),
    inferred(300e9, 200e9, 400e9, "two clusters at M4's rate and more, of Apple's 410-546 GB/s"),
    replace(COPY, value=55e9),
    published(410e9, 300e9, 546e9, "C", "Apple: 410 or 546 GB/s"),
    performance_cores=10)

M5 = Chip(
    "M5",
    published(0.060e-3, 0.06e-3, 0.11e-3, "R", "facts 7.1; ane-bridge-rs: 60 us"),
    published(12.3e12, 8.9e12, 15.0e12, "R", "facts 7.2: 12.2-12.4; 8.9 in 7.4, 15 in ane-bridge"),
    published(8.7e12, 4.0e12, 9.5e12, "R", "ANEForge ROOFLINES; ane-guide ch. 12: 9.5"),
    published(100e9, 57e9, 145e9, "R", "ane-bridge-rs: 100 DRAM; facts 7.4: 57; ch. 12: 145"),
    INNER_M5,
    published(1.3e12, 1.2e12, 1.9e12, "R", "facts 7.6: 12.6 GFLOP of the classifier in 9.6 ms"),
    published(130e9, 110e9, 130e9, "R", "ane-bridge-rs: host memory bandwidth"),
    COPY,
    published(153e9, 130e9, 153e9, "C", "Apple: 153 GB/s"),
    performance_cores=4)

# Not predicted for, but its log is the most detailed of all.
M3_ULTRA = Chip(
    "M3 Ultra",
    fitted(0.260e-3, 0.17e-3, 0.28e-3, "fit.py, M3 Ultra"),
    fitted(20.0e12, 8.1e12, 25.0e12, "fit.py, M3 Ultra: two dies"),
    replace(M3_PRO.product, source="as M3 Pro"),
    replace(M3_PRO.port_bandwidth, source="as M3 Pro"),
    inner(12.8e12),
    published(2.8e12, 2.5e12, 3.8e12, "R", "train_large.log: 12.6 GFLOP in 3.3-4.9 ms"),
    inferred(400e9, 300e9, 600e9, "of Apple's 819 GB/s"),
    replace(COPY, value=62e9, high=66e9, source="train_dynamic.log: 1.18 GB of io in 19 ms"),
    published(819e9, 600e9, 819e9, "C", "Apple: 819 GB/s"),
    performance_cores=20)

PREDICTED = (M1, M3_PRO, M4, M4_MAX, M5)
EVERY = (*PREDICTED, M3_ULTRA)
