"""A process that trains with the library: answers the requests of turns.py.

    python3 ours.py LIBRARY SETTINGS     SETTINGS is JSON; see turns.py
"""

import ctypes as C
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "parity"))

from counts import PHASES
from library import AdapterOptions, Library, ModelConfig, SessionOptions
from turns import serve
from workloads import ADAMW, CLIP_NORM, SHAPES, Workload, adapter_values, batch


def precision_number(path, name):
    """The library's number of a precision. Its own words are the error where it has none."""
    c = C.CDLL(path)
    c.anet_error_message.restype = C.c_char_p
    options, error = SessionOptions(), C.c_void_p()
    text = json.dumps({"precision": name}).encode()
    if c.anet_session_options_from_json(text, C.byref(options), C.byref(error)) != 0:
        raise RuntimeError(f"the library has no {name}: {c.anet_error_message(error).decode()}")
    return options.precision


def session_options(path, workload, **more):
    return SessionOptions(precision=precision_number(path, workload.precision),
                          batch_size=workload.batch, sequence_length=workload.sequence,
                          clip_norm=CLIP_NORM, **ADAMW, **more)


def open_session(path, workload, threads, folder=None, shape=None, **more):
    """A session of the workload: over the weights in a folder, or over random ones."""
    shape = shape or SHAPES[workload.model]
    adapter = AdapterOptions(rank=workload.rank, alpha=2 * workload.rank) if workload.rank else None
    library = Library(path, None if folder else ModelConfig(**shape.fields()),
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


def main():
    path, settings = sys.argv[1], json.loads(sys.argv[2])
    workload = Workload(**settings["workload"])
    library = open_session(path, workload, settings["threads"], settings["folder"])
    serve({}, lambda step: step_record(library.step(*batch(workload, step))))


if __name__ == "__main__":
    main()
