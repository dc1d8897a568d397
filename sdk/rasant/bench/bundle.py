# SPDX-License-Identifier: Apache-2.0
"""Bundles and engines timed side by side in one run: each gets a turn, again and again, so that ratios are fair."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasant.bench.host import host, memory_mib
from rasant.bench.power import Board, Sampler
from rasant.bench.scenario import Frames, Scenario, Turn, run_turn
from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.types import Frame

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.engines import EngineInfo
    from rasant.inspector import Inspector

__all__ = ["Candidate", "Run", "Supply", "bench_bundles", "candidate", "read_frames"]

WARM_UP = 3  # frames of each stream that are inspected first and not counted
SETTLE = 2  # frames at the start of a turn that are not counted: the one before left its own data in the caches
TURNS = 10
DISTINCT = 32  # frames kept in memory
# A benchmark is no line: frames are as old as it likes, a source of one frame is not frozen, and no answer is cut off.
RELAXED: dict[str, Any] = {"max_age_ms": None, "deadline_ms": None, "max_identical": 1 << 30}


@dataclass(frozen=True, slots=True)
class Supply:
    """Distinct frames of a source, and what the source took for each of them (ms)."""

    source: str
    frames: tuple[Frame, ...]
    acquire_ms: tuple[float, ...]


@dataclass(slots=True)
class Candidate:
    """One bundle on one engine, and what was measured of it."""

    path: Path
    engine: str
    bundle: Bundle | None = None
    info: EngineInfo | None = None
    inspectors: list[Inspector] = field(default_factory=list)
    load_ms: float = 0.0
    first_verdict_ms: float = 0.0  # from the call of `load` to the first verdict
    warm_ms: float = 0.0  # the last frame of the warm-up
    loaded_mib: float | None = None  # by which resident memory grew
    turns: list[Turn] = field(default_factory=list)
    driver: dict[str, Any] | None = None  # what a foreign driver says of its run

    def __str__(self) -> str:
        return f"{self.path.name}@{self.engine if self.info is None else self.info.name}"

    def stage_ms(self, stage: str) -> list[list[float]]:
        """Milliseconds of a stage of `Timings` in each turn, of frames that the network saw."""
        return [[getattr(s.timings, f"{stage}_ms") for s in turn.shots if s.inferred] for turn in self.turns]


@dataclass(frozen=True, slots=True)
class Run:
    """What all candidates of a run share."""

    scenario: Scenario
    supply: Supply
    threads: int
    driver: str
    sampler: Sampler
    candidates: tuple[Candidate, ...]
    machine: dict[str, Any]  # `host()` before anything ran
    utc: str  # when it began
    pauses_ms: list[float]  # of Python's garbage collector, whichever candidate ran
    memory: dict[str, float | None]  # `memory_mib()` when all had run, before engines were closed


def candidate(text: str) -> Candidate:
    """`part.rasant@openvino`, or `part.rasant` on the engine that `rasant.load` chooses."""
    path, _, engine = text.rpartition("@")
    return Candidate(Path(path), engine) if path and not Path(text).exists() else Candidate(Path(text), "auto")


def bench_bundles(
    candidates: Sequence[Candidate], source: str, *, scenario: str = "single", frames: int = 300, threads: int = 0,
    seconds: float = 0.0, driver: str = "turns", root: Path = Path("/"),
) -> Run:  # fmt: skip
    """Load every candidate, then give each its turns until `frames` are inspected and `seconds` have passed.

    Frames are read before the clock starts, so figures are those of the inspector. A candidate whose engine name is
    "auto" gets what `rasant.load` chooses. driver: "turns", or "loadgen" for MLPerf's own load generator.
    root: where the board's sensors are read.

    Raises ConfigError for fewer than one frame, an unknown driver or scenario, SourceError where the source gives no
    frame, and what `rasant.load` raises.
    """
    if frames < 1:
        raise ConfigError(f"frames must be at least 1, got {frames}; 300 gives steady percentiles")
    if driver not in ("turns", "loadgen"):
        raise ConfigError(f"driver must be turns or loadgen, got {driver!r}")
    how = Scenario.parse(scenario)
    if how.kind == "offline":
        threads = threads or 1  # the workers share the CPUs
    supply = read_frames(source, min(frames, DISTINCT))
    feed = Frames(supply.frames)
    board = Board(root)
    sampler = Sampler(board)
    utc = datetime.now(timezone.utc).isoformat(timespec="seconds")
    run = Run(how, supply, threads, driver, sampler, tuple(candidates), host(root), utc, [], {})
    with ExitStack() as stack:
        stack.callback(board.close)
        for each in candidates:
            _load(each, how, feed, threads, stack)
        pool = stack.enter_context(ThreadPoolExecutor(how.streams, "rasant-bench"))
        stack.enter_context(sampler)
        stack.enter_context(_Pauses(run.pauses_ms))
        if driver == "loadgen":
            from rasant.bench.loadgen import run_loadgen

            for each in candidates:
                run_loadgen(each, how, feed, pool, frames, seconds)
        else:
            _take_turns(run, feed, pool, frames, seconds)
        run.memory.update(memory_mib())
    return run


def _take_turns(run: Run, feed: Frames, pool: ThreadPoolExecutor, frames: int, seconds: float) -> None:
    size = max(1, -(-frames // TURNS))
    settle = SETTLE * run.scenario.streams if len(run.candidates) > 1 else 0
    end = time.perf_counter() + seconds
    done = 0
    while done < frames or time.perf_counter() < end:
        count = size if done >= frames else min(size, frames - done)
        done += count
        for each in run.candidates:
            inspects = each.inspectors
            if settle:
                run_turn(run.scenario, inspects, feed, settle, pool)
            each.turns.append(run_turn(run.scenario, inspects, feed, count, pool))


def _load(each: Candidate, scenario: Scenario, feed: Frames, threads: int, stack: ExitStack) -> None:
    """Open the inspectors of all streams and warm them up; the first one is timed."""
    from rasant.opening import load

    before = memory_mib()["rss_mib"]
    for stream in range(scenario.streams):
        begin = time.perf_counter()
        inspector = load(each.path, each.engine, require_threshold=False, threads=threads, **RELAXED)
        stack.callback(inspector.close)
        each.inspectors.append(inspector)
        loaded = time.perf_counter()
        inspector(next(feed))
        if stream == 0:
            each.load_ms = 1e3 * (loaded - begin)
            each.first_verdict_ms = 1e3 * (time.perf_counter() - begin)
        for _ in range(WARM_UP - 1):
            each.warm_ms = inspector(next(feed)).timings.total_ms
    after = memory_mib()["rss_mib"]
    each.loaded_mib = None if before is None or after is None else after - before
    each.bundle, each.info = each.inspectors[0].bundle, each.inspectors[0].info


def read_frames(uri: str, count: int) -> Supply:
    """Up to `count` frames of a source; damaged ones are passed over. Raises SourceError where there is none."""
    from rasant.sensors import open_source

    found: list[Frame] = []
    took: list[float] = []
    with open_source(uri) as source:
        while len(found) < count:
            begin = time.perf_counter()
            try:
                found.append(source.read())
            except EndOfStream:
                break
            except FrameError:
                continue
            took.append(1e3 * (time.perf_counter() - begin))
    if not found:
        raise SourceError(f"{uri} gave no frame; there is nothing to time")
    return Supply(uri, tuple(found), tuple(took))


class _Pauses:
    """Times what Python's garbage collector takes while the `with` lasts."""

    def __init__(self, pauses_ms: list[float]) -> None:
        self._pauses_ms = pauses_ms
        self._begin = 0.0

    def _watch(self, phase: str, _: object) -> None:
        if phase == "start":
            self._begin = time.perf_counter()
        else:
            self._pauses_ms.append(1e3 * (time.perf_counter() - self._begin))

    def __enter__(self) -> None:
        gc.callbacks.append(self._watch)

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._watch)
