"""A training run as its JSON log tells it: what the dashboard shows. Needs neither the library nor
a terminal. The format is in docs/file-formats.md, "Logs of the command"."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

PHASES = ("forward", "backward", "loss", "optimizer", "staging")


class Evaluation(NamedTuple):
    step: int
    loss: float  # nats a token


class Sample(NamedTuple):
    step: int
    text: str


class End(NamedTuple):
    step: int
    reason: str
    interrupted: bool


class Damage(NamedTuple):
    """A line that is no record of a log."""

    line: int  # from 1 on
    reason: str


@dataclass(frozen=True)
class Kernel:
    """Where a program of the session runs."""

    label: str
    where: str  # "cpu", "ane" or "ane+cpu"
    reason: str  # why the CPU has its part
    retries: int
    fallbacks: int
    engine_seconds: float
    host_seconds: float
    copy_seconds: float


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, seen {json.dumps(value)[:40]}")
    return value


def _number(record: dict[str, Any], key: str, default: float | None = None) -> float:
    """A number of a record; the log has null for one that is not finite."""
    value = record.get(key, default) if default is not None else record[key]
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number for '{key}', seen {json.dumps(value)[:40]}")
    return float(value)


def _count(record: dict[str, Any], key: str, default: float | None = None) -> int:
    value = _number(record, key, default)
    if not value >= 0 or math.isinf(value):
        raise ValueError(f"expected a count for '{key}', seen {value}")
    return int(value)


def _text(record: dict[str, Any], key: str) -> str:
    if not isinstance(record[key], str):
        raise ValueError(f"expected a text for '{key}', seen {json.dumps(record[key])[:40]}")
    return str(record[key])


def _kernels(record: dict[str, Any]) -> list[Kernel]:
    if not isinstance(record["kernels"], list):
        raise ValueError("expected a list for 'kernels'")
    return [
        Kernel(
            _text(kernel, "label"),
            _text(kernel, "where"),
            _text(kernel, "reason"),
            _count(kernel, "retries", 0),
            _count(kernel, "fallbacks", 0),
            _number(kernel, "engine_seconds", 0),
            _number(kernel, "host_seconds", 0),
            _number(kernel, "copy_seconds", 0),
        )
        for kernel in map(_object, record["kernels"])
    ]


class Run:
    """What the records of a log add up to."""

    # Speed and phases are means over so many steps.
    RECENT = 20

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.memory: dict[str, int] = {}  # bytes by purpose, as planned
        self.peak_resident_bytes = 0
        self.first_step = 0  # of the process that writes
        self.last_step = 0  # where the run ends; 0: unknown
        self.steps: list[int] = []
        self.losses: list[float] = []  # as long as steps, as the next
        self.learning_rates: list[float] = []
        self.evaluations: list[Evaluation] = []
        self.samples: list[Sample] = []
        self.kernels: list[Kernel] = []
        self.saved = ""  # the latest checkpoint
        self.end: End | None = None
        self.skipped = 0  # updates that overflowed
        self.retries = 0
        self.fallbacks = 0
        self.audit_error = 0.0
        self._recent: deque[dict[str, float]] = deque(maxlen=self.RECENT)

    def add(self, record: Any) -> None:
        """Takes one record. Those of a kind that a newer version writes are passed over.

        Raises ValueError for what is no record; the run is as before then."""
        if not isinstance(_object(record).get("event"), str):
            raise ValueError("expected an object with an 'event'")
        adders = {
            "start": self._add_start,
            "step": self._add_step,
            "eval": self._add_evaluation,
            "kernels": self._add_kernels,
            "sample": self._add_sample,
            "save": self._add_save,
            "end": self._add_end,
        }
        try:
            if adder := adders.get(record["event"]):
                adder(record)
        except KeyError as error:
            raise ValueError(f"a record of kind '{record['event']}' without {error}") from None

    def _add_start(self, record: dict[str, Any]) -> None:
        plan = _object(record.get("memory", {}))
        memory = {key: _count(plan, key) for key in plan}
        first_step = _count(record, "first_step", 0)
        settings = {
            key: value for key, value in record.items() if isinstance(value, str) and key != "event"
        }
        steps = settings.get("steps", "")
        self.memory, self.first_step, self.settings = memory, first_step, settings
        self.last_step = int(steps) if steps.isdecimal() else 0
        self.end = None
        self._recent.clear()

    def _add_step(self, record: dict[str, Any]) -> None:
        step = _count(record, "step")
        loss, rate = _number(record, "loss"), _number(record, "learning_rate", 0)
        recent = {
            key: _number(record, key, 0)
            for key in (
                "seconds",
                "tokens",
                "engine_flops",
                "host_flops",
                *(phase + "_seconds" for phase in PHASES),
            )
        }
        counts = [
            _count(record, key, 0)
            for key in ("skipped", "retries", "fallbacks", "peak_resident_bytes")
        ]
        # What was done again after a resume, or after a step that was skipped, counts once.
        while self.steps and self.steps[-1] >= step:
            for column in (self.steps, self.losses, self.learning_rates):
                column.pop()
        self.steps.append(step)
        self.losses.append(loss)
        self.learning_rates.append(rate)
        self._recent.append(recent)
        self.skipped += counts[0]
        self.retries += counts[1]
        self.fallbacks += counts[2]
        self.peak_resident_bytes = counts[3]
        self.audit_error = max(self.audit_error, _number(record, "audit_error", 0))

    def _add_evaluation(self, record: dict[str, Any]) -> None:
        evaluation = Evaluation(_count(record, "step"), _number(record, "loss"))
        while self.evaluations and self.evaluations[-1].step >= evaluation.step:
            self.evaluations.pop()
        self.evaluations.append(evaluation)

    def _add_sample(self, record: dict[str, Any]) -> None:
        sample = Sample(_count(record, "step"), _text(record, "text"))
        while self.samples and self.samples[-1].step >= sample.step:
            self.samples.pop()
        self.samples.append(sample)

    def _add_kernels(self, record: dict[str, Any]) -> None:
        self.kernels = _kernels(record)

    def _add_save(self, record: dict[str, Any]) -> None:
        self.saved = _text(record, "path")

    def _add_end(self, record: dict[str, Any]) -> None:
        end = End(
            _count(record, "step"), _text(record, "reason"), _number(record, "interrupted", 0) != 0
        )
        self.kernels = _kernels(record) if "kernels" in record else self.kernels
        self.end = end

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.steps[-1] if self.steps else self.first_step

    @property
    def best(self) -> Evaluation | None:
        finite = [evaluation for evaluation in self.evaluations if math.isfinite(evaluation.loss)]
        return min(finite, key=lambda evaluation: evaluation.loss, default=None)

    def _mean(self, key: str) -> float:
        return sum(step[key] for step in self._recent) / max(1, len(self._recent))

    @property
    def tokens_per_second(self) -> float:
        """Over the latest steps; 0 before the first."""
        seconds = self._mean("seconds")
        return self._mean("tokens") / seconds if seconds > 0 else 0.0

    @property
    def step_seconds(self) -> float:
        """Of one of the latest steps."""
        return self._mean("seconds")

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of one of the latest steps by phase; "other" is the rest."""
        parts = {phase: self._mean(phase + "_seconds") for phase in PHASES}
        parts["other"] = max(0.0, self.step_seconds - sum(parts.values()))
        return parts

    @property
    def engine_share(self) -> float:
        """Of the FLOPs of the latest steps, what the Neural Engine did: 0 to 1."""
        engine = self._mean("engine_flops")
        total = engine + self._mean("host_flops")
        return engine / total if total > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None when it is not known: without a step, or without an end."""
        if self.end or not self._recent or not self.last_step:
            return None
        return max(0, self.last_step - self.step) * self.step_seconds


class LogFile:
    """Follows a log that another process writes: it may grow, be begun anew or be replaced."""

    _CHUNK = 1 << 20
    # What has no line break for so long is not a log.
    _LONGEST_LINE = 1 << 24

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self.exists = False
        self.modified = 0.0  # when it last was: seconds since 1970
        self._restart()

    def _restart(self) -> None:
        self.run = Run()
        self.damaged: list[Damage] = []
        self.lines = 0
        self._identity: tuple[int, int] | None = None
        self._head = b""
        self._offset = 0
        self._pending = b""

    @property
    def incomplete(self) -> int:
        """Bytes of a last line that is still being written, or never was finished."""
        return len(self._pending)

    def poll(self) -> bool:
        """Takes in what is new. Returns whether anything was.

        A file that is not there yet is waited for. Raises OSError when it cannot be read."""
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            changed, self.exists = self.exists, False
            return changed
        with file:
            state = os.fstat(file.fileno())
            # Another file of this name, or another beginning: all that was read is outdated.
            if (
                (state.st_dev, state.st_ino) != self._identity
                or state.st_size < self._offset
                or file.read(len(self._head)) != self._head
            ):
                self._restart()
                self._identity = (state.st_dev, state.st_ino)
            changed = not self.exists
            self.exists, self.modified = True, state.st_mtime
            file.seek(self._offset)
            while data := file.read(self._CHUNK):
                self._take(data)
                changed = True
        return changed

    def _take(self, data: bytes) -> None:
        if len(self._head) < 512:
            self._head += data[: 512 - len(self._head)]
        self._offset += len(data)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._add_line(line)
        if len(self._pending) > self._LONGEST_LINE:
            self._pending = b""
            self.lines += 1
            self.damaged.append(Damage(self.lines, "too long"))

    def _add_line(self, line: bytes) -> None:
        self.lines += 1
        try:
            self.run.add(json.loads(line.decode()))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            self.damaged.append(Damage(self.lines, "not JSON"))
        except ValueError as error:
            self.damaged.append(Damage(self.lines, str(error)))
