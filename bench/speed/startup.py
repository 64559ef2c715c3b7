"""How long it takes until the first step can begin: opening the library and the device, reading a
model, making a session.

    python3 startup.py LIBRARY SETTINGS     once, in this process; prints one JSON object
"""

import ctypes as C
import json
import sys
import time

from ours import Abi, session_options
from spread import spread
from turns import output_of
from workloads import Workload, model_folder

from library import DeviceOptions

STAGES = ("library", "device", "model", "session")


def once(path, settings):
    seconds = {}

    def timed(stage, function):
        start = time.perf_counter()
        result = function()
        seconds[stage] = time.perf_counter() - start
        return result

    call = timed("library", lambda: Abi(path))
    device, model, session = C.c_void_p(), C.c_void_p(), C.c_void_p()
    threads = DeviceOptions(threads=settings["threads"])
    options = session_options(path, Workload(settings["model"], 0, 256, "f32"))
    timed("device", lambda: call("anet_device_open", b"cpu", C.byref(threads), C.byref(device)))
    timed("model", lambda: call("anet_model_load", settings["folder"].encode(), None,
                                C.byref(model)))
    timed("session", lambda: call("anet_session_create", device, model, C.byref(options),
                                  C.byref(session)))
    return seconds


def measure(library, machine, folder, models, repeats):
    rows = []
    for name in models:
        settings = {"threads": machine.threads, "folder": str(model_folder(folder, name)),
                    "model": name}
        command = [sys.executable, __file__, library, json.dumps(settings)]
        runs = [output_of(command) for _ in range(repeats)]
        rows.append({"name": name, **{stage: spread([run[stage] for run in runs])
                                       for stage in STAGES}})
    return rows


if __name__ == "__main__":
    print(json.dumps(once(sys.argv[1], json.loads(sys.argv[2]))))
