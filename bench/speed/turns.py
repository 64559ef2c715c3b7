"""Processes that take turns with steps: the library and each PyTorch in a process of its own, none
computing while another does. Between turns a process waits on a pipe, and its threads sleep.

A process is started with one argument of JSON: the workload's fields, "threads", "folder" (its
weights), "limit" (seconds that a step may take). It says an object when it is ready, one with
"missing", a reason, when it cannot measure. Then it answers each line {"first": n, "steps": k} with
a list of k records: seconds, loss, norm of the gradient before clipping, and seconds by phase where
they are known; the line {} asks for its report.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

# OpenMP and OpenBLAS let idle threads spin some milliseconds before they sleep.
PAUSE = 0.1


def serve(greeting, step, report=dict):
    """The process's side: `step(number)` makes a record."""
    print(json.dumps(greeting), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = ([step(request["first"] + i) for i in range(request["steps"])] if request
                  else report())
        print(json.dumps(answer), flush=True)


class Missing(Exception):
    """A process that cannot measure; the reason is its text."""


def last_words(errors, code):
    lines = errors.strip().splitlines()
    return lines[-1].removeprefix("RuntimeError: ") if lines else f"ended with {code}"


def output_of(command):
    """The JSON that a command prints; raises Missing with its last words."""
    process = subprocess.run(command, text=True, capture_output=True)
    if process.returncode != 0:
        raise Missing(last_words(process.stderr, process.returncode))
    return json.loads(process.stdout)


class Runner:
    def __init__(self, name, command, settings):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # a pipe could fill up with warnings
        self.process = subprocess.Popen([*command, json.dumps(settings)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.records = []  # of all steps, those that warm up too
        self.greeting = self._read()
        if "missing" in self.greeting:
            self.stop()
            raise Missing(self.greeting["missing"])

    def _read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        raise Missing(last_words(self.errors.read(), self.process.returncode))

    def _ask(self, request):
        with contextlib.suppress(BrokenPipeError):  # what the process said last tells more
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self._read()

    def run(self, steps):
        records = self._ask({"first": len(self.records), "steps": steps})
        self.records += records
        return records

    def report(self):
        return self._ask({})

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def processor_seconds(pid=None):
    """What a process has used, or the whole machine; None where the system does not say. What a
    hypervisor gave to others counts as used."""
    try:
        with open(f"/proc/{pid}/stat" if pid else "/proc/stat") as file:
            fields = file.readline().rpartition(")")[2].split()
    except OSError:
        return None
    if pid:
        ticks = int(fields[11]) + int(fields[12])
    else:
        user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[1:9])
        ticks = user + nice + system + interrupts + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Turns:
    """What take_turns saw: records by name in order, and how many cores others used meanwhile: the
    processes that should sleep, or programs that have nothing to do with it."""
    records: dict
    disturbance: float = 0.0


def warm_up(runner, turn_seconds):
    """Makes a step, or two when they are short; the number of steps in a turn."""
    seconds = runner.run(1)[0]["seconds"]
    if seconds < 3 * turn_seconds:
        seconds = runner.run(1)[0]["seconds"]
    return max(1, round(turn_seconds / seconds))


def take_turns(runners, rounds, budget, turn_seconds=1.0):
    """After a warm-up `rounds` rounds in alternating order; at least two, and no more when `budget`
    seconds are used up. A turn has so many steps that it takes about `turn_seconds`."""
    start = time.perf_counter()
    steps = {runner: warm_up(runner, turn_seconds) for runner in runners}
    result = Turns({runner.name: [] for runner in runners})
    elapsed, foreign = 0.0, 0.0
    for number in range(rounds):
        if number >= 2 and time.perf_counter() - start > budget:
            break
        for runner in (runners if number % 2 == 0 else reversed(runners)):
            time.sleep(PAUSE)
            begin = time.perf_counter()
            everyone, own = processor_seconds(), processor_seconds(runner.process.pid)
            result.records[runner.name] += runner.run(steps[runner])
            elapsed += time.perf_counter() - begin
            if everyone is not None:
                own = processor_seconds(runner.process.pid) - own
                foreign += max(0.0, processor_seconds() - everyone - own)
    result.disturbance = foreign / elapsed
    return result
