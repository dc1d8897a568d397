# SPDX-License-Identifier: Apache-2.0
"""Connected regions of a pooled map, and where they are in the frame and in space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasant import _native
from rasant.errors import ConfigError
from rasant.ops.device import output, require_cpu
from rasant.types import Intrinsics

__all__ = ["Box", "RegionStat", "find_regions"]


class Box(NamedTuple):
    """Pixels x .. x + width - 1, y .. y + height - 1."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RegionStat:
    """One 8-connected part of the map at or above the threshold."""

    label: int  # its value in the label image: 1 is the highest peak
    map_box: Box
    frame_box: Box  # every frame pixel that the map box touches, clipped to the frame
    map_area: int  # map pixels
    area_px: int  # frame pixels, from the map's area and scale
    peak: float  # highest value inside
    peak_yx: tuple[int, int]  # its first place in row order, map pixels
    centroid: tuple[float, float]  # (x, y) of the mean of its pixels, frame pixels
    center_m: tuple[float, float, float] | None  # centroid at the median valid depth, camera frame; None without depth


def find_regions(
    pooled: npt.NDArray[np.float32],
    threshold: float,
    *,
    frame_from_map: npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    depth: npt.NDArray[np.float32] | None = None,
    intrinsics: Intrinsics | None = None,
    max_regions: int = 64,
    out_labels: npt.NDArray[np.int32] | None = None,
    device: str = "cpu",
) -> list[RegionStat]:
    """Finds the regions of a map, highest peak first; at most `max_regions` of them.

    pooled: (h, w) float32; a pixel belongs where its value >= threshold (NaN never does).
    frame_from_map: (2, 3) float64 affine from map (x, y, 1) to frame pixels; pixel centres are integers on both sides.
    frame_size: (rows, cols) of the frame.
    depth: (rows, cols) float32 metres of the frame, 0 and NaN invalid. A region's depth is the median of its valid
        pixels, of 64 x 64 evenly spaced ones where its box is larger.
    intrinsics: needed with `depth` for `center_m`; lens distortion is undone.
    out_labels: (h, w) int32, 0 outside, else the region's label.

    Raises ConfigError for a NaN threshold or a singular affine, ShapeError and DtypeError for wrong arrays.
    """
    require_cpu(device)
    labels: npt.NDArray[np.int32] = output(out_labels, pooled.shape, np.int32, "cpu")
    found = _native.find_regions(pooled, threshold, frame_from_map, frame_size, depth, max_regions, labels)
    scale = abs(float(np.linalg.det(frame_from_map[:, :2]))) if found else 1.0
    regions = []
    for label, (map_box, area, peak, peak_yx, center, frame_box, metres) in enumerate(found, 1):
        u, v = (float(value) for value in frame_from_map @ (*center, 1.0))
        center_m = None if intrinsics is None or math.isnan(metres) else _back_project(u, v, metres, intrinsics)
        area_px = max(round(area * scale), 1)
        boxes = Box(*map_box), Box(*frame_box)
        regions.append(RegionStat(label, *boxes, area, area_px, peak, peak_yx, (u, v), center_m))
    return regions


def _back_project(u: float, v: float, z: float, camera: Intrinsics) -> tuple[float, float, float]:
    """The point of pixel (u, v) at distance z along the optical axis, metres."""
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    if camera.distortion_model != "none" and any(camera.distortion):
        x, y = _undistort(u, v, camera)
    return x * z, y * z, z


def _undistort(u: float, v: float, camera: Intrinsics) -> tuple[float, float]:
    """The pinhole ray (x / z, y / z) of a pixel of a lens with distortion."""
    import cv2

    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    pixel, coefficients = np.array([[[u, v]]], dtype=np.float64), np.array(camera.distortion, dtype=np.float64)
    model = camera.distortion_model
    if model in ("brown_conrady", "rational"):
        x, y = cv2.undistortPoints(pixel, K, coefficients)[0, 0]
    elif model == "kannala_brandt4":
        x, y = cv2.fisheye.undistortPoints(pixel, K, coefficients)[0, 0]
    elif model in ("inverse_brown_conrady", "modified_brown_conrady"):
        x, y = _librealsense_ray((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, camera.distortion)
    elif model == "ftheta":
        w = camera.distortion[0]
        x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        distance = max(math.hypot(x, y), 1e-12)
        scale = math.tan(distance * w) / (2 * math.tan(w / 2)) / distance
        x, y = x * scale, y * scale
    else:
        raise ConfigError(f'unknown lens model "{model}"; expected one that rasant.Intrinsics lists')
    return float(x), float(y)


def _librealsense_ray(x: float, y: float, k: tuple[float, ...]) -> tuple[float, float]:
    """librealsense distorts by one polynomial for its "modified" and its "inverse" model; undone by iteration."""
    a, b = x, y
    for _ in range(20):
        r2 = a * a + b * b
        f = 1.0 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
        c, d = a * f, b * f  # the tangential part takes the radially distorted point, and the radius before
        dx, dy = 2 * k[2] * c * d + k[3] * (r2 + 2 * c * c), 2 * k[3] * c * d + k[2] * (r2 + 2 * d * d)
        a, b = (x - dx) / f, (y - dy) / f
    return a, b
