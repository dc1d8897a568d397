# SPDX-License-Identifier: Apache-2.0
"""A thread that reads a source, so that a camera never waits for a reader and a reader never longer than it asked for.

The queue is bounded; what happens when it is full is the policy:

    latest       the newest frame only; an older one that nobody fetched is dropped
    drop_oldest  the newest `capacity` frames; the oldest is dropped
    block        the capture waits; nothing is dropped here (a camera then loses frames itself, and counts them)

A camera that is lost is closed and opened again, after 0.5 s, then 1, 2, 4 and every 8 s. It must come back with the
serial number it had: another camera has another calibration. What a file raises ends the stream.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from rasant.errors import (
    ConfigError,
    EndOfStream,
    FrameError,
    SourceDisconnected,
    SourceError,
    SourceTimeout,
    WrongDevice,
)
from rasant.sensors.base import Option, Source, Value
from rasant.types import Drops, Frame, Intrinsics

__all__ = ["POLICIES", "Pump"]

LOG = logging.getLogger("rasant.stream")
LOG.addHandler(logging.NullHandler())

POLICIES = ("latest", "drop_oldest", "block")
SLICE_S = 0.25  # how long one read of the source waits
LEAVE_S = 2.0  # how long close() waits for a driver that is stuck, before it leaves the thread behind


class Pump(Source):
    """Reads the source that `opens` gives, in a thread, with a bounded queue. Is itself a source for one reader.

    opens: called at once, and again when a camera is lost. first: the source of the first call, already open.
    policy: one of POLICIES. capacity: frames in the queue; "latest" holds one whatever it says.
    pauses_s: before the first attempt to open again, and the longest.
    stall_s: a camera that streams by itself (`frame.period_ns`) and is silent for so long is taken for lost. One that
        is triggered may be silent as long as it likes.

    read() raises SourceDisconnected, or WrongDevice, where the time ran out while the source was away; its message
    carries what happened. The source is still being tried: read again. Anything but a FrameError, a timeout and the end
    that a camera raises means that it is lost.
    """

    def __init__(
        self, opens: Callable[[], Source], *, policy: str = "latest", capacity: int = 4, first: Source | None = None,
        pauses_s: tuple[float, float] = (0.5, 8.0), stall_s: float = 3.0, skip_damaged: bool = False,
    ) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"policy must be {', '.join(POLICIES)}, got {policy!r}")
        if capacity < 1:
            raise ConfigError(f"capacity must be at least 1 frame, got {capacity}")
        self._source = opens() if first is None else first
        super().__init__(self._source.uri, skip_damaged=skip_damaged)
        self.live, self.serial = self._source.live, self._source.serial
        self.calibration, self.note = self._source.calibration, self._source.note
        self.reconnects = 0
        self._opens, self._policy, self._pauses_s, self._stall_s = opens, policy, pauses_s, stall_s
        self._capacity = 1 if policy == "latest" else capacity
        self._queue: deque[Frame | FrameError] = deque()
        self._changed = threading.Condition()
        self._failure: SourceError | None = None  # why the source is away; None while it is there
        self._ended = False
        self._dropped = 0
        self._past = Drops()  # of sources that were closed since
        self._settings: dict[str, Value] = {}  # to be set again after a reconnect
        self._index = 0
        self._intrinsics: Intrinsics | None = None
        self._thread = threading.Thread(target=self._run, name=f"pump {self.uri}", daemon=True)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the last frame; before the first, what the source says."""
        return self._source.intrinsics if self._intrinsics is None else self._intrinsics

    @property
    def frame_count(self) -> int | None:
        """That of the source."""
        return self._source.frame_count

    def start(self) -> None:
        """Start to capture; read() does so by itself."""
        self._check_open()
        if self._thread.ident is None:
            self._thread.start()

    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame by the policy. Raises SourceTimeout, SourceDisconnected, WrongDevice after `timeout_s`."""
        self.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._queue or self._ended or self._closed, timeout_s):
                raise self._absence(timeout_s)
            self._check_open()
            if not self._queue:
                raise self._failure or EndOfStream(f"{self.uri}: all frames have been read")
            item = self._queue.popleft()
            self._changed.notify_all()
            index, self._index = self._index, self._index + 1
            dropped = Drops(queue=self._dropped)
        if isinstance(item, FrameError):
            item.index = index
            raise item
        self._intrinsics = item.intrinsics
        return replace(item, index=index, drops=item.drops + dropped)

    def trigger(self) -> None:
        """Ask the device for one exposure. Raises SourceDisconnected while it is away."""
        self._present().trigger()

    def options(self) -> Mapping[str, Option]:
        """The settings of the device."""
        return self._present().options()

    def set_option(self, name: str, value: Value) -> None:
        """Change a setting, now and after every reconnect."""
        self._present().set_option(name, value)
        self._settings[name] = value

    def stats(self) -> Drops:
        """Frames lost by the device, by its driver and by our queue, over all reconnects."""
        with self._changed:
            return self._past + self._source.stats() + Drops(queue=self._dropped)

    def close(self) -> None:
        """Stop the capture and close the source; waits 2 s for a driver that hangs, then leaves it behind."""
        if self._closed:
            return
        with self._changed:
            super().close()
            self._changed.notify_all()
        if self._thread.ident is None:
            self._source.close()
            return
        self._thread.join(LEAVE_S)
        if self._thread.is_alive():
            self.note = "a call of the driver never returned; its thread was left behind"
            LOG.error("%s: %s", self.uri, self.note)

    def _absence(self, timeout_s: float | None) -> SourceError:
        if self._failure is None:
            return SourceTimeout(f"{self.uri}: no frame within {timeout_s} s")
        kind = WrongDevice if isinstance(self._failure, WrongDevice) else SourceDisconnected
        return kind(f"{self._failure}; it is being opened again")

    def _present(self) -> Source:
        self._check_open()
        if self._failure is not None:
            raise self._absence(None)
        return self._source

    def _run(self) -> None:
        """The thread: read, and open again what is lost."""
        try:
            while not self._closed:
                try:
                    self._capture()
                except EndOfStream:
                    self.note = self._source.note
                    return
                except Exception as error:  # drivers raise what they like
                    self._lost(error)
                    if not self.live:
                        return
                    self._reopen()
        finally:
            self._source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _capture(self) -> None:
        """Read until the source is lost (raises) or the pump is closed (returns)."""
        heard, free_running = time.monotonic(), False
        while not self._closed:
            try:
                frame = self._source.read(SLICE_S)
            except FrameError as error:
                self._put(error)
            except SourceTimeout:
                silent = time.monotonic() - heard
                if free_running and silent > self._stall_s:
                    raise SourceDisconnected(f"{self.uri} was silent for {silent:.1f} s") from None
                continue
            else:
                free_running = frame.period_ns is not None
                self._put(replace(frame, drops=self._past + frame.drops))
            heard = time.monotonic()

    def _put(self, item: Frame | FrameError) -> None:
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._queue) < self._capacity or self._closed)
            elif len(self._queue) == self._capacity:
                self._dropped += isinstance(self._queue.popleft(), Frame)
            self._queue.append(item)
            self._changed.notify_all()

    def _lost(self, error: Exception) -> None:
        failure = error if isinstance(error, SourceError) else SourceDisconnected(f"{type(error).__name__}: {error}")
        LOG.warning("%s is lost: %s", self.uri, failure)
        self._source.close()
        with self._changed:
            self._failure = failure

    def _reopen(self) -> None:
        pause, longest = self._pauses_s
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, pause):
                    return
            pause = min(2.0 * pause, longest)
            try:
                source = self._bound(self._opens())
            except Exception as error:  # still away
                with self._changed:
                    self._failure = error if isinstance(error, SourceError) else SourceDisconnected(str(error))
                continue
            with self._changed:
                self._past = self._past + self._source.stats()
                self._source, self._failure = source, None
                self.reconnects += 1
            LOG.warning("%s is here again", self.uri)
            return

    def _bound(self, source: Source) -> Source:
        """A source that was opened again, if it is the same device, with the settings that were made since."""
        try:
            if source.serial != self.serial:
                raise WrongDevice(f"{self.uri} was {self.serial!r} and is now {source.serial!r}; connect the former")
            for name, value in self._settings.items():
                source.set_option(name, value)
        except BaseException:
            source.close()
            raise
        return source
