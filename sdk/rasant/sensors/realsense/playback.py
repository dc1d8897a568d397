# SPDX-License-Identifier: Apache-2.0
"""What is known of recordings by librealsense: .bag (until 2.57) and .db3 (from 2.58).

Their end looks like a camera that died: no frame within the time. `current_status` tells one from the other, and says
"stopped" as soon as the file is read, while frames may still be on their way.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rasant.errors import ConfigError, EndOfStream, SourceError
from rasant.sensors.base import Option, Value
from rasant.sensors.realsense.device import info_of, library, read_options

__all__ = ["FileFeed"]

WAIT_S = 0.1


class FileFeed:
    """A .bag or .db3 recording. It waits for its reader, so nothing is lost; `speed` paces it by its time stamps.

    speed: None gives frames as fast as they are read; 1 as recorded, 2 twice as fast.
    Played by the library's own clock a slow reader would lose frames without a word.
    """

    live = False
    preset = ""

    def __init__(self, path: Path, speed: float | None = None) -> None:
        self._rs, self._path, self._speed = library(), path, speed
        self._pipeline, config = self._rs.pipeline(), self._rs.config()
        try:
            config.enable_device_from_file(str(path), repeat_playback=False)
            # before it starts: it starts in real time, in which the first frame may be lost
            resolved = config.resolve(self._rs.pipeline_wrapper(self._pipeline))
            resolved.get_device().as_playback().set_real_time(False)
            self._profile = self._pipeline.start(config)
        except RuntimeError as error:
            raise SourceError(f"{path} cannot be played: {error}; it may be cut short") from error
        self._device = self._profile.get_device()
        self._playback = self._device.as_playback()
        self.serial = info_of(self._rs, self._device, "serial_number")
        streams = {profile.stream_type().name: profile for profile in self._profile.get_streams()}
        if "depth" not in streams:
            self.stop()
            raise SourceError(f"{path} has no depth stream; it has {', '.join(streams) or 'none'}")
        self.depth, self.color = streams["depth"], streams.get("color")
        self._sensors = {
            ("depth" if sensor.is_depth_sensor() else "color"): sensor for sensor in self._device.query_sensors()
        }
        self._waiting: Any = None
        self._silent = 0  # waits in vain since it stopped
        self._origin: tuple[float, float] | None = None  # monotonic seconds, and those of the recording

    def start(self) -> None:
        """It streams since it was opened, as far as its queues go."""

    def wait(self, timeout_s: float) -> Any:
        """The next frameset, when it is due. Raises EndOfStream."""
        deadline = time.monotonic() + timeout_s
        while self._waiting is None:
            left = max(0.0, deadline - time.monotonic())
            arrived, frameset = self._pipeline.try_wait_for_frames(round(1e3 * min(left, WAIT_S)))
            if arrived:
                self._waiting = frameset
                continue
            stopped = self._playback.current_status() == self._rs.playback_status.stopped
            self._silent = self._silent + 1 if stopped else 0
            if self._silent > 1:
                raise EndOfStream(f"{self._path}: all frames have been read")
            if time.monotonic() >= deadline:
                return None
        due = self._due(self._waiting.get_timestamp() * 1e-3)
        time.sleep(max(0.0, min(due, deadline) - time.monotonic()))
        if due > deadline:
            return None
        frameset, self._waiting = self._waiting, None
        return frameset

    def options(self) -> dict[str, Option]:
        """The settings that the recording holds."""
        return {name: replace(option, writable=False) for name, option in read_options(self._sensors).items()}

    def set_option(self, name: str, value: Value) -> None:
        """Raises ConfigError: a recording is what it is."""
        raise ConfigError(f"{self._path} is a recording; {name!r} cannot be changed")

    def stop(self) -> None:
        """Stop playing."""
        with contextlib.suppress(RuntimeError):
            self._pipeline.stop()

    def _due(self, recorded_s: float) -> float:
        if self._speed is None:
            return 0.0
        if self._origin is None:
            self._origin = time.monotonic(), recorded_s
        return self._origin[0] + (recorded_s - self._origin[1]) / self._speed
