#!/usr/bin/env python3
"""What a training step costs from each language, compared with C: the same model, batch and library,
one process and one thread a language. The processes take turns, a few steps at a time and each round
in another order, so that what the machine does besides falls on all of them alike; from time to time
new ones take their places, because where a process has its memory changes its speed. Times are the
processor's: the clock's also have what other programs did meanwhile.

Two things are measured. A step of some 20 ms: its ratio to C's, the median over the sets of processes.
And what the call itself costs beyond C's, in a step so small that it shows: that is exact where the
first is as rough as the machine is busy. A language is too slow when the call costs more of C's step
than the bound allows, or when all that its ratio may be, with 95 %, is above the bound. The losses must
be the same to the last bit.
usage: binding_overhead.py [--rounds N] [--processes N] [--bound X] [--json FILE] name=command..."""

import argparse
import json
import random
import shlex
import statistics
import subprocess
import sys


# Configuration, tokens in a row, steps of each process in a round.
LARGE = ("stories15M", 64, 5)
SMALL = ("stories260K", 8, 50)


class Driver:
    """A process that runs steps on demand; see overhead/step.c."""

    def __init__(self, name, command, configuration, row_length):
        arguments = [*shlex.split(command), configuration, str(row_length)]
        self.name = name
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def run(self, steps):
        """The seconds of one step by the clock and of the processor, and the last loss's bits."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            sys.exit(f"binding_overhead: {self.name} ended with {self.process.wait()}")
        return float(answer[0]) / steps, float(answer[1]) / steps, answer[2]

    def stop(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"binding_overhead: {self.name} ended with {self.process.returncode}")


def measure(commands, size, rounds, order):
    """One set of processes: by name the (clock, processor) seconds of a step in each round. The
    first round warms up and is left out."""
    configuration, row_length, steps = size
    drivers = [Driver(name, command, configuration, row_length)
               for name, command in commands.items()]
    seconds = {name: [] for name in commands}
    for number in range(rounds + 1):
        losses = {}
        for driver in order.sample(drivers, len(drivers)):
            *times, losses[driver.name] = driver.run(steps)
            if number > 0:
                seconds[driver.name].append(times)
        if len(set(losses.values())) != 1:
            sys.exit(f"binding_overhead: the losses differ in round {number}: {losses}")
    for driver in drivers:
        driver.stop()
    return seconds


def interval(values):
    """The median and, by order statistics, bounds that hold it with 95 %."""
    ordered, count = sorted(values), len(values)
    reach = round(0.98 * count ** 0.5)
    low, high = max(0, (count - 1) // 2 - reach), min(count - 1, count // 2 + reach)
    return statistics.median(ordered), ordered[low], ordered[high]


def processor(seconds, name):
    return [times[1] for times in seconds[name]]


def compare(name, reference, large, small, bound):
    """One language's row of the table, from its sets of processes."""
    ratios = [statistics.median(own / its for own, its in
                                zip(processor(each, name), processor(each, reference)))
              for each in large]
    ratio, low, high = interval(ratios)
    call = statistics.median(own - its for each in small for own, its in
                             zip(processor(each, name), processor(each, reference)))
    step = statistics.median(time for each in large for time in processor(each, reference))
    return {"name": name, "ratio": ratio, "ratio_low": low, "ratio_high": high,
            "milliseconds": 1000 * statistics.median(
                time for each in large for time in processor(each, name)),
            "clock_milliseconds": 1000 * statistics.median(
                times[0] for each in large for times in each[name]),
            "call_microseconds": 1e6 * call, "call_share": call / step,
            "ok": 1 + call / step <= bound and low <= bound}


def report(rows, bound):
    print(f"{'':8} {'ms a step':>9} {'clock':>8} {'by C':>8} {'95 % within':>17} "
          f"{'us a call':>10} {'of C step':>10}   bound {bound}")
    for row in rows:
        print(f"{row['name']:8} {row['milliseconds']:9.3f} {row['clock_milliseconds']:8.3f} "
              f"{row['ratio']:8.4f} {row['ratio_low']:8.4f} {row['ratio_high']:8.4f} "
              f"{row['call_microseconds']:10.1f} {row['call_share']:10.4%}   "
              f"{'ok' if row['ok'] else 'TOO SLOW'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8, help="of each set of processes")
    parser.add_argument("--processes", type=int, default=16, help="sets of them")
    parser.add_argument("--bound", type=float, default=1.01)
    parser.add_argument("--json", help="the results go to this file too")
    parser.add_argument("commands", nargs="+", metavar="name=command", help="C first")
    options = parser.parse_args()
    commands = dict(command.split("=", 1) for command in options.commands)
    order = random.Random(1)
    large, small = ([measure(commands, size, options.rounds, order)
                     for _ in range(options.processes)] for size in (LARGE, SMALL))
    reference = next(iter(commands))
    rows = [compare(name, reference, large, small, options.bound) for name in commands]
    report(rows, options.bound)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": options.rounds, "processes": options.processes,
                       "bound": options.bound, "rows": rows}, file, indent=1)
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
