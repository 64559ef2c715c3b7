#!/usr/bin/env python3
"""What a training step costs from each language, compared with C: the same model, batch and library,
one process and one thread a language. The processes take turns, a few steps at a time and each round
in another order, so that what the machine does besides falls on all of them alike; from time to time
new ones take their places, because where a process has its memory changes its speed. A language's
ratio is the median over the rounds of its processor time by C's in the same round: the clock's time
also has what other programs did meanwhile, and is shown for comparison. A ratio above the bound is a
failure, and so are losses that are not the same to the last bit.
usage: binding_overhead.py [--rounds N] [--steps N] [--processes N] [--bound X] [--json FILE] name=command..."""

import argparse
import json
import random
import shlex
import statistics
import subprocess
import sys


class Driver:
    """A process that runs steps on demand; see overhead/step.c."""

    def __init__(self, name, command):
        self.name, self.command = name, shlex.split(command)
        self.clock, self.processor = [], []  # seconds of one step, by round

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

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


def measure(drivers, rounds, steps, order):
    """Adds to each driver's lists; the first round warms up and is left out."""
    for driver in drivers:
        driver.start()
    for number in range(rounds + 1):
        losses = {}
        for driver in order.sample(drivers, len(drivers)):
            clock, processor, losses[driver.name] = driver.run(steps)
            if number > 0:
                driver.clock.append(clock)
                driver.processor.append(processor)
        if len(set(losses.values())) != 1:
            sys.exit(f"binding_overhead: the losses differ in round {number}: {losses}")
    for driver in drivers:
        driver.stop()


def interval(values):
    """The median and, by order statistics, bounds that hold it with 95 %."""
    ordered, count = sorted(values), len(values)
    reach = round(0.98 * count ** 0.5)
    low, high = max(0, count // 2 - reach), min(count - 1, count // 2 + reach)
    return statistics.median(ordered), ordered[low], ordered[high]


def report(drivers, bound):
    """Prints the table; returns its rows."""
    reference, rows = drivers[0], []
    print("           processor     clock  processor\n"
          f"{'':10} {'ms':>9} {'ms':>9} {'by C':>10} {'95 % within':>17}   bound {bound}")
    for driver in drivers:
        ratios = [own / its for own, its in zip(driver.processor, reference.processor)]
        ratio, low, high = interval(ratios)
        processor, clock = (1000 * statistics.median(seconds)
                            for seconds in (driver.processor, driver.clock))
        verdict = "" if driver is reference else "ok" if ratio <= bound else "TOO SLOW"
        print(f"{driver.name:10} {processor:9.3f} {clock:9.3f} {ratio:10.4f} {low:8.4f} {high:8.4f}   "
              f"{verdict}")
        rows.append({"name": driver.name, "processor_ms": processor, "clock_ms": clock,
                     "ratio": ratio, "ratio_low": low, "ratio_high": high})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="of each set of processes")
    parser.add_argument("--processes", type=int, default=6, help="sets of them")
    parser.add_argument("--steps", type=int, default=2, help="of each process in a round")
    parser.add_argument("--bound", type=float, default=1.01)
    parser.add_argument("--json", help="the results go to this file too")
    parser.add_argument("drivers", nargs="+", metavar="name=command", help="C first")
    options = parser.parse_args()
    drivers = [Driver(*driver.split("=", 1)) for driver in options.drivers]
    order = random.Random(1)
    for _ in range(options.processes):
        measure(drivers, options.rounds, options.steps, order)
    rows = report(drivers, options.bound)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": options.rounds, "steps": options.steps,
                       "processes": options.processes, "rows": rows}, file, indent=1)
    return 0 if all(row["ratio"] <= options.bound for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
