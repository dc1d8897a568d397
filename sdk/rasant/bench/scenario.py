# SPDX-License-Identifier: Apache-2.0
"""How frames reach the inspectors: one after the other, several at once, all there are, or on a clock.

`single`, `multi:K` and `offline` ask what MLPerf's SingleStream, MultiStream and Offline ask; `paced:FPS` is a camera.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rasant.bench.host import cpus
from rasant.errors import ConfigError
from rasant.types import Clock, Frame, Inspection, Reason, Timings

__all__ = ["Frames", "Inspect", "Scenario", "Shot", "Turn", "run_turn", "shoot"]

Inspect = Callable[[Frame], Inspection]


@dataclass(frozen=True, slots=True)
class Scenario:
    """kind: "single", "multi", "offline" or "paced". streams: inspectors, each with an engine of its own."""

    kind: str
    streams: int = 1
    fps: float | None = None

    @classmethod
    def parse(cls, text: str) -> Scenario:
        """`single`, `multi:K`, `offline` or `offline:K` (K workers; one for each CPU), `paced:FPS`.

        Raises ConfigError for anything else, and for K beyond 64 or FPS beyond 10 000.
        """
        kind, _, number = text.partition(":")
        if kind == "single" and not number:
            return cls(kind)
        if kind == "offline" and text == "offline":
            return cls(kind, cpus())
        if kind in ("multi", "offline") and re.fullmatch(r"[1-9]\d?", number) and int(number) <= 64:
            return cls(kind, int(number))
        if kind == "paced" and re.fullmatch(r"\d{1,5}(\.\d+)?", number) and 0 < float(number) <= 10_000:
            return cls(kind, fps=float(number))
        raise ConfigError(
            f"scenario must be single, multi:K, offline, offline:K or paced:FPS, got {text!r}; e.g. multi:4, paced:25"
        )

    def __str__(self) -> str:
        if self.kind == "single":
            return self.kind
        return f"{self.kind}:{self.streams if self.fps is None else format(self.fps, 'g')}"


class Shot(NamedTuple):
    """What is kept of an inspection. inferred: False where the frame was refused before the network ran."""

    timings: Timings
    reason: Reason
    inferred: bool


@dataclass(slots=True)
class Turn:
    """Frames that ran without a break; times of `time.perf_counter()`.

    waits_ms: for `multi` from the question to the last of its K verdicts, for `paced` from a frame's arrival to its
    verdict. dropped: frames that arrived while one was in work and were replaced by a newer one. late: verdicts that
    came after the next frame.
    """

    begin: float
    end: float = 0.0
    shots: list[Shot] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    late: int = 0


class Frames:
    """The distinct frames of a source, again and again, each time as a new frame without a device's clock.

    A recording that starts anew would look like a clock that runs backwards. Thread-safe.
    """

    def __init__(self, distinct: Sequence[Frame]) -> None:
        self.distinct = tuple(distinct)
        self._next = 0
        self._lock = threading.Lock()

    def __next__(self) -> Frame:
        with self._lock:
            index, self._next = self._next, self._next + 1
        frame = self.distinct[index % len(self.distinct)]
        return replace(frame, index=index, arrival_ns=time.monotonic_ns(), clock=Clock.NONE, device_time_ns=None)

    def __iter__(self) -> Iterator[Frame]:
        return self


def shoot(inspect: Inspect, frame: Frame) -> Shot:
    """Inspect, and keep what does not hold maps."""
    inspection = inspect(frame)
    return Shot(inspection.timings, inspection.reason, inspection.anomaly_map is not None)


def run_turn(scenario: Scenario, inspects: Sequence[Inspect], frames: Frames, count: int, pool: Executor) -> Turn:
    """About `count` frames (`multi` rounds up to full questions). inspects: one for each stream of the scenario.

    pool: threads for `multi` and `offline`, at least as many as streams.
    """
    if scenario.kind == "multi":
        return _multi(inspects, frames, count, pool)
    if scenario.kind == "offline":
        return _offline(inspects, frames, count, pool)
    if scenario.fps is not None:
        return _paced(inspects[0], frames, count, scenario.fps)
    turn = Turn(time.perf_counter())
    turn.shots = [shoot(inspects[0], next(frames)) for _ in range(count)]
    turn.end = time.perf_counter()
    return turn


def _multi(inspects: Sequence[Inspect], frames: Frames, count: int, pool: Executor) -> Turn:
    """Questions of one frame for each stream, the next when all are answered."""
    turn = Turn(time.perf_counter())
    for _ in range(-(-count // len(inspects))):
        asked = time.perf_counter()
        answers = [pool.submit(shoot, inspect, next(frames)) for inspect in inspects]
        turn.shots += [answer.result() for answer in answers]
        turn.waits_ms.append(1e3 * (time.perf_counter() - asked))
    turn.end = time.perf_counter()
    return turn


def _offline(inspects: Sequence[Inspect], frames: Frames, count: int, pool: Executor) -> Turn:
    """Each worker takes the next frame as soon as it is free."""
    tickets = iter(range(count))  # next() of a range iterator is one step of the interpreter

    def work(inspect: Inspect) -> list[Shot]:
        return [shoot(inspect, next(frames)) for _ in tickets]

    turn = Turn(time.perf_counter())
    for worker in [pool.submit(work, inspect) for inspect in inspects]:
        turn.shots += worker.result()
    turn.end = time.perf_counter()
    return turn


def _paced(inspect: Inspect, frames: Frames, count: int, fps: float) -> Turn:
    """`count` frames arrive on a clock. The newest waits while one is in work; those before it are dropped."""
    turn = Turn(time.perf_counter())
    index = 0
    while index < count:
        due = turn.begin + index / fps
        time.sleep(max(0.0, due - time.perf_counter()))
        turn.shots.append(shoot(inspect, next(frames)))
        done = time.perf_counter()
        turn.waits_ms.append(1e3 * (done - due))
        turn.late += done > due + 1 / fps
        newest = max(index + 1, min(count - 1, int((done - turn.begin) * fps)))
        turn.dropped += newest - index - 1
        index = newest
    turn.end = max(time.perf_counter(), turn.begin + count / fps)
    return turn
