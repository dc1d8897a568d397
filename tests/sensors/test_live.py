# SPDX-License-Identifier: Apache-2.0
"""The contract of live sources: waiting, numbering, counting, settings."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError, SourceTimeout
from rasant.sensors.live import DeviceCounter, LiveSource, settings_hash
from rasant.types import Frame, Intrinsics

CAMERA = Intrinsics(4, 2, 5.0, 5.0, 1.5, 0.5)


class Scripted(LiveSource):
    """A camera that answers each grab with the next step of a script: a frame, None, an error, or a function."""

    def __init__(self, *script: object) -> None:
        super().__init__("scripted:")
        self.script = list(script)
        self.calls: list[str] = []

    @property
    def intrinsics(self) -> Intrinsics:
        return CAMERA

    def _start(self) -> None:
        self.calls.append("start")

    def _stop(self) -> None:
        self.calls.append("stop")

    def _grab(self, timeout_s: float) -> Frame | None:
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            self._lose(step)
            return None
        if step is None:
            time.sleep(min(timeout_s, 0.01))
            return None
        return Frame(np.full((2, 4, 3), step, np.uint8), None, 1.0, CAMERA, -1, self.uri, time.monotonic_ns())


def test_frames_are_numbered_and_what_is_left_out_is_counted() -> None:
    """Partial and repeated frames are skipped, a damaged one uses up its number, and each is counted by its cause."""
    source = Scripted(1, "partial", "repeated", 2, FrameError("torn"), 3, EndOfStream("end"))
    assert [source.read().index, source.read().index] == [0, 1]
    with pytest.raises(FrameError) as caught:
        source.read()
    assert caught.value.index == 2
    last = source.read()
    assert last.index == 3 and last.drops == source.stats()
    drops = source.stats()
    assert (drops.partial, drops.repeated, drops.damaged, drops.total) == (1, 1, 1, 2)
    with pytest.raises(EndOfStream):
        source.read()


@pytest.mark.parametrize("timeout_s", [0.0, 0.05])
def test_silence_is_a_timeout_and_the_source_stays_open(timeout_s: float) -> None:
    """read() raises SourceTimeout no earlier than asked; the next frame comes all the same."""
    source = Scripted()
    start = time.monotonic()
    with pytest.raises(SourceTimeout, match=r"no frame within"):
        source.read(timeout_s)
    assert time.monotonic() - start >= timeout_s
    source.script = [7]
    assert source.read(timeout_s).index == 0


def test_a_device_is_started_once_and_released_once() -> None:
    """start() may be called or not; close() twice stops once; a closed source refuses to read."""
    source = Scripted(1, 2)
    source.start()
    assert source.read().index == 0 and source.live
    source.close()
    source.close()
    assert source.calls == ["start", "stop"]
    with pytest.raises(SourceError, match="closed"):
        source.read()


@pytest.mark.parametrize("call", [lambda s: s.trigger(), lambda s: s.set_option("gain", 1)])
def test_what_a_camera_cannot_do_is_said(call: Callable[[Scripted], object]) -> None:
    """A source without trigger or settings refuses both with ConfigError that says so."""
    source = Scripted()
    assert source.options() == {}
    with pytest.raises(ConfigError, match=r"trigger|setting"):
        call(source)


@given(
    bits=st.sampled_from([8, 16, 32, 64]), first=st.sampled_from([0, 1]), start=st.integers(0, 2**64 - 1),
    lost=st.lists(st.integers(0, 60), max_size=20),
)
def test_the_counter_is_exact_over_its_wrap(bits: int, first: int, start: int, lost: list[int]) -> None:
    """Whatever the width, wherever it starts, and whether 0 is left out: lost frames are counted exactly."""
    span = (1 << bits) - first
    counter, number = DeviceCounter(bits, first=first), start % span
    assert counter.missed(number + first) == 0
    for gap in lost:
        number = (number + gap + 1) % span
        assert counter.missed(number + first) == gap
        assert counter.missed(number + first) == -1


def test_a_counter_that_starts_anew_loses_nothing() -> None:
    """A device that was reset counts from 0 again; that is no loss of millions of frames."""
    counter = DeviceCounter(32)
    assert [counter.missed(n) for n in (70_000, 70_001, 0, 1, 3)] == [0, 0, 0, 0, 1]


def test_the_hash_of_settings_names_the_settings() -> None:
    """Order does not matter, every value does."""
    first = settings_hash({"gain": 16, "exposure": 8500.0})
    assert first == settings_hash({"exposure": 8500.0, "gain": 16}) and len(first) == 16
    assert first != settings_hash({"exposure": 8500.0, "gain": 17})
