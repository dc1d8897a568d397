# SPDX-License-Identifier: Apache-2.0
"""What live cameras share: numbering, waiting, lost and repeated frames, and the list of what is connected.

An adapter is a subclass of `LiveSource` with three methods (`_start`, `_grab`, `_stop`), an `open(uri)` for the table
`SCHEMES` of `rasant.sensors.uri`, and a function `probe() -> Probe` for `CAMERAS` there.
"""

from __future__ import annotations

import abc
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rasant.errors import FrameError, SourceTimeout
from rasant.sensors.base import Source, Value
from rasant.types import Frame

__all__ = ["Camera", "DeviceCounter", "LiveSource", "Probe", "settings_hash"]

SLICE_S = 0.5  # the longest that an adapter waits inside a driver, so that close() and Ctrl-C are heard


class LiveSource(Source):
    """A camera. `serial` is set once it is open; a later frame of another serial must not come from the same object.

    An adapter's constructor opens the device: SourceBusy where another program holds it, SourceDisconnected where it is
    not there, ImportError where its library is not installed (the command line names the extra).
    """

    live = True

    def __init__(self, uri: str, *, skip_damaged: bool = False) -> None:
        super().__init__(uri, skip_damaged=skip_damaged)
        self._started = False
        self._index = 0

    @abc.abstractmethod
    def _start(self) -> None:
        """Let the device stream."""

    @abc.abstractmethod
    def _grab(self, timeout_s: float) -> Frame | None:
        """The next frame, or None where none that can be used came within `timeout_s` (0 .. SLICE_S).

        Fills in all of a frame but `index` and `drops`, `arrival_ns` right at arrival. Its arrays are its own: what the
        driver lends is copied at once, because a driver's pool is small and a full one stops the camera.
        Counts what is left out (partial, repeated) with `_lose`. Raises SourceDisconnected, EndOfStream, FrameError.
        """

    @abc.abstractmethod
    def _stop(self) -> None:
        """Stop the stream and release the device. Must not raise, and must work after a failed `_start`."""

    def start(self) -> None:
        """Let the device stream; may be called again."""
        self._check_open()
        if not self._started:
            self._start()
            self._started = True

    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame. Raises SourceTimeout where none came within `timeout_s` seconds; None waits on."""
        self.start()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._check_open()
            left = SLICE_S if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                frame = self._grab(min(left, SLICE_S))
            except FrameError as error:
                self._lose("damaged")
                error.index, self._index = self._index, self._index + 1
                raise
            if frame is not None:
                index, self._index = self._index, self._index + 1
                return replace(frame, index=index, drops=self._drops)
            if deadline is not None and time.monotonic() >= deadline:
                raise SourceTimeout(f"{self.uri}: no frame within {timeout_s} s")

    def close(self) -> None:
        """Stop the stream and release the device; may be called again."""
        if not self._closed:
            super().close()
            self._stop()

    def _lose(self, cause: str, count: int = 1) -> None:
        """Count frames under a field of `Drops`."""
        if count > 0:
            self._drops = replace(self._drops, **{cause: getattr(self._drops, cause) + count})


class DeviceCounter:
    """Reads a device's frame counter of `bits` bits that wraps; `first` is the number after the wrap (GigE: 16, 1).

    A step of more than half the range, or beyond `restart`, is taken for a device that started to count anew.
    """

    def __init__(self, bits: int = 64, *, first: int = 0, restart: int = 100_000) -> None:
        self._range, self._restart = (1 << bits) - first, restart
        self._last: int | None = None

    def missed(self, number: int) -> int:
        """How many frames were lost before this one; -1 where it is the same frame again."""
        before, self._last = self._last, number
        if before is None:
            return 0
        step = (number - before) % self._range
        return step - 1 if step <= min(self._restart, self._range // 2) else 0


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is connected: what to open, and what a person calls it."""

    uri: str
    name: str
    serial: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What an adapter found. package: what it uses and its version, or empty; needs: what is missing, or empty."""

    scheme: str
    package: str
    needs: str
    cameras: tuple[Camera, ...] = ()


def settings_hash(settings: Mapping[str, Value]) -> str:
    """16 hex digits that change with any setting; the order of the settings does not matter."""
    text = json.dumps(dict(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
