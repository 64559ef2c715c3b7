"""The limits of this machine, measured by machine.cpp."""

import os
import platform

import counts
from turns import output_of


class Machine:
    """A limit is the best that was seen in the run so far: what else the machine did meanwhile is
    none of it."""

    def __init__(self, program, threads):
        self.program, self.threads = str(program), threads
        self._best = {}

    def _ask(self, *arguments):
        return output_of([self.program, *map(str, arguments)])

    def _best_of(self, key, rate):
        self._best[key] = max(rate, self._best.get(key, 0))
        return self._best[key]

    def bandwidth_now(self, threads=None, megabytes=256):
        """Bytes a second by kind of traffic, as it is at this moment."""
        threads = threads or self.threads
        seen = self._ask("bandwidth", threads, megabytes)
        for kind, rate in seen.items():
            self._best_of((kind, threads), rate)
        return seen

    def bandwidth(self, threads=None, megabytes=256):
        threads = threads or self.threads
        return {kind: self._best[kind, threads]
                for kind in self.bandwidth_now(threads, megabytes)}

    def products(self, precision, shapes, threads=None):
        """FLOP/s of each shape, or the reason why this processor has none."""
        threads = threads or self.threads
        seen = self._ask("matmul", precision, threads,
                         *(":".join(map(str, shape)) for shape in shapes))
        for entry in seen["products"]:
            entry["flops_per_second"] = self._best_of(
                (precision, threads, *entry["shape"]), entry["flops_per_second"])
        return seen

    def of_workload(self, workload):
        """The limits at the shapes of a workload. Where oneDNN has no product in its precision,
        fp32's is the best that there is."""
        shapes, precision = counts.products(workload), workload.precision
        seen = self.products(precision, shapes)
        reason = seen.get("reason")
        if reason:
            precision, seen = "f32", self.products("f32", shapes)
        return {"products": seen["products"], "product_precision": precision, "reason": reason,
                "peak": max(entry["flops_per_second"] for entry in seen["products"]),
                "bandwidth": self.bandwidth()}

    def all_limits(self, workload):
        """Every precision at the shapes of a workload, and memory, on one thread and on all."""
        shapes = counts.products(workload)
        products, bandwidth = [], []
        for threads in sorted({1, self.threads}):
            bandwidth.append({"threads": threads, **self.bandwidth(threads)})
            for precision in ("f32", "bf16", "int8"):
                seen = self.products(precision, shapes, threads)
                products.append({"precision": precision, "threads": threads,
                                 "products": seen["products"], "reason": seen.get("reason")})
        return {"products": products, "bandwidth": bandwidth}


def describe(threads):
    """Processor, extensions that matter here, threads."""
    model, flags = platform.processor() or platform.machine(), set()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    model = value.strip()
                elif key.strip() in ("flags", "Features"):
                    flags = set(value.split())
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd",
             "bf16")
    return {"model": model, "threads": threads, "cores": os.cpu_count(),
            "extensions": [name for name in known if name in flags],
            "system": f"{platform.system()} {platform.machine()}"}
