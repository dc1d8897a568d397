# SPDX-License-Identifier: Apache-2.0
"""Mech-Eye: a `Frame2DAnd3D` (`camera.capture_2d_and_3d(frame)`) as a frame. Written from mecheyeapi 2.6; untested on
hardware. Points are millimetres (the SDK's default unit), NaN where nothing was measured; pictures are BGR.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from rasant.sensors.grid_lens import GridLens, fit_lens
from rasant.sensors.vendors.clouds import depth_of_cloud, same_grid
from rasant.types import Frame

__all__ = ["frame_of", "lens_of"]


def lens_of(frame: Any) -> GridLens:
    """The lens of a camera, from one `Frame2DAnd3D` of it in which a surface fills most of the picture."""
    points = 1e-3 * np.asarray(frame.frame_3d().get_untextured_point_cloud().data(), np.float64)
    return fit_lens(points[..., 0], points[..., 1], np.nan_to_num(points[..., 2]))


def frame_of(frame: Any, lens: GridLens, index: int, *, serial: str) -> Frame:
    """A `Frame2DAnd3D` as number `index` of its stream. serial: `CameraInfo.serial_number`; a frame does not carry it.

    Raises FrameError where `lens` is not that of its points, or picture and points differ in size.
    """
    arrival_ns = time.monotonic_ns()
    points = frame.frame_3d().get_untextured_point_cloud().data()
    depth = depth_of_cloud(np.asarray(points), lens)
    color = np.array(np.asarray(frame.frame_2d().get_color_image().data())[..., ::-1], np.uint8, order="C")
    same_grid(color.shape, depth.shape)
    return Frame(
        color, depth, 1.0, lens.intrinsics, index, f"mecheye:{serial}", arrival_ns, serial=serial,
        name=str(frame.frame_3d().frame_id()),
    )  # fmt: skip
