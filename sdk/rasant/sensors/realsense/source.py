# SPDX-License-Identifier: Apache-2.0
"""Framesets of a RealSense, live or recorded, as frames: copied, paired, counted, aligned through both lenses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration, read_calibration
from rasant.errors import ConfigError, SourceError, WrongDevice
from rasant.ops.align import AlignPlan, align_color, align_depth
from rasant.ops.depth import to_metres
from rasant.sensors.base import Option, Value
from rasant.sensors.live import DeviceCounter, LiveSource, settings_hash
from rasant.sensors.realsense.device import (
    CLOCKS,
    CameraFeed,
    Feed,
    Wanted,
    color_from_depth,
    find_device,
    lens_of,
    library,
    stable_settings,
)
from rasant.sensors.realsense.filters import DepthFilters
from rasant.sensors.realsense.playback import FileFeed
from rasant.sensors.uri import Uri
from rasant.types import Clock, Drops, Frame, Intrinsics

__all__ = ["ALIGNMENTS", "RealSenseSource"]

ALIGNMENTS = ("color", "depth")
SHARED = {"align": "color", "filters": "", "calibration": ""}
RECORDINGS = (".bag", ".db3")
FIRST_TRIGGERED_MODE = 2  # of depth.inter_cam_sync_mode: slave, full slave, external trigger
SAME_M, SAME_ROTATION = 1e-6, 1e-6  # two streams nearer to each other than this are one camera
Pixels = npt.NDArray[Any]


class RealSenseSource(LiveSource):
    """Frames of a feed (`CameraFeed`, `FileFeed`).

    align: "color" gives depth as the colour camera sees it, float32 metres; "depth" gives colour at the depth camera's
        pixels, black where colour cannot see, and depth in counts as the camera made them. Streams of one and the same
        camera are passed on untouched. Alignment is `rasant.ops.align`, through both lenses: librealsense's own ignores
        most lens distortion.
    filters: depth filters by name, see `FILTERS`; none by default.
    calibration: lenses and motion to use instead of those that the device states; frames then carry its id.

    A frameset that lacks depth or colour is left out and counted as partial, one that comes again as repeated, and
    jumps of the depth counter as lost by the device.
    """

    def __init__(
        self, feed: Feed, *, align: str = "color", filters: str = "", calibration: Calibration | None = None,
        uri: str = "", skip_damaged: bool = False,
    ) -> None:
        super().__init__(uri or f"realsense:{feed.serial}", skip_damaged=skip_damaged)
        self._feed, self.serial, self.live = feed, feed.serial, feed.live
        try:
            if align not in ALIGNMENTS:
                raise ConfigError(f"{self.uri}: align must be {' or '.join(ALIGNMENTS)}, got {align!r}")
            if calibration is not None and calibration.serial not in ("", feed.serial):
                raise WrongDevice(f"{self.uri}: the calibration is of {calibration.serial!r}, not of {feed.serial!r}")
            self._filters = DepthFilters(library(), filters)
            self._geometry = _Geometry(feed, lens_of(feed.depth), align, calibration)
        except BaseException:
            feed.stop()
            raise
        self.note = self._filters.note
        self._align, self._stated = align, calibration
        self._calibration_id = ""
        if calibration is not None:
            self._calibration_id = calibration.id
            self.calibration = calibration.model_dump_json(exclude_none=True)
        self._settings = self._hash()
        slave = feed.options().get("depth.inter_cam_sync_mode")
        triggered = slave is not None and float(slave.value) >= FIRST_TRIGGERED_MODE
        self._period_ns = None if triggered else round(1e9 / feed.depth.fps())
        self._counter = DeviceCounter(32)
        self._last_color = -1
        self._without_color = self._without_depth = 0  # framesets since the last whole one
        self._paired = False

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> RealSenseSource:
        """Open a camera by serial number, the only one there is, or a recording.

        Options of both: `align` (color, depth), `filters`, `calibration` (a file). Of a camera: `width`, `height`,
        `fps`, `color_width`, `color_height`, `preset` (a JSON file, or a number for "depth.visual_preset"), and any
        setting as "depth.NAME" or "color.NAME", such as depth.exposure (in microseconds) and
        depth.laser_power (in milliwatts). Of a recording: `pace` (asap, recorded) and `speed`.
        """
        settings = {key: value for key, value in uri.query.items() if "." in key}
        plain = Uri(uri.text, uri.scheme, uri.path, {k: v for k, v in uri.query.items() if "." not in k})
        if Path(uri.path).suffix in RECORDINGS:
            return cls._open_recording(plain, settings, skip_damaged)
        shared = plain.options(**SHARED, width=0, height=0, fps=0, color_width=0, color_height=0, preset="")
        wanted, preset = Wanted(**{f.name: shared.pop(f.name) for f in fields(Wanted)}), shared.pop("preset")
        shared = _read(shared)
        text = ""
        if preset.isdecimal():
            settings = {"depth.visual_preset": preset} | settings
        elif preset:
            text = _preset(preset)
        feed = CameraFeed(find_device(uri.path), wanted, text)
        source = cls(feed, **shared, uri=uri.text, skip_damaged=skip_damaged)
        try:
            for name, value in settings.items():
                source.set_option(name, value)
        except BaseException:
            source.close()
            raise
        return source

    @classmethod
    def _open_recording(cls, uri: Uri, settings: Mapping[str, str], skip_damaged: bool) -> RealSenseSource:
        options = uri.options(**SHARED, pace="asap", speed=1.0)
        if settings:
            raise ConfigError(f"{uri.text}: a recording is what it is; {next(iter(settings))} cannot be set")
        if options["pace"] not in ("asap", "recorded") or not 0 < options["speed"] <= 1e6:
            raise ConfigError(f"{uri.text}: pace is asap or recorded, speed above 0 and at most 1e6")
        speed = options.pop("speed")
        paced = options.pop("pace") == "recorded"
        options = _read(options)
        feed = FileFeed(uri.existing("a .bag or .db3 recording"), speed if paced else None)
        return cls(feed, **options, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera that all images of a frame are seen by."""
        return self._geometry.camera

    def options(self) -> Mapping[str, Option]:
        """Settings of both sensors: "depth.exposure", "depth.laser_power", "color.gain" and so on."""
        return self._feed.options()

    def set_option(self, name: str, value: Value) -> None:
        """Change a setting; frames carry another `settings` from then on."""
        self._feed.set_option(name, value)
        self._settings = self._hash()

    def stats(self) -> Drops:
        """Frames lost so far, with the halves that came since the last whole one."""
        return self._drops + Drops(partial=max(self._without_color, self._without_depth))

    def _start(self) -> None:
        self._feed.start()

    def _stop(self) -> None:
        self._feed.stop()

    def _grab(self, timeout_s: float) -> Frame | None:
        frameset = self._feed.wait(timeout_s)
        if frameset is None:
            return None
        arrival_ns = time.monotonic_ns()
        depth, color = frameset.get_depth_frame(), frameset.get_color_frame()
        if not self._whole(depth, color):
            return None
        seen = self._filters(depth)
        lens = lens_of(seen.get_profile())
        if lens != self._geometry.depth:
            self._geometry = _Geometry(self._feed, lens, self._align, self._stated)
        clock = CLOCKS.get(depth.get_frame_timestamp_domain().name, Clock.DEVICE)
        pixels, counts, scale = self._geometry.aligned(
            _copy(color) if color else None, _copy(seen), float(depth.get_units())
        )
        return Frame(
            color=pixels, depth=counts, depth_scale=scale, intrinsics=self._geometry.camera, index=-1, source=self.uri,
            arrival_ns=arrival_ns, device_time_ns=_nanoseconds(depth), clock=clock, name=str(depth.get_frame_number()),
            serial=self.serial, recorded=not self.live, skew_ns=_skew(color, depth) if color else None,
            period_ns=self._period_ns, settings=self._settings, calibration_id=self._calibration_id,
        )  # fmt: skip

    def _whole(self, depth: Any, color: Any) -> bool:
        """Whether a frameset has what it should, and is new; counts what it has not."""
        expected = self._feed.color is not None
        fresh = not expected or (bool(color) and color.get_frame_number() != self._last_color)
        if not depth or not fresh:
            self._without_color += bool(depth)
            self._without_depth += not depth
            return False
        missed = self._counter.missed(depth.get_frame_number())
        if missed < 0:
            self._lose("repeated")
            return False
        halves = self._without_color, self._without_depth
        partial = min(missed, sum(halves)) if self._paired else max(halves)
        self._lose("partial", partial)
        self._lose("device", missed - partial)
        self._without_color = self._without_depth = 0
        self._paired = True
        self._last_color = color.get_frame_number() if expected else -1
        return True

    def _hash(self) -> str:
        video = self._feed.depth.as_video_stream_profile()
        streams = {
            "depth": f"{video.width()}x{video.height()}@{self._feed.depth.fps()}", "align": self._align,
            "filters": self._filters.text, "preset": self._feed.preset,
        }  # fmt: skip
        return settings_hash(stable_settings(self._feed.options()) | streams)


class _Geometry:
    """Both lenses, and how images of one become images of the other."""

    def __init__(self, feed: Feed, depth: Intrinsics, align: str, stated: Calibration | None) -> None:
        self.depth = depth
        self._plan: AlignPlan | None = None
        self._to_color = align == "color"
        self.camera = depth
        if feed.color is None:
            return
        color, pose = lens_of(feed.color), color_from_depth(feed.depth, feed.color)
        if stated is not None:
            depth = _same_size(stated.need("depth").intrinsics, depth)
            color = _same_size(stated.need("color").intrinsics, color)
            pose = stated.need("color_from_depth").matrix[:3]
        still = np.allclose(pose[:, :3], np.eye(3), atol=SAME_ROTATION) and np.allclose(pose[:, 3], 0.0, atol=SAME_M)
        if depth != color or not still:
            self._plan = AlignPlan(depth, color, pose)
            self.camera = color if self._to_color else depth

    def aligned(self, color: Pixels | None, depth: Pixels, scale: float) -> tuple[Pixels | None, Pixels, float]:
        """(color, depth, depth_scale) on one grid."""
        if self._plan is None or color is None:
            return color, depth, scale
        metres = to_metres(depth, scale)
        if self._to_color:
            return color, align_depth(metres, self._plan), 1.0
        return align_color(color, metres, self._plan)[0], depth, scale


def _same_size(stated: Intrinsics, device: Intrinsics) -> Intrinsics:
    """The stated lens. Raises ConfigError where it is of another resolution than the stream."""
    if (stated.width, stated.height) != (device.width, device.height):
        raise ConfigError(
            f"the calibration is for {stated.width}x{stated.height} pixels, the stream has {device.width}x"
            f"{device.height}; choose that resolution, no decimation, or calibrate at this one"
        )
    return stated


def _read(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the calibration file read."""
    path = options.pop("calibration")
    return options | {"calibration": read_calibration(path) if path else None}


def _copy(frame: Any) -> Pixels:
    """Its pixels, out of the library's pool; colour as RGB."""
    pixels: Pixels = np.array(frame.get_data())
    if frame.get_profile().format().name == "bgr8":
        return np.ascontiguousarray(pixels[..., ::-1])
    return pixels


def _nanoseconds(frame: Any) -> int:
    return round(1e6 * float(frame.get_timestamp()))


def _skew(color: Any, depth: Any) -> int | None:
    """Nanoseconds from depth to colour, where both tell the time of one clock."""
    if color.get_frame_timestamp_domain() != depth.get_frame_timestamp_domain():
        return None
    return _nanoseconds(color) - _nanoseconds(depth)


def _preset(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the preset {path} cannot be read: {error}") from error
