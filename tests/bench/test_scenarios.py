# SPDX-License-Identifier: Apache-2.0
"""Scenarios give every frame to one inspector, and count honestly what a camera's clock leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasant.bench import scenario as scenarios
from rasant.bench.host import cpus
from rasant.bench.scenario import Frames, Scenario, Turn, run_turn
from rasant.errors import ConfigError
from rasant.types import Clock, Frame
from stub_engine import stub_inspector
from tiny_bundle import plate_frame

FRAMES = [plate_frame(index=k) for k in range(3)]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for four streams."""
    with ThreadPoolExecutor(4) as opened:
        yield opened


class Watch:
    """A clock that only sleeping and working move on."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return round(1e9 * self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("single", Scenario("single")), ("multi:4", Scenario("multi", 4)), ("offline:2", Scenario("offline", 2)),
        ("paced:29.97", Scenario("paced", fps=29.97)),
    ],
)  # fmt: skip
def test_names_are_read_and_written(text: str, expected: Scenario) -> None:
    """What is parsed prints as it was written; offline alone takes every CPU."""
    assert Scenario.parse(text) == expected and str(expected) == text
    assert Scenario.parse("offline") == Scenario("offline", cpus())


@pytest.mark.parametrize(
    "text", ["", "double", "multi", "multi:0", "multi:65", "multi:x", "paced", "paced:0", "paced:99999", "single:2"]
)
def test_other_names_are_configuration_errors(text: str) -> None:
    """The message shows the forms."""
    with pytest.raises(ConfigError, match="paced:FPS"):
        Scenario.parse(text)


@pytest.mark.parametrize("name", ["single", "multi:3", "offline:3", "paced:10000"])
def test_every_frame_is_inspected_once(name: str, pool: ThreadPoolExecutor) -> None:
    """The inspections of all streams are the frames asked for, rounded up to full questions for multi."""
    how = Scenario.parse(name)
    inspectors = [stub_inspector() for _ in range(how.streams)]
    turn = run_turn(how, inspectors, Frames(FRAMES), 10, pool)
    counts = [inspector.status.frames for inspector in inspectors]
    expected = {"multi": 12}.get(how.kind, 10)
    assert sum(counts) == len(turn.shots) and len(turn.shots) + turn.dropped == expected
    assert all(shot.inferred for shot in turn.shots) and turn.end > turn.begin
    if how.kind == "multi":
        assert counts == [4, 4, 4] and len(turn.waits_ms) == 4


def test_a_question_lasts_as_long_as_its_slowest_answer(pool: ThreadPoolExecutor) -> None:
    """In multi all streams work at once, and the next question waits for all of them."""
    at_once = threading.Barrier(3, timeout=20)

    def together(inspector: object) -> object:
        return lambda frame: (at_once.wait(), inspector(frame))[1]

    how = Scenario("multi", 3)
    turn = run_turn(how, [together(stub_inspector()) for _ in range(3)], Frames(FRAMES), 6, pool)
    longest = [max(s.timings.total_ms for s in turn.shots[i : i + 3]) for i in (0, 3)]
    assert all(wait > slowest for wait, slowest in zip(turn.waits_ms, longest, strict=True))


def paced(monkeypatch: pytest.MonkeyPatch, work_s: list[float], fps: float, count: int) -> tuple[Turn, list[int]]:
    """A paced turn on a made clock, where frame k that is taken needs work_s[k]; also the arrivals that were taken."""
    watch, taken = Watch(), []
    monkeypatch.setattr(scenarios, "time", watch)
    inspector, begin = stub_inspector(), watch.now

    def inspect(frame: Frame) -> object:
        taken.append(int((watch.now - begin) * fps + 1e-6))
        watch.now += work_s[len(taken) - 1]
        return inspector(frame)

    return run_turn(Scenario("paced", fps=fps), [inspect], Frames(FRAMES), count, ThreadPoolExecutor(1)), taken


def test_a_fast_inspector_keeps_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is dropped or late, the wait is the work, and the turn lasts as long as its frames arrive."""
    turn, taken = paced(monkeypatch, [0.01] * 5, 10.0, 5)
    assert taken == [0, 1, 2, 3, 4] and turn.dropped == turn.late == 0
    assert turn.waits_ms == pytest.approx([10.0] * 5) and turn.end - turn.begin == pytest.approx(0.5)


def test_a_slow_inspector_takes_the_newest_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work of 1.5 periods: frame 1 waits half a period, 2 is replaced by 3, and so on; every verdict is late."""
    turn, taken = paced(monkeypatch, [0.15] * 4, 10.0, 5)
    assert taken == [0, 1, 3, 4] and turn.dropped == 1 and len(turn.shots) + turn.dropped == 5
    assert turn.late == 4 and turn.waits_ms == pytest.approx([150.0, 200.0, 150.0, 200.0])


def test_one_long_pause_costs_the_frames_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of 3.5 periods drops two frames (the newest of three waits); afterwards it recovers."""
    turn, _ = paced(monkeypatch, [0.01, 0.35, 0.01, 0.01, 0.01], 10.0, 7)
    assert turn.dropped == 2 and turn.late == 1 and len(turn.shots) == 5


def test_frames_come_again_as_new_ones() -> None:
    """Indices rise, the device's clock is left out (a recording would run backwards), and pixels are not copied."""
    frames = Frames(FRAMES)
    shown = [next(frames) for _ in range(7)]
    assert [frame.index for frame in shown] == list(range(7))
    assert all(frame.clock is Clock.NONE and frame.device_time_ns is None for frame in shown)
    assert shown[4].depth is FRAMES[1].depth and shown[0].arrival_ns <= time.monotonic_ns()
