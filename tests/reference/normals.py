# SPDX-License-Identifier: Apache-2.0
"""Surface normals by solving the least squares problem of each window, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view


def surface_normals(
    depth: npt.NDArray[np.float32], camera: tuple[float, float, float, float], size: int, step_m: float
) -> npt.NDArray[np.float64]:
    """(H, W, 3): the plane N . (x, y, 1) = 1 / z that fits each window best, as a unit vector towards the camera."""
    fx, fy, cx, cy = camera
    height, width = depth.shape
    normals = np.zeros((height, width, 3))
    if height < size or width < size:
        return normals
    r = size // 2
    valid = (depth > 0) & (depth < np.finfo(np.float32).max)
    clean = np.where(valid, depth, np.float32(1))
    along = np.abs(np.diff(clean, axis=1)) <= np.float32(step_m)
    down = np.abs(np.diff(clean, axis=0)) <= np.float32(step_m)
    ok = sliding_window_view(valid, (size, size)).all(axis=(2, 3))
    ok &= sliding_window_view(along, (size, size - 1)).all(axis=(2, 3))
    ok &= sliding_window_view(down[:, r : width - r], (size - 1, 1)).all(axis=(2, 3))
    j, i = np.mgrid[-r : r + 1, -r : r + 1]
    inverse = sliding_window_view(1.0 / clean.astype(np.float64), (size, size))
    for row, column in np.argwhere(ok):
        v, u = row + r, column + r
        rays = np.stack([(u + i - cx) / fx, (v + j - cy) / fy, np.ones(i.shape)], axis=-1).reshape(-1, 3)
        plane = np.linalg.lstsq(rays, inverse[row, column].ravel(), rcond=None)[0]
        normals[v, u] = -plane / np.linalg.norm(plane)
    return normals


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry of the operation."""
    depth = np.full((13, 21), 0.5, np.float32)
    out = np.empty((13, 21, 3), np.float32)
    return {"surface_normals": (depth, (20.0, 20.0, 10.0, 6.0), 5, 0.006, out, 1)}
