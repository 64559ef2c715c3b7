"""A process that trains with the library: answers the requests of turns.py.

    python3 ours.py LIBRARY SETTINGS     SETTINGS is JSON; see turns.py

Without a "folder" the weights are random; "parts" cuts each row into so many sequences.
"""

import ctypes as C
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "parity"))

from counts import PHASES
from library import AdapterOptions, Library, ModelConfig, SessionOptions
from turns import serve
from workloads import ADAMW, CLIP_NORM, Workload, adapter_values, batch


class Abi:
    """Calls of the library; a failure raises its own words."""

    def __init__(self, path):
        self._c = C.CDLL(path)
        self._c.anet_error_message.restype = C.c_char_p

    def __call__(self, name, *arguments):
        error = C.c_void_p()
        if getattr(self._c, name)(*arguments, C.byref(error)) != 0:
            raise RuntimeError(f"{name}: {self._c.anet_error_message(error).decode()}")


def precision_number(path, name):
    """The library's number of a precision; raises where it has none."""
    options = SessionOptions()
    Abi(path)("anet_session_options_from_json", json.dumps({"precision": name}).encode(),
              C.byref(options))
    return options.precision


def session_options(path, workload, **more):
    return SessionOptions(precision=precision_number(path, workload.precision),
                          batch_size=workload.batch, sequence_length=workload.sequence,
                          clip_norm=CLIP_NORM, **ADAMW, **more)


def open_session(path, workload, threads, folder=None, **more):
    """A session of the workload: over the weights in a folder, or over random ones."""
    adapter = AdapterOptions(rank=workload.rank, alpha=2 * workload.rank) if workload.rank else None
    library = Library(path, None if folder else ModelConfig(**workload.shape.fields()),
                      session_options(path, workload, **more), threads=threads, adapter=adapter,
                      folder=folder)
    if adapter:
        for name, view in library.weights().items():
            view[...] = adapter_values(name, view.shape)
        library.weights_changed()
    return library


def step_record(result):
    if result.skipped:
        raise RuntimeError("a step was skipped")
    return {"seconds": result.seconds, "loss": result.loss, "norm": result.grad_norm,
            "phases": {name: getattr(result, f"{name}_seconds") for name in PHASES}}


def resident_bytes(field):
    """VmRSS: now, VmHWM: at most so far; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def main():
    before = resident_bytes("VmRSS")  # the interpreter's own
    path, settings = sys.argv[1], json.loads(sys.argv[2])
    workload, parts = Workload.of(settings["workload"]), settings.get("parts", 1)
    library = open_session(path, workload, settings["threads"], settings.get("folder"),
                           length_buckets=parts.bit_length() - 1)

    def report():
        plan, peak = library.memory_plan(), resident_bytes("VmHWM")
        return {"plan": {name: getattr(plan, name) for name, _ in plan._fields_[2:]},
                "peak_bytes": None if peak is None else peak - before,
                "programs": [{"label": kernel.label.decode(), "runs": kernel.runs,
                              "seconds": kernel.host_seconds} for kernel in library.kernels()]}

    serve({}, lambda step: step_record(library.step(*batch(workload, step), parts)), report)


if __name__ == "__main__":
    main()
