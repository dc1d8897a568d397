# SPDX-License-Identifier: Apache-2.0
"""Engines that fail, are late, hang or vanish: never PASS for the frame, an answer in time, and back to work."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

import rasant
from rasant import engine_guard, opening
from rasant.engine_guard import MAX_FAILURES, EngineGuard
from rasant.engines.onnxruntime import OnnxRuntimeEngine
from rasant.errors import EngineLost, EngineTimeout, EngineUnavailable
from rasant.inspector import Inspector
from rasant.settings import Settings
from rasant.tiles import TileParams
from rasant.types import Inspection, Reason, Verdict
from stub_engine import EASY, PLAIN, StubEngine, stub_inspector, wait_ms
from tiny_bundle import plate_frame, tiny_model, write_tiny_bundle

RECOVERY_S = 10.0  # what a lost device may cost
DEADLINE_MS = 800.0  # long enough for a busy machine to begin


@dataclass
class FaultyRuntime:
    """The `onnxruntime` package with faults: `before` is called ahead of each run and may raise or wait."""

    before: Callable[[int], None] = lambda run: None
    runs: int = 0
    opened: int = 0
    refuses: bool = False  # to open
    names: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(onnxruntime, name)

    def InferenceSession(self, *arguments: object, **options: object) -> object:  # noqa: N802 - the package's own name
        if self.refuses:
            raise RuntimeError("the device is gone")
        self.opened += 1
        session = onnxruntime.InferenceSession(*arguments, **options)

        def run(binding: object) -> None:
            self.runs += 1
            self.before(self.runs)
            session.run_with_iobinding(binding)

        kept = ("get_providers", "get_inputs", "get_outputs", "io_binding", "disable_fallback")
        return SimpleNamespace(run_with_iobinding=run, **{name: getattr(session, name) for name in kept})


def real_inspector(runtime: FaultyRuntime, *, deadline_ms: float | None = None, fallback: bool = False) -> Inspector:
    """ONNX Runtime through `runtime`, opened again by it; with `fallback` by the real package where it refuses."""
    def opened(module: object) -> OnnxRuntimeEngine:
        engine = OnnxRuntimeEngine(tiny_model(), threads=1, module=module)
        if module is onnxruntime:
            engine.info = replace(engine.info, provider="FallbackProvider")
        return engine

    ways = [lambda: opened(runtime)] + ([lambda: opened(onnxruntime)] if fallback else [])
    settings = Settings(PLAIN, 0.5, kernel=5, limits=replace(EASY, deadline_ms=deadline_ms))
    return Inspector(opened(runtime), settings, reopen=ways)


def until(done: Callable[[], bool], limit_s: float = RECOVERY_S) -> float:
    """Seconds until it holds."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < limit_s, "it never came to that"
        time.sleep(0.005)
    return time.monotonic() - begin


def good_and_bad(inspector: Inspector) -> None:
    """The next two frames, one good and one with a dent, get their own verdicts."""
    assert inspector(plate_frame(index=100)).verdict is Verdict.PASS
    assert inspector(plate_frame("dent", index=101)).verdict is Verdict.REJECT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses between two attempts to open an engine; their rule is the same."""
    monkeypatch.setattr(engine_guard, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(engine_guard, "LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log records: thousands of them would only be formatted."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def fail_at(*runs: int, error: Exception | None = None) -> Callable[[int], None]:
    """Raise in these runs, counted from 1."""
    def before(run: int) -> None:
        if run in runs:
            raise error or RuntimeError("planted")

    return before


@pytest.mark.parametrize("deadline_ms", [None, 5000.0])
def test_one_failure_costs_one_frame(deadline_ms: float | None) -> None:
    """R1: a run of a real runtime that raises makes UNKNOWN E_ENGINE; the next frame is inspected as if nothing was."""
    runtime = FaultyRuntime(fail_at(2))
    with real_inspector(runtime, deadline_ms=deadline_ms) as inspector:
        answers = [inspector(plate_frame("dent", index=i)) for i in range(3)]
        assert [a.reason for a in answers] == [Reason.DEFECT, Reason.ENGINE, Reason.DEFECT]
        assert "planted" in answers[1].detail and answers[1].anomaly_map is None and answers[1].regions == ()
        assert runtime.opened == 1 and inspector.status.restarts == 0


def test_three_failures_in_a_row_open_the_engine_again() -> None:
    """R1: the third failure is E_ENGINE_DOWN; the engine is opened again the same way, and frames are inspected."""
    runtime = FaultyRuntime(fail_at(1, 2, 3))
    with real_inspector(runtime) as inspector:
        answers = [inspector(plate_frame(index=i)) for i in range(3)]
        assert [a.reason for a in answers] == [Reason.ENGINE, Reason.ENGINE, Reason.ENGINE_DOWN]
        seconds = until(lambda: inspector(plate_frame()).verdict is Verdict.PASS)
        assert seconds < RECOVERY_S and runtime.opened == 2
        good_and_bad(inspector)
        assert inspector.status.restarts == 1 and inspector.status.fallbacks == ()


def test_an_engine_that_always_fails_gives_way_to_the_fallback() -> None:
    """R1: one that fails again as soon as it was opened again is left, if the caller allowed a fallback; it is told."""
    runtime = FaultyRuntime(fail_at(*range(1, 1000)))
    with real_inspector(runtime, fallback=True) as inspector:
        seen: list[Inspection] = []
        until(lambda: (seen.append(inspector(plate_frame())), seen[-1].verdict is Verdict.PASS)[1])
        assert {a.reason for a in seen[:-1]} <= {Reason.ENGINE, Reason.ENGINE_DOWN} and runtime.opened == 2
        good_and_bad(inspector)
        (note,) = inspector.status.fallbacks
        assert "planted" in note and note.endswith("FallbackProvider")
        assert seen[-1].engine.endswith("FallbackProvider") and seen[0].engine.endswith("CPUExecutionProvider")


def test_without_a_fallback_it_stays_down_until_the_runtime_works() -> None:
    """R1: frames are UNKNOWN for as long as nothing can be opened, and are inspected when it can be again."""
    runtime = FaultyRuntime(fail_at(*range(1, 1000)), opened=0)
    with real_inspector(runtime) as inspector:
        for index in range(MAX_FAILURES):
            inspector(plate_frame(index=index))
        runtime.refuses = True
        reasons = [inspector(plate_frame()).reason for _ in range(100)]
        assert set(reasons) <= {Reason.ENGINE, Reason.ENGINE_DOWN} and reasons.count(Reason.ENGINE) <= 2
        assert runtime.opened <= 2 and inspector.status.fallbacks == ()
        runtime.refuses, runtime.before = False, lambda run: None
        until(lambda: inspector(plate_frame()).verdict is Verdict.PASS)


def test_attempts_have_the_pauses_of_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: 0.5 s, doubled to 8 s: in an hour some 450 attempts; an engine that lived for a minute is opened at once."""
    now = [1000.0]
    attempts: list[float] = []
    alive = StubEngine(name="new", answer=lambda _: 1 / 0)
    finished = SimpleNamespace(is_alive=lambda: False, join=lambda: None)
    monkeypatch.setattr(engine_guard, "FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(engine_guard, "LONGEST_PAUSE_S", 8.0)
    monkeypatch.setattr(engine_guard, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(engine_guard, "threading", SimpleNamespace(
        Thread=lambda target, **_: SimpleNamespace(start=target, **vars(finished))
    ))

    def way() -> StubEngine:
        attempts.append(now[0])
        if now[0] < 4600.0:
            raise EngineUnavailable("no driver")
        return alive

    engine = StubEngine(answer=lambda _: 1 / 0)
    guard = EngineGuard(engine, [way])
    for expected in (ZeroDivisionError, ZeroDivisionError, EngineLost):
        guard.ready()
        with pytest.raises(expected):
            guard.run()
    while now[0] < 4600.0:
        with pytest.raises(EngineLost, match="division"):
            guard.ready()
        now[0] += 0.1
    assert np.allclose(np.diff(attempts)[:5], [0.5, 1.0, 2.0, 4.0, 8.0], atol=0.25) and 440 <= len(attempts) <= 460
    assert engine.closed == 1
    while guard.restarts == 0:
        now[0] += 0.1
        with contextlib.suppress(EngineLost):
            guard.ready()
    alive.answer = None
    guard.run()
    now[0], alive.answer, tried = now[0] + 61.0, lambda _: 1 / 0, len(attempts)
    for _ in range(MAX_FAILURES):
        with pytest.raises((ZeroDivisionError, EngineLost)):
            guard.run()
    assert len(attempts) == tried + 1


class Held:
    """Runs that end only when the test says so."""

    def __init__(self, *runs: int, error: Exception | None = None) -> None:
        self.runs, self.error = runs, error
        self.free, self.ended = threading.Event(), threading.Event()

    def __call__(self, run: int) -> None:
        if run in self.runs:
            self.free.wait(30)
            self.free.clear()
            self.ended.set()
            if self.error is not None:
                raise self.error

    def release(self, inspector: Inspector) -> None:
        """Let the run end, and wait until its slot is free."""
        self.free.set()
        assert self.ended.wait(10)
        self.ended.clear()
        until(lambda: is_free(inspector))


def is_free(inspector: Inspector) -> bool:
    """Whether the next frame would be inspected."""
    try:
        return inspector._engine.ready() is not None
    except EngineTimeout:
        return False


def test_the_deadline_is_answered_at_the_deadline() -> None:
    """R2: while a run of a real runtime does not end, its frame gets E_DEADLINE at the deadline and later ones get it
    at once. The late result, a defect, is nobody's: the next good part passes as soon as the slot is free."""
    held = Held(2, 4)
    with real_inspector(FaultyRuntime(held), deadline_ms=DEADLINE_MS) as inspector:
        assert inspector(plate_frame()).verdict is Verdict.PASS
        for index in (1, 5):
            first, *others = (inspector(plate_frame("dent", index=index + i)) for i in range(3))
            for answer in (first, *others):
                assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, Reason.DEADLINE)
                assert answer.anomaly_map is None and np.isnan(answer.score) and not answer.regions
            assert DEADLINE_MS <= first.timings.total_ms < 10 * DEADLINE_MS and "longer than" in first.detail
            assert all("still runs" in answer.detail for answer in others)
            assert max(answer.timings.total_ms for answer in others) < DEADLINE_MS
            held.release(inspector)
            assert inspector(plate_frame(index=index + 3)).verdict is Verdict.PASS
        assert inspector(plate_frame("dent", index=10)).verdict is Verdict.REJECT
        assert inspector.status.reasons == {"OK": 3, "E_DEADLINE": 6, "DEFECT": 1} and inspector.status.restarts == 0


def test_ten_times_the_budget() -> None:
    """R2: runs that take ten times the deadline: twenty frames have their UNKNOWN before the first run ends."""
    late_ms = 10 * DEADLINE_MS
    inspector = stub_inspector(StubEngine(answer=wait_ms(late_ms)), limits=replace(EASY, deadline_ms=DEADLINE_MS))
    begin = time.monotonic()
    answers = [inspector(plate_frame(index=i)) for i in range(20)]
    assert 1e3 * (time.monotonic() - begin) < late_ms
    assert [a.reason for a in answers] == [Reason.DEADLINE] * 20


def test_a_frame_that_comes_too_late_is_not_run() -> None:
    """R2: where the deadline has passed before inference, no run is started."""
    engine = StubEngine()
    inspector = stub_inspector(engine, limits=replace(EASY, deadline_ms=50.0))
    old = replace(plate_frame(), clock=rasant.Clock.HOST, arrival_ns=time.monotonic_ns() - 10**9, device_time_ns=0)
    assert inspector(old).reason is Reason.DEADLINE and engine.runs == 0


def test_a_late_run_that_fails_counts_as_a_failure() -> None:
    """R1 and R2: its frame has had its verdict; the failure is remembered, and the next frame is inspected."""
    held = Held(1, 2, 3, error=RuntimeError("planted"))
    runtime = FaultyRuntime(held)
    with real_inspector(runtime, deadline_ms=DEADLINE_MS / 2) as inspector:
        for index in range(MAX_FAILURES):
            assert inspector(plate_frame(index=index)).reason is Reason.DEADLINE
            held.free.set()
            assert held.ended.wait(10)
            held.ended.clear()
            if index < MAX_FAILURES - 1:
                until(lambda: is_free(inspector))
        until(lambda: inspector(plate_frame()).reason is Reason.ENGINE_DOWN)
        until(lambda: inspector(plate_frame()).reason in (Reason.OK, Reason.DEADLINE))
        assert runtime.opened == 2


def test_tiles_keep_the_deadline_too() -> None:
    """R2: a region of many tiles is given up at the deadline, and the next part is inspected from its first tile."""
    engine = StubEngine((64, 64), answer=lambda e: time.sleep(0.2) if e.runs == 2 else None)
    tiled = replace(PLAIN, size=(96, 128))
    inspector = stub_inspector(
        engine, preprocess=tiled, tiles=TileParams((64, 64), 16), limits=replace(EASY, deadline_ms=100.0)
    )
    assert inspector(plate_frame()).reason is Reason.DEADLINE and engine.runs <= 2
    until(lambda: is_free(inspector))
    assert engine.runs <= 2
    inspector.settings = replace(inspector.settings, limits=EASY)
    engine.set_probability(0.9, (slice(0, 8), slice(0, 8)))
    assert inspector(plate_frame(index=1)).verdict is Verdict.REJECT


def test_a_run_that_never_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: an engine that hangs is down; another is opened while the old one still hangs, and closing does not wait."""
    monkeypatch.setattr(engine_guard, "HANG_S", 0.2)
    free = threading.Event()
    old, new = StubEngine(answer=lambda _: free.wait(30)), StubEngine(name="new")
    settings = Settings(PLAIN, 0.5, kernel=5, limits=replace(EASY, deadline_ms=100.0))
    with Inspector(old, settings, reopen=[lambda: new]) as inspector:
        reasons = set()
        until(lambda: (reasons.add(inspector(plate_frame()).reason), inspector.status.restarts == 1)[1])
        assert reasons <= {Reason.DEADLINE, Reason.ENGINE_DOWN, Reason.OK}
        assert inspector.status.engine.startswith("new") and not free.is_set()
        new.answer = old.answer
        until(lambda: inspector(plate_frame()).reason is Reason.DEADLINE and new.runs > 0)
    free.set()
    until(lambda: old.closed == new.closed == 1)


class Lost:
    """A stub engine of a device that vanishes in a run."""

    def __init__(self, run: int, text: str = "CUDA error 719: unspecified launch failure") -> None:
        self.run, self.text = run, text

    def __call__(self, engine: StubEngine) -> None:
        if engine.runs >= self.run:
            raise EngineLost(self.text)


@pytest.mark.parametrize("text", ["out of memory", "device lost"])
@pytest.mark.parametrize("here_again", [True, False])
def test_a_lost_device_is_opened_again_or_replaced(text: str, here_again: bool) -> None:
    """R3: one loss is enough. The device is opened again where it is back, else the allowed fallback takes over within
    10 s and is recorded; the frame that was lost, and those that come meanwhile, never pass."""
    gpu, back, cpu = (StubEngine(name=name) for name in ("gpu", "gpu", "cpu"))
    gpu.answer = Lost(2, text)

    def same() -> StubEngine:
        if not here_again:
            raise EngineUnavailable("the device does not answer")
        return back

    with Inspector(gpu, Settings(PLAIN, 0.5, kernel=5, limits=EASY), reopen=[same, lambda: cpu]) as inspector:
        assert inspector(plate_frame()).verdict is Verdict.PASS
        lost = inspector(plate_frame(index=1))
        assert (lost.verdict, lost.reason) == (Verdict.UNKNOWN, Reason.ENGINE_DOWN) and text in lost.detail
        seen: list[Inspection] = []
        until(lambda: (seen.append(inspector(plate_frame())), seen[-1].verdict is not Verdict.UNKNOWN)[1])
        assert {a.reason for a in seen[:-1]} <= {Reason.ENGINE_DOWN} and seen[-1].verdict is Verdict.PASS
        status = inspector.status
        assert status.restarts == 1 and gpu.closed == 1
        assert status.engine.startswith("gpu" if here_again else "cpu")
        assert len(status.fallbacks) == (not here_again) and all(text in note for note in status.fallbacks)


def test_a_real_runtime_that_loses_its_device_falls_back() -> None:
    """R3: what ONNX Runtime says of a failed CUDA device is a loss; the fallback is open within 10 s."""
    runtime = FaultyRuntime(fail_at(2, error=RuntimeError("CUDA failure 700: an illegal memory access")))
    with real_inspector(runtime, fallback=True, deadline_ms=5000.0) as inspector:
        assert inspector(plate_frame()).verdict is Verdict.PASS
        runtime.refuses = True
        assert inspector(plate_frame()).reason is Reason.ENGINE_DOWN
        until(lambda: inspector(plate_frame()).verdict is Verdict.PASS)
        good_and_bad(inspector)
        assert inspector.status.fallbacks[0].endswith("FallbackProvider")


@pytest.mark.parametrize("allowed", [True, False])
def test_load_opens_the_cpu_only_where_a_fallback_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """R3, through `rasant.load`: a lost device that stays away means ONNX Runtime on the CPU, or E_ENGINE_DOWN."""
    asked: list[tuple[str, str]] = []
    real = opening.open_engine

    def open_engine(name: str, model: bytes, *, device: str, **options: object) -> object:
        asked.append((name, device))
        if device == "cpu":
            return real(name, model, device=device, **options)
        if len(asked) > 1:
            raise EngineUnavailable("the device does not answer")
        return StubEngine(name="gpu", answer=Lost(2))

    monkeypatch.setattr(opening, "open_engine", open_engine)
    path = write_tiny_bundle(tmp_path / "tiny.rasant")
    with rasant.load(path, device="cuda", allow_fallback=allowed, threads=1) as inspector:
        assert inspector(plate_frame()).verdict is Verdict.PASS
        assert inspector(plate_frame("dent", index=1)).reason is Reason.ENGINE_DOWN
        if allowed:
            until(lambda: inspector(plate_frame()).verdict is Verdict.PASS)
            good_and_bad(inspector)
            assert "CUDA error 719" in inspector.status.fallbacks[0] and asked[-1] == ("onnxruntime", "cpu")
        else:
            until(lambda: inspector(plate_frame()).reason is Reason.ENGINE_DOWN and len(asked) >= 3)
            assert set(asked) == {("auto", "cuda"), ("gpu", "cuda")} and inspector.status.fallbacks == ()


def test_without_a_way_back_the_engine_is_tried_again_and_again() -> None:
    """An inspector made without ways to open an engine keeps its own, says that it is down, and works when it does."""
    engine = StubEngine(answer=lambda e: 1 / 0 if e.runs <= 5 else None)
    inspector = stub_inspector(engine)
    reasons = [inspector(plate_frame(index=i)).reason for i in range(7)]
    assert reasons == [Reason.ENGINE] * 2 + [Reason.ENGINE_DOWN] * 3 + [Reason.OK] * 2


def test_closing_while_an_engine_is_being_opened_closes_that_one_too() -> None:
    """Nothing is left open, whenever the inspector is closed."""
    slow = StubEngine(name="slow")
    lost = StubEngine(answer=Lost(1))
    inspector = Inspector(lost, Settings(PLAIN, 0.5, limits=EASY), reopen=[lambda: (time.sleep(0.2), slow)[1]])
    assert inspector(plate_frame()).reason is Reason.ENGINE_DOWN
    inspector.close()
    inspector.close()
    assert (lost.closed, slow.closed) == (1, 1)


def resident() -> int:
    """Resident pages of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_a_thousand_faults_leave_no_memory_and_no_threads(quiet: None) -> None:
    """R1 to R3 again and again on a real runtime and on stubs: resident memory stays within 2 %, threads are gone."""
    frames = [plate_frame("dent" if i % 2 else None, index=i) for i in range(10)]
    runtime = FaultyRuntime(lambda run: 1 / 0 if run % 4 == 0 else None)
    slow = StubEngine(answer=wait_ms(30))
    late = stub_inspector(slow, limits=replace(EASY, deadline_ms=20.0))
    lost = Inspector(
        StubEngine(answer=Lost(2)), Settings(PLAIN, 0.5, limits=EASY),
        reopen=[lambda: StubEngine(answer=Lost(2))],
    )
    with real_inspector(runtime, deadline_ms=1e6) as failing:
        def repeat(count: int) -> None:
            for i in range(count):
                for inspector in (failing, late, lost):
                    inspector(frames[i % 10])

        repeat(100)
        gc.collect()
        baseline, threads = resident(), threading.active_count()
        repeat(1000)
        until(lambda: is_free(late))
        gc.collect()
        assert abs(resident() - baseline) <= 0.02 * baseline
        assert threading.active_count() <= threads + 1
        assert failing.status.reasons["E_ENGINE"] >= 250 and failing.status.restarts == 0
        assert late.status.reasons == {"E_DEADLINE": 1100} and slow.runs > 10
        assert lost.status.restarts >= 1 and len(lost.status.fallbacks) <= 8
