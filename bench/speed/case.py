"""One session in a process of its own, which uses the library alone: times, plan, memory.

    python3 case.py LIBRARY CASE     prints one JSON object

CASE is JSON: "shape" (fields of Shape), "rank", "batch", "sequence", "precision", "threads", "steps",
and, where wanted, "parts" (sequences a row is cut into) and "folder" (weights; else random ones).
"""

import ctypes
import json
import subprocess
import sys
import time

import numpy as np

from ours import open_session, step_record
from workloads import Shape, Workload


def memory(field):
    """VmRSS: resident now, VmHWM: at most so far; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def run(path, case):
    before = memory("VmRSS")
    start = time.perf_counter()
    ctypes.CDLL(path)
    loaded = time.perf_counter()
    shape, parts = Shape(**case["shape"]), case.get("parts", 1)
    workload = Workload("", case["rank"], case["sequence"], case["precision"], case["batch"])
    library = open_session(path, workload, case["threads"], case.get("folder"), shape,
                           length_buckets=parts.bit_length() - 1)
    ready = time.perf_counter()
    ids = np.random.default_rng(1).integers(0, shape.vocab_size,
                                            (case["batch"], case["sequence"] + 1))
    records = [step_record(library.step(ids[:, :-1], ids[:, 1:], parts))
               for _ in range(case["steps"])]
    plan = library.memory_plan()
    peak = memory("VmHWM")
    return {"load_seconds": loaded - start, "ready_seconds": ready - loaded, "records": records,
            "plan": {name: getattr(plan, name) for name, _ in plan._fields_[2:]},
            "peak_bytes": None if peak is None else peak - before,
            "programs": [{"label": report.label.decode(), "runs": report.runs,
                          "seconds": report.host_seconds} for report in library.kernels()]}


def measure(library, **case):
    """Runs a case in a process; raises RuntimeError with its last words."""
    process = subprocess.run([sys.executable, __file__, library, json.dumps(case)], text=True,
                             capture_output=True)
    if process.returncode != 0:
        raise RuntimeError(process.stderr.strip().splitlines()[-1].removeprefix("RuntimeError: "))
    return json.loads(process.stdout)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
