# SPDX-License-Identifier: Apache-2.0
"""A pump is bounded, keeps its policy, counts what it drops, and brings the same camera back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_cameras import FakeCamera, whole
from rasant.errors import (
    ConfigError,
    EndOfStream,
    FrameError,
    SourceDisconnected,
    SourceError,
    SourceTimeout,
    WrongDevice,
)
from rasant.sensors import Source
from rasant.stream import Pump

FAST = (0.001, 0.004)


def in_turn(*cameras: object) -> Callable[[], Source]:
    """Opens one camera after the other; an exception is raised instead."""
    coming: Iterator[object] = iter(cameras)

    def opens() -> Source:
        item = next(coming)
        if isinstance(item, Exception):
            raise item
        assert isinstance(item, Source)
        return item

    return opens


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def test_block_loses_nothing_of_a_source_that_waits() -> None:
    """With the policy block a slow reader gets every frame, in order and numbered without gaps, then the end."""
    with Pump(lambda: FakeCamera(period_s=0.0005, frames=40), policy="block", capacity=2) as pump:
        numbers = []
        for frame in pump:
            numbers.append(whole(frame))
            assert frame.index == len(numbers) - 1
            time.sleep(0.001)
        assert numbers == list(range(40)) and pump.stats().total == 0
        with pytest.raises(EndOfStream):
            pump.read()


@pytest.mark.parametrize(("policy", "capacity", "kept"), [("latest", 5, [29]), ("drop_oldest", 4, [26, 27, 28, 29])])
def test_a_full_queue_drops_by_its_policy_and_counts(policy: str, capacity: int, kept: list[int]) -> None:
    """Nobody reads 30 frames: the newest stay, the others are counted as dropped by our queue, to the frame."""
    camera = FakeCamera(period_s=0.0005, frames=30)
    with Pump(lambda: camera, policy=policy, capacity=capacity) as pump:
        pump.start()
        wait_until(lambda: camera.stopped > 0)
        frames = list(pump)
        assert [whole(frame) for frame in frames] == kept
        assert [frame.index for frame in frames] == list(range(len(kept)))
        assert pump.stats().queue == pump.stats().total == 30 - len(kept)
        assert frames[-1].drops.queue == 30 - len(kept)


def test_a_silent_camera_is_a_timeout_in_time() -> None:
    """read() comes back when asked, not when the camera likes; a triggered camera may be silent for long."""
    with Pump(lambda: FakeCamera(period_s=0), stall_s=0.01, pauses_s=FAST) as pump:
        start = time.monotonic()
        with pytest.raises(SourceTimeout):
            pump.read(0.05)
        assert 0.05 <= time.monotonic() - start < 2.0
        pump.trigger()
        assert whole(pump.read(5)) == 0 and pump.reconnects == 0


def test_a_damaged_frame_stands_in_its_place() -> None:
    """FrameError comes at read() between its neighbours, with the number that it uses up."""
    with Pump(lambda: FakeCamera(frames=3, faults={1: "torn"}), policy="block") as pump:
        assert pump.read(5).index == 0
        with pytest.raises(FrameError) as caught:
            pump.read(5)
        assert caught.value.index == 1
        assert pump.read(5).index == 2 and pump.stats().damaged == 1


def test_a_lost_camera_comes_back_with_its_settings() -> None:
    """After a loss the source is opened again until it is there; numbers go on, drops add up, settings return."""
    first = FakeCamera(lost=frozenset({1}), faults={3: "unplug"})
    last = FakeCamera(first=10, lost=frozenset({11}), frames=3)
    opens = in_turn(first, SourceDisconnected("no such device"), RuntimeError("usb reset"), last)
    with Pump(opens, policy="block", pauses_s=FAST) as pump:
        pump.set_option("gain", 4.0)
        frames = list(pump)
        assert [whole(frame) for frame in frames] == [0, 2, 10, 12]
        assert [frame.index for frame in frames] == [0, 1, 2, 3]
        assert [frame.settings for frame in frames[-2:]] == ["4.0", "4.0"]
        assert pump.stats().device == 2 and pump.reconnects == 1 and first.stopped == last.stopped == 1


def test_while_the_camera_is_away_read_says_so_in_time() -> None:
    """SourceDisconnected after the timeout, with the cause in its message; the next read may succeed."""
    away = threading.Event()

    def opens() -> Source:
        if away.is_set():
            raise SourceDisconnected("no such device")
        return FakeCamera(faults={2: "unplug"})

    with Pump(opens, policy="block", pauses_s=FAST) as pump:
        assert [pump.read(5).index, pump.read(5).index] == [0, 1]
        away.set()
        wait_until(lambda: pump._failure is not None)
        with pytest.raises(SourceDisconnected, match=r"unplugged|no such device"):
            pump.read(0.02)
        with pytest.raises(SourceDisconnected):
            pump.trigger()
        away.clear()
        assert pump.read(5).index == 2


def test_another_camera_in_its_place_is_refused() -> None:
    """The calibration belongs to a serial number: another one is closed and refused, the former is taken again."""
    other, again = FakeCamera("B"), FakeCamera("A")
    opens = in_turn(FakeCamera("A", faults={1: "unplug"}), other, again)
    with Pump(opens, policy="block", pauses_s=(0.05, 0.2)) as pump:
        assert pump.read(5).serial == "A"
        wait_until(lambda: isinstance(pump._failure, WrongDevice))
        with pytest.raises(WrongDevice, match=r"was 'A' and is now 'B'"):
            pump.read(0.0)
        assert pump.read(5).serial == "A" and other.stopped == 1


def test_a_camera_that_streams_and_falls_silent_is_opened_again() -> None:
    """No frame for `stall_s` from a camera with a period: it is closed and opened again."""
    silent = FakeCamera(lost=frozenset(range(2, 100_000)), period_s=0.001)
    with Pump(in_turn(silent, FakeCamera(first=50)), policy="block", pauses_s=FAST, stall_s=0.05) as pump:
        assert [whole(pump.read(5)) for _ in range(4)] == [0, 1, 50, 51]


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
def test_bursts_stay_bounded(policy: str) -> None:
    """Ten times the rate of the reader: the queue never holds more than it may, and every frame is accounted for."""
    camera = FakeCamera(period_s=0.0002, frames=400)
    with Pump(lambda: camera, policy=policy, capacity=3) as pump:
        got = []
        for frame in pump:
            got.append(whole(frame))
            assert len(pump._queue) <= 3
            time.sleep(0.002)
        assert got == sorted(got) and len(got) + pump.stats().queue == 400


def test_a_driver_that_never_returns_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """read() and close() come back in time although the driver does not; the note says what was left behind."""
    monkeypatch.setattr("rasant.stream.pump.LEAVE_S", 0.05)
    pump = Pump(lambda: FakeCamera(faults={1: "hang"}), policy="block")
    assert pump.read(5).index == 0
    with pytest.raises(SourceTimeout):
        pump.read(0.05)
    pump.close()
    assert "never returned" in pump.note
    with pytest.raises(SourceError, match="closed"):
        pump.read()


def test_a_pump_that_was_never_started_closes_its_source() -> None:
    """Opening and closing without a read releases the device."""
    camera = FakeCamera()
    Pump(lambda: camera).close()
    assert camera.stopped == 1


@pytest.mark.parametrize("wrong", [{"policy": "newest"}, {"capacity": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    """An unknown policy and an empty queue raise ConfigError."""
    with pytest.raises(ConfigError, match=r"policy|capacity"):
        Pump(FakeCamera, **wrong)  # type: ignore[arg-type]


def test_what_a_file_raises_ends_the_stream() -> None:
    """A finite source is not started anew, which would give its frames twice: its error comes after them, and stays."""
    recording = FakeCamera(faults={2: "unplug"})
    recording.live, recording.calibration = False, "{}"
    with Pump(lambda: recording, policy="block") as pump:
        assert [whole(pump.read(5)) for _ in range(2)] == [0, 1] and pump.calibration == "{}"
        for _ in range(2):
            with pytest.raises(SourceDisconnected, match="unplugged"):
                pump.read(5)
        assert pump.reconnects == 0 and recording.stopped == 1


def test_a_hundred_losses_leave_nothing_behind() -> None:
    """Unplugged and plugged in a hundred times: a hundred returns, as many files and threads as before."""
    with Pump(lambda: FakeCamera(period_s=0.0002, faults={2: "unplug"}), policy="block", pauses_s=FAST) as pump:
        pump.read(5)
        files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
        while pump.reconnects < 100:
            whole(pump.read(5))
        assert len(list(Path("/proc/self/fd").iterdir())) == files and threading.active_count() == threads
