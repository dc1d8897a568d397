# SPDX-License-Identifier: Apache-2.0
"""A RealSense made of software: librealsense's own `software_device`, exposed by hand or in a thread."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np
import pyrealsense2 as rs

from rasant.sensors.realsense.device import CameraFeed, Wanted
from rasant.sensors.realsense.source import RealSenseSource

PERIOD_MS = 1e3 / 30
SERIAL = f"SOFT{os.getpid()}"  # each process has its own camera: one camera can be open only once


class SoftwareCamera:
    """Depth (z16, 1 mm) and colour (rgb8) of `size`; exposure k is random in every pixel, from the seed k.

    lens: model and coefficients of the colour camera. shift_m: where it stands, along x. turn: about y, radians.
    """

    def __init__(
        self, size: tuple[int, int] = (48, 64), *, serial: str = SERIAL, lens: str = "none",
        coefficients: tuple[float, ...] = (0.0,) * 5, shift_m: float = 0.0, turn: float = 0.0, color_focal: float = 1.0,
    ) -> None:
        self.size = size
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "software camera")
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.sensors = {kind: self.device.add_sensor(kind.title()) for kind in ("depth", "color")}
        self.sensors["depth"].add_read_only_option(rs.option.depth_units, 0.001)
        self.sensors["depth"].add_option(rs.option.laser_power, _span(0, 360, 150), True)
        self.profiles = {
            "depth": self._stream("depth", rs.format.z16, 2, rs.distortion.none, (0.0,) * 5, 1.0),
            "color": self._stream("color", rs.format.rgb8, 3, getattr(rs.distortion, lens), coefficients, color_focal),
        }
        pose = rs.extrinsics()
        turned = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        pose.rotation, pose.translation = turned.T.ravel().tolist(), [shift_m, 0.0, 0.0]
        self.profiles["depth"].register_extrinsics_to(self.profiles["color"], pose)
        self.device.create_matcher(rs.matchers.default)

    def open(self, **options: Any) -> RealSenseSource:
        """The adapter on this device, started."""
        source = RealSenseSource(CameraFeed(self.device, Wanted()), **options)
        source.start()
        return source

    def images(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(color, depth) of an exposure; a tenth of the depth pixels are 0."""
        random = np.random.default_rng(number)
        depth = random.integers(400, 600, self.size).astype(np.uint16)
        depth[random.random(self.size) < 0.1] = 0
        return random.integers(0, 256, (*self.size, 3)).astype(np.uint8), depth

    def expose(
        self, number: int, *, without: str = "", skew_ms: float = 0.0, at_ms: float | None = None,
        color_number: int | None = None, images: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Deliver exposure `number`, or only half of it, or colour `skew_ms` later, or with another colour frame."""
        color, depth = self.images(number) if images is None else images
        at = number * PERIOD_MS if at_ms is None else at_ms
        color_number = number if color_number is None else color_number
        if without != "depth":
            self._deliver("depth", depth, 2, number, at)
        if without != "color":
            self._deliver("color", color, 3, color_number, at + skew_ms)

    def _deliver(self, kind: str, pixels: np.ndarray, bytes_per_pixel: int, number: int, at_ms: float) -> None:
        frame = rs.software_video_frame()
        frame.stride, frame.bpp = pixels.shape[1] * bytes_per_pixel, bytes_per_pixel
        frame.timestamp, frame.domain, frame.frame_number = at_ms, rs.timestamp_domain.hardware_clock, number
        frame.profile = self.profiles[kind].as_video_stream_profile()
        if kind == "depth":
            frame.depth_units = 0.001
        frame.pixels = pixels
        self.sensors[kind].on_video_frame(frame)

    def _stream(
        self, kind: str, form: Any, bytes_per_pixel: int, model: Any, coefficients: tuple[float, ...], focal: float
    ) -> Any:
        rows, cols = self.size
        lens = rs.intrinsics()
        lens.width, lens.height, lens.ppx, lens.ppy = cols, rows, (cols - 1) / 2, (rows - 1) / 2
        lens.fx = lens.fy = focal * 0.9 * cols
        lens.model, lens.coeffs = model, list(coefficients)
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid = getattr(rs.stream, kind), 0, 1 if kind == "depth" else 2
        stream.width, stream.height, stream.fps, stream.bpp, stream.fmt = cols, rows, 30, bytes_per_pixel, form
        stream.intrinsics = lens
        return self.sensors[kind].add_video_stream(stream)


class Streaming:
    """Exposes in a thread, `fps` times a second, until the context ends or `frames` are exposed."""

    def __init__(self, camera: SoftwareCamera, frames: int, fps: float = 100.0) -> None:
        self._camera, self._frames, self._period_s = camera, frames, 1.0 / fps
        self._thread = threading.Thread(target=self._run)
        self._stop = threading.Event()

    def _run(self) -> None:
        for number in range(self._frames):
            self._camera.expose(number)
            if self._stop.wait(self._period_s):
                return

    def __enter__(self) -> Streaming:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


def record(camera: SoftwareCamera, path: str, frames: int, *, pause_s: float = 0.0) -> None:
    """Let librealsense record exposures 0.. to a .db3 file, and close it."""
    recorder = rs.recorder(path, camera.device, False)
    queue = rs.frame_queue(100)
    sensors = list(recorder.query_sensors())
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(queue)
    for number in range(frames):
        camera.expose(number)
        time.sleep(pause_s)
    for sensor in sensors:
        sensor.stop()
        sensor.close()


def _span(low: float, high: float, default: float) -> Any:
    span = rs.option_range()
    span.min, span.max, span.default, span.step = low, high, default, 1.0
    return span
