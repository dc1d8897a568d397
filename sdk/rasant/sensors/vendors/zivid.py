# SPDX-License-Identifier: Apache-2.0
"""Zivid: a `zivid.Frame` with colour (`camera.capture_2d_3d(settings)`) as a frame. Written from zivid 2.18; untested
on hardware. Points are millimetres from the imager's centre, x right, y down, z ahead, NaN where nothing was measured.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from rasant.sensors.grid_lens import GridLens, fit_lens
from rasant.sensors.live import settings_hash
from rasant.sensors.vendors.clouds import depth_of_cloud, same_grid
from rasant.types import Clock, Frame

__all__ = ["frame_of", "lens_of"]


def lens_of(frame: Any) -> GridLens:
    """The lens of a camera, from one `zivid.Frame` of it in which a surface fills most of the picture."""
    points = 1e-3 * np.asarray(frame.point_cloud().copy_data("xyz"), np.float64)
    return fit_lens(points[..., 0], points[..., 1], np.nan_to_num(points[..., 2]))


def frame_of(frame: Any, lens: GridLens, index: int) -> Frame:
    """A `zivid.Frame` as number `index` of its stream. Raises FrameError where `lens` is not that of its points."""
    arrival_ns = time.monotonic_ns()
    cloud = frame.point_cloud()
    depth = depth_of_cloud(np.asarray(cloud.copy_data("xyz")), lens)
    color = np.array(cloud.copy_data("rgba_srgb")[..., :3], np.uint8, order="C")
    same_grid(color.shape, depth.shape)
    serial = str(frame.camera_info.serial_number)
    return Frame(
        color, depth, 1.0, lens.intrinsics, index, f"zivid:{serial}", arrival_ns, serial=serial,
        device_time_ns=round(1e9 * frame.info.time_stamp.timestamp()), clock=Clock.HOST,
        settings=settings_hash({"settings": str(frame.settings)}),
    )  # fmt: skip
