# SPDX-License-Identifier: Apache-2.0
"""`replay:FILE.mcap[?pace=asap|recorded&speed=1]`: frames of a recording, as fast as they are asked for or as recorded.

Images, intrinsics, labels, serial, calibration and device time come back bit for bit; index and arrival time are those
of the replay. A recording that a crash cut short gives its whole frames, then ends with `source.note`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceTimeout
from rasant.recording.mcap_reader import RecordedFrame, RecordingReader
from rasant.sensors.base import Source
from rasant.sensors.uri import Uri
from rasant.types import Frame, Intrinsics

__all__ = ["PACES", "ReplaySource"]

PACES = ("asap", "recorded")


class ReplaySource(Source):
    """Replays an MCAP file. With pace "recorded" read() waits until the frame is due, `speed` times as fast."""

    def __init__(
        self, path: Path, *, pace: str = "asap", speed: float = 1.0, uri: str = "", skip_damaged: bool = False
    ) -> None:
        if pace not in PACES:
            raise ConfigError(f"pace must be {' or '.join(PACES)}, got {pace!r}")
        if not 0 < speed <= 1e6:
            raise ConfigError(f"speed must be above 0 and at most 1e6, got {speed}")
        super().__init__(uri or f"replay:{path}", skip_damaged=skip_damaged)
        self._reader = RecordingReader(path)
        self._pace, self._speed = pace, speed
        self._start: tuple[int, int] | None = None  # monotonic time and log time of the first frame
        self._waiting: RecordedFrame | None = None  # read, but not yet due
        self._intrinsics: Intrinsics | None = None
        self._index = 0

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> ReplaySource:
        """Open by URI; options `pace` and `speed`."""
        options = uri.options(pace="asap", speed=1.0)
        return cls(uri.existing("an .mcap recording"), **options, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the last frame; before the first one, of that. Raises FrameError where that one is damaged."""
        if self._intrinsics is None:
            self._intrinsics = self._peek().frame.intrinsics
        return self._intrinsics

    @property
    def frame_count(self) -> int | None:
        """Number of frames recorded, None for a recording that was cut short."""
        return self._reader.frame_count

    def read(self, timeout_s: float | None = None) -> Frame:
        """The next frame. Raises SourceTimeout where it is not due within `timeout_s`; it then comes next time."""
        self._check_open()
        recorded = self._peek()
        if self._pace == "recorded":
            self._wait(recorded.log_time_ns, timeout_s)
        self._waiting = None
        self._intrinsics = recorded.frame.intrinsics
        index, self._index = self._index, self._index + 1
        return replace(
            recorded.frame, index=index, source=self.uri, arrival_ns=time.monotonic_ns(), drops=self._drops,
            recorded=True,
        )

    def close(self) -> None:
        """Close the file; may be called again."""
        super().close()
        self._reader.close()

    def _peek(self) -> RecordedFrame:
        if self._waiting is None:
            try:
                self._waiting = self._reader.read()
            except FrameError as error:
                self._drops = replace(self._drops, damaged=self._drops.damaged + 1)
                error.index, self._index = self._index, self._index + 1
                raise
            except EndOfStream:
                self.note = self._reader.note
                raise
        return self._waiting

    def _wait(self, log_time_ns: int, timeout_s: float | None) -> None:
        now = time.monotonic_ns()
        if self._start is None:
            self._start = now, log_time_ns
        due = self._start[0] + (log_time_ns - self._start[1]) / self._speed
        delay = max(0.0, (due - now) * 1e-9)
        if timeout_s is not None and delay > timeout_s:
            time.sleep(max(0.0, timeout_s))
            raise SourceTimeout(f"{self.uri}: no frame within {timeout_s} s; the next is due in {delay:.3f} s")
        time.sleep(delay)
