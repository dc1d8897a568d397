# SPDX-License-Identifier: Apache-2.0
"""Is this frame of now? Age by the monotonic clock, time stamps that misbehave, cameras that freeze.

The wall clock is never asked. The offset between host arrival and device time tells the delay: its smallest value so
far is the transport's own, and what a frame has above it, the frame spent waiting. Two crystals drift apart, so that
smallest value is let up by `DRIFT` of the time that passes.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rasant.types import Clock, Frame, Reason
from rasant.verdict import Finding, Limits

__all__ = ["Freshness", "sample_rows"]

DRIFT = 200e-6  # twice what a cheap crystal is off
STEP_NS = 1_000_000_000  # a device clock that gains so much on ours was set, it did not drift
FUTURE_NS = 1_000_000  # arrivals later than now by more than this are no monotonic times of this process
SAMPLED_ROWS = 16
TORN_ROWS = 2  # so many sampled rows of the picture before, and not all, are a frame that was not filled

Scalar = TypeVar("Scalar", bound=np.generic)


def sample_rows(
    image: npt.NDArray[Scalar], roi: tuple[int, int, int, int] | None = None, count: int = SAMPLED_ROWS
) -> npt.NDArray[Scalar]:
    """About `count` evenly spaced rows of the region of interest, C-contiguous: enough for exposure and identity."""
    if roi is not None:
        x, y, width, height = roi
        image = image[y : y + height, x : x + width]
    step = max(1, image.shape[0] // count)
    return np.ascontiguousarray(image[step // 2 :: step])


class Freshness:
    """The memory of all streams that one inspector sees. Call `check` once for each frame, in the order of arrival."""

    def __init__(self, limits: Limits, *, streams: int = 64) -> None:
        self._limits = limits
        self._streams: dict[str, _Stream] = {}
        self._max_streams = streams

    def check(self, frame: Frame, now_ns: int, samples: tuple[npt.NDArray[Any], ...]) -> Finding | None:
        """What is wrong with the time or the form of this frame, or None.

        now_ns: `time.monotonic_ns()`; samples: rows of the images (`sample_rows`), hashed to see a frozen camera.
        """
        stream = self._streams.get(frame.source)
        if stream is None:
            if len(self._streams) >= self._max_streams:
                self._streams.pop(next(iter(self._streams)))
            stream = self._streams[frame.source] = _Stream(self._limits)
        return stream.check(frame, now_ns, samples)


class _Stream:
    """What is remembered of one source."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._index = -1
        self._format: tuple[object, ...] | None = None
        self._device_ns: int | None = None
        self._offset_ns = 0.0  # smallest (arrival - device time), drift let in
        self._arrival_ns = 0
        self._fingerprint: int | None = None
        self._rows: list[int] = []  # fingerprints of the sampled rows of colour
        self._identical = 0

    def check(self, frame: Frame, now_ns: int, samples: tuple[npt.NDArray[Any], ...]) -> Finding | None:
        if frame.index < self._index:
            self._device_ns = None  # the source was opened again, its clock may have started anew
        self._index = frame.index
        frozen = self._check_frozen(frame, samples)
        wrong_time = self._check_time(frame, now_ns)
        torn = self._check_torn(frame, samples)
        return self._check_format(frame) or wrong_time or frozen or torn

    def _check_format(self, frame: Frame) -> Finding | None:
        """One refusal when the form changes in the stream; from then on the new form is the stream's."""
        depth = None if frame.depth is None else frame.depth.dtype.name
        form = (
            frame.size, frame.color is None, depth, frame.depth_scale, frame.serial, frame.period_ns, frame.settings
        )
        before, self._format = self._format, form
        if before is None or before == form:
            return None
        return Finding(Reason.FORMAT, f"the stream changed its form from {before} to {form}")

    def _check_time(self, frame: Frame, now_ns: int) -> Finding | None:
        age_ns = float(now_ns - frame.arrival_ns)
        if not age_ns >= -FUTURE_NS:  # NaN is of no time either
            return Finding(Reason.TIME, "the frame arrives in the future; arrival_ns must be time.monotonic_ns()")
        if frame.clock is not Clock.NONE:
            if frame.device_time_ns is None:
                return Finding(Reason.TIME, f"the frame has no time stamp, its clock is {frame.clock.value!r}")
            wrong, waited_ns = self._follow(frame.device_time_ns, frame.arrival_ns, frame.recorded)
            if wrong is not None:
                return wrong
            age_ns += waited_ns
        limit = self._limits.max_age_ms
        if limit is not None and not age_ns <= limit * 1e6:
            return Finding(Reason.STALE, f"the frame is {age_ns / 1e6:.0f} ms old, limit {limit:g} ms")
        return None

    def _follow(self, device_ns: int, arrival_ns: int, recorded: bool) -> tuple[Finding | None, float]:
        """Compare a device time stamp with the stream's; returns what is wrong, and how long the frame waited (ns).

        Of a recording only the order of the stamps is judged: it may be played at any pace.
        """
        before, passed = self._device_ns, arrival_ns - self._arrival_ns
        offset = float(arrival_ns - device_ns)
        expected = self._offset_ns + DRIFT * max(0, passed)
        self._device_ns, self._arrival_ns = device_ns, arrival_ns
        if before is None:
            self._offset_ns = offset
            return None, 0.0
        if device_ns == before:
            return Finding(Reason.TIME, f"the time stamp {device_ns} ns came twice"), 0.0
        if device_ns < before or (not recorded and offset < expected - STEP_NS):
            self._offset_ns = offset
            by = (device_ns - before) / 1e9
            return Finding(Reason.TIME, f"the time stamp jumped by {by:+.3f} s in {passed / 1e9:.3f} s"), 0.0
        self._offset_ns = min(offset, expected)
        return None, 0.0 if recorded else offset - self._offset_ns

    def _check_torn(self, frame: Frame, samples: tuple[npt.NDArray[Any], ...]) -> Finding | None:
        """Rows of colour that hold the last frame's bytes: noise never repeats a row, a buffer half filled does.

        Rows of one value (black, saturated) say nothing.
        """
        colors = [sample for sample in samples if sample.ndim == 3]
        if frame.clock is Clock.NONE or not colors:
            return None
        before, self._rows = self._rows, [zlib.crc32(row.data) for row in colors[0]]
        if len(before) != len(self._rows) or before == self._rows:
            return None
        old = [k for k, (past, now) in enumerate(zip(before, self._rows, strict=True)) if past == now]
        old = [k for k in old if np.ptp(colors[0][k], axis=0).any()]
        if len(old) < TORN_ROWS:
            return None
        return Finding(Reason.FRAME, f"{len(old)} of {len(before)} sampled rows are still those of the frame before")

    def _check_frozen(self, frame: Frame, samples: tuple[npt.NDArray[Any], ...]) -> Finding | None:
        if frame.clock is Clock.NONE:
            return None  # a folder may well hold the same picture twice
        fingerprint = 0
        for sample in samples:
            fingerprint = zlib.crc32(sample.data, fingerprint)
        self._identical = self._identical + 1 if fingerprint == self._fingerprint else 1
        self._fingerprint = fingerprint
        if self._identical < self._limits.max_identical:
            return None
        return Finding(Reason.STALE, f"the same image came {self._identical} times: the camera is frozen")
