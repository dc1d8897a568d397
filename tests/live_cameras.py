# SPDX-License-Identifier: Apache-2.0
"""A camera without hardware that fails as it is told, importable by a capture process."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rasant.errors import EndOfStream, FrameError, SourceBusy, SourceDisconnected
from rasant.sensors.base import Option, Source, Value
from rasant.sensors.live import DeviceCounter, LiveSource
from rasant.sensors.uri import Uri
from rasant.types import Clock, Frame, Intrinsics

PLANS: dict[str, Callable[[], object]] = {}
"""What `fake:NAME` opens, where a test has put FakeCamera into the table of schemes; an exception is raised."""


class FakeCamera(LiveSource):
    """Exposure k has colour k % 251 and depth 1000 + k in every pixel. Counters start at `first`.

    period_s: 0 waits for trigger(). lost: numbers that the device never delivers. frames: it ends after so many.
    faults: what happens at a number: "hang" (a driver call that never returns), "hang-locked" (the same, holding the
    interpreter's lock), "unplug", "torn", "crash" (the process dies), "repeat". once: a file; faults happen only where
    it does not exist yet, and make it.
    """

    def __init__(
        self, serial: str = "A", *, period_s: float = 0.005, frames: int | None = None, first: int = 0,
        lost: frozenset[int] = frozenset(), faults: dict[int, str] | None = None, once: str = "", bits: int = 64,
        size: tuple[int, int] = (24, 32),
    ) -> None:
        super().__init__(f"fake:{serial}")
        self.serial = serial
        self.camera = Intrinsics(size[1], size[0], 40.0, 40.0, (size[1] - 1) / 2, (size[0] - 1) / 2)
        self._period_s, self._end, self._lost, self._faults = period_s, frames, lost, dict(faults or {})
        self._once, self._bits, self._first = once, bits, first
        self._number, self._due, self._triggers = first, time.monotonic(), 0
        self._counter = DeviceCounter(bits)
        self._gain = 1.0
        self.stopped = 0

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> Source:
        made = PLANS[uri.path]()
        if isinstance(made, Exception):
            raise made
        assert isinstance(made, Source)
        return made

    @property
    def intrinsics(self) -> Intrinsics:
        return self.camera

    def trigger(self) -> None:
        self._triggers += 1

    def options(self) -> dict[str, Option]:
        return {"gain": Option(self._gain, 1.0, 16.0)}

    def set_option(self, name: str, value: Value) -> None:
        if name != "gain":
            super().set_option(name, value)
        self._gain = float(value)

    def _start(self) -> None:
        self._due = time.monotonic()

    def _stop(self) -> None:
        self.stopped += 1

    def _grab(self, timeout_s: float) -> Frame | None:
        if not self._wait(timeout_s):
            return None
        number, self._number = self._number, self._number + 1
        if self._end is not None and number >= self._first + self._end:
            raise EndOfStream(f"{self.uri}: ended")
        if number in self._lost:
            return None
        if number in self._faults and self._may_fail():
            self._fail(self._faults.pop(number))
        missed = self._counter.missed(number % (1 << self._bits))
        self._lose("device", missed)
        return self.exposure(number)

    def exposure(self, number: int) -> Frame:
        """What the camera gives as its exposure `number`."""
        rows, cols = self.camera.height, self.camera.width
        return Frame(
            np.full((rows, cols, 3), number % 251, np.uint8), np.full((rows, cols), 1000 + number, np.uint16), 1e-3,
            self.camera, -1, self.uri, time.monotonic_ns(), device_time_ns=number * 10**7, clock=Clock.DEVICE,
            serial=self.serial, period_ns=round(self._period_s * 1e9) or None, name=str(number),
            settings=str(self._gain),
        )

    def _wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._period_s == 0:
            if self._triggers:
                self._triggers -= 1
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)
        self._due += self._period_s
        left = self._due - time.monotonic()
        if left > timeout_s:
            self._due -= self._period_s
        time.sleep(min(max(left, 0.0), timeout_s))
        return left <= timeout_s

    def _may_fail(self) -> bool:
        if not self._once:
            return True
        fresh = not Path(self._once).exists()
        Path(self._once).touch()
        return fresh

    def _fail(self, fault: str) -> None:
        if fault == "hang":
            time.sleep(1e6)
        elif fault == "hang-locked":
            ctypes.PyDLL(None).sleep(1_000_000)
        elif fault == "unplug":
            raise SourceDisconnected(f"{self.uri}: unplugged")
        elif fault == "torn":
            raise FrameError(f"{self.uri}: half of the rows are missing")
        elif fault == "crash":
            os.kill(os.getpid(), 9)


def whole(frame: Frame) -> int:
    """The number of an exposure, every pixel of which is of that exposure."""
    assert frame.color is not None and frame.depth is not None
    number = int(frame.name)
    assert (frame.color == number % 251).all() and (frame.depth == 1000 + number).all()
    return number


def busy() -> Source:
    """A camera that another program holds."""
    raise SourceBusy("fake: held by process 1")


def by_uri(uri: str, *, skip_damaged: bool = False) -> Source:
    """What stands in for `open_source`, here and in a capture process: "fake:PERIOD"."""
    return FakeCamera(period_s=float(uri.removeprefix("fake:")))


def stubborn() -> Source:
    """A driver that hangs when the camera is opened."""
    time.sleep(1e6)
    raise AssertionError


class _Growing(FakeCamera):
    def _grab(self, timeout_s: float) -> Frame | None:
        size = (24, 32) if self._index == 0 else (120, 160)
        return FakeCamera(size=size).exposure(self._index)


def growing() -> Source:
    """A camera whose second frame is larger than its first."""
    return _Growing()
