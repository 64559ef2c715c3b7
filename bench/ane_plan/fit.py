"""The constants that are fitted, the points they are fitted on, and the points kept aside.

Points are single 1x1 convolutions and chains of them, weights as constants, from tables of others.
No training step of anybody is among the points of M4 and M4 Max. For M3 Pro the tables contradict
each other (0.35 ms and 0.23 ms for the same evaluation), so it is fitted on three of the seven
synthetic plans of slavko's table of model sizes; the other four are kept aside.
"""

import itertools
import math

from engine import linear

# Channels in, channels out, positions, milliseconds.
SLAVKO_M4_SWEEP = (  # slavko ANE_M4_BENCHMARK section 1, "Single Kernel Sweep"
    (256, 256, 64, .076), (512, 512, 64, .071), (1024, 1024, 64, .098), (2048, 2048, 64, .235),
    (768, 768, 256, .093), (2048, 768, 256, .242), (768, 2048, 256, .137),
    (1024, 1024, 256, .110), (2048, 2048, 128, .250))
TUXILLO_M4_BENCH = (  # maderix/ANE issue #3, Mac mini M4, "In-Memory ANE Benchmark"
    (256, 256, 64, .106), (512, 512, 64, .084), (1024, 1024, 64, .116), (2048, 2048, 64, .237),
    (3072, 3072, 64, .421), (4096, 4096, 64, 1.012))
SLAVKO_M4_LATENCY = (  # slavko ANE_M4_BENCHMARK section 4; kept aside
    (256, 256, 64, .079), (512, 512, 64, .074), (768, 768, 64, .089), (1024, 1024, 64, .102),
    (768, 3072, 64, .169), (3072, 768, 64, .175), (2048, 2048, 64, .231))
M4_MAX_BENCH = (  # facts 7.2, single convolutions on M4 Max
    (2560, 2560, 64, .237), (3072, 3072, 64, .335), (3584, 3584, 64, .414), (4608, 4608, 64, .563),
    (5120, 5120, 64, .66), (6144, 6144, 64, .84))

# Convolutions in a chain, channels, milliseconds; 64 positions. maderix/ANE benchmarks/submissions/
# m3-ultra-mac-studio-2026-03-03/raw/inmem_peak.log
M3_ULTRA_PEAK = ((64, 512, .355), (96, 512, .423), (128, 512, .531), (64, 256, .287),
                 (128, 256, .272), (256, 256, .439), (64, 384, .319), (128, 384, .369))

# Model, width, hidden, layers; milliseconds on the engine and of cblas, which is not overlapped.
# slavko ANE_MODEL_SIZE_BENCHMARK: four convolutions a layer and evaluation, seven sgemm a layer.
M3_PRO_FIT = (("Tiny-1M", 64, 256, 2, 1.0, 0.0), ("Medium-42M", 512, 1536, 8, 5.2, 8.8),
              ("Medium-250M", 1024, 2816, 16, 22.7, 76.7))
M3_PRO_ASIDE = (("Small-15M", 256, 768, 6, 3.8, 0.9), ("Stories-110M", 768, 2048, 12, 10.9, 28.3),
                ("Large-600M", 1024, 3072, 28, 38.2, 149.9),
                ("XL-1B", 2048, 5504, 22, 128.8, 569.4))
POSITIONS = 256


def convolution_seconds(point, dispatch, rate, bandwidth):
    columns, rows, positions, _ = point
    (op,) = linear("", rows, columns, positions, constant=True).ops
    return dispatch + max(op.flops / rate, op.outer / bandwidth)


def chain_seconds(point, dispatch, rate):
    """All links read one blob of weights, so their bytes say nothing."""
    count, channels, _ = point
    return dispatch + count * 2.0 * channels * channels * 64 / rate


def model_size_seconds(row, dispatch, rate, bandwidth):
    _, width, hidden, layers, _, _ = row
    shapes = ((width, width), (width, hidden), (hidden, width), (width, width))
    return layers * sum(convolution_seconds((a, b, POSITIONS, 0), dispatch, rate, bandwidth)
                        for a, b in shapes)


def model_size_flops(row):
    """Of the gradients of seven matrices a layer."""
    _, width, hidden, layers, _, _ = row
    return 2.0 * layers * (4 * width * width + 3 * width * hidden) * POSITIONS


def error(predicted, measured):
    return predicted / measured - 1


def spread(errors):
    errors = list(errors)
    return {"mean": sum(map(abs, errors)) / len(errors), "largest": max(errors, key=abs)}


def search(predict, points, measured, grids):
    """The point of the grids where the mean of |log(predicted / measured)| is least."""
    def badness(constants):
        return sum(abs(math.log(predict(point, *constants) / measured(point)))
                   for point in points)
    return min(itertools.product(*grids), key=badness)


def fit_m4():
    points = SLAVKO_M4_SWEEP + TUXILLO_M4_BENCH
    return search(convolution_seconds, points, lambda p: p[3] * 1e-3,
                  ([x * 1e-6 for x in range(60, 101, 5)], [x * 1e12 for x in range(8, 15)],
                   [x * 1e9 for x in range(40, 71, 2)]))


def fit_m4_max():
    """The bandwidth alone; the points are too large to show anything else."""
    return search(lambda p, b: convolution_seconds(p, 0.095e-3, 11.1e12, b), M4_MAX_BENCH,
                  lambda p: p[3] * 1e-3, ([x * 1e9 for x in range(50, 151, 5)],))


def fit_m3_pro():
    return search(model_size_seconds, M3_PRO_FIT, lambda p: p[4] * 1e-3,
                  ([x * 1e-6 for x in range(80, 201, 5)],
                   [x * 1e11 for x in range(40, 130, 2)],
                   [x * 1e9 for x in range(10, 61)]))


def fit_m3_ultra():
    return search(chain_seconds, M3_ULTRA_PEAK, lambda p: p[2] * 1e-3,
                  ([x * 1e-6 for x in range(150, 301, 10)], [x * 1e12 for x in range(6, 31)]))


def report():
    """What was fitted, and how well it does on the points kept aside."""
    m4, m3 = fit_m4(), fit_m3_pro()
    (m4_max,) = fit_m4_max()
    ultra = fit_m3_ultra()
    rates = [model_size_flops(row) / (row[5] * 1e-3) for row in M3_PRO_FIT if row[5]]
    return {
        "M4": {"dispatch": m4[0], "convolution": m4[1], "port_bandwidth": m4[2],
               "fitted_on": spread(error(convolution_seconds(p, *m4), p[3] * 1e-3)
                                   for p in SLAVKO_M4_SWEEP + TUXILLO_M4_BENCH),
               "aside": spread(error(convolution_seconds(p, *m4), p[3] * 1e-3)
                               for p in SLAVKO_M4_LATENCY)},
        "M4 Max": {"port_bandwidth": m4_max,
                   "fitted_on": spread(
                       error(convolution_seconds(p, 0.095e-3, 11.1e12, m4_max), p[3] * 1e-3)
                       for p in M4_MAX_BENCH)},
        "M3 Ultra": {"dispatch": ultra[0], "convolution": ultra[1],
                     "fitted_on": spread(error(chain_seconds(p, *ultra), p[2] * 1e-3)
                                         for p in M3_ULTRA_PEAK)},
        "M3 Pro": {"dispatch": m3[0], "convolution": m3[1], "port_bandwidth": m3[2],
                   "host_product": sum(rates) / len(rates),
                   "fitted_on": spread(error(model_size_seconds(p, *m3), p[4] * 1e-3)
                                       for p in M3_PRO_FIT),
                   "aside": spread(error(model_size_seconds(p, *m3), p[4] * 1e-3)
                                   for p in M3_PRO_ASIDE)}}


if __name__ == "__main__":
    import json
    print(json.dumps(report(), indent=2))
