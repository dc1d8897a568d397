# SPDX-License-Identifier: Apache-2.0
"""Background models in numpy: points, planes by SVD, heights with exact fused steps, components by flooding."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Camera = tuple[float, float, float, float]


def points_of(depth: npt.NDArray[np.float32], camera: Camera) -> npt.NDArray[np.float64]:
    """(H, W, 3) points; NaN where depth is invalid."""
    fx, fy, cx, cy = camera
    y, x = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]]
    z = np.where((depth > 0) & np.isfinite(depth), depth, np.nan).astype(np.float64)
    return np.stack([(x - cx) / fx * z, (y - cy) / fy * z, z], axis=-1)


def border_mask(shape: tuple[int, int], border: int) -> npt.NDArray[np.bool_]:
    """True in the outer rows and columns."""
    mask = np.ones(shape, bool)
    if min(shape) > 2 * border:
        mask[border:-border, border:-border] = False
    return mask


def least_squares_plane(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Total least squares (normal, offset) of (N, 3) points, the normal towards the camera."""
    mean = points.mean(axis=0)
    normal = np.linalg.svd(points - mean, full_matrices=False)[2][2]
    offset = -float(normal @ mean)
    return (normal, offset) if offset > 0 else (-normal, -offset)


def ransac_plane(
    points: npt.NDArray[np.float64], inlier: float, sample: int, tries: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], float]:
    """RANSAC as the published programs use it: `sample` points a hypothesis, a last fit to the best one's inliers."""
    best: tuple[int, Any] = (-1, None)
    for _ in range(tries):
        normal, offset = least_squares_plane(points[rng.choice(len(points), sample, replace=False)])
        inliers = np.abs(points @ normal + offset) < inlier
        if inliers.sum() > best[0]:
            best = (int(inliers.sum()), inliers)
    return least_squares_plane(points[best[1]])


def fused(a: Any, b: Any, c: Any) -> npt.NDArray[np.float32]:
    """float32 a * b + c with one rounding: the product of two float32 is exact in float64."""
    return (np.asarray(a, np.float64) * np.asarray(b, np.float64) + np.asarray(c, np.float64)).astype(np.float32)


def height_above_plane(
    depth: npt.NDArray[np.float32], normal: tuple[float, float, float], offset: float, camera: Camera, threshold: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(height, foreground) step by step as the header promises."""
    fx, fy, cx, cy = camera
    x, y = np.arange(depth.shape[1], dtype=np.float32), np.arange(depth.shape[0], dtype=np.float64)[:, None]
    slope = normal[0] / fx
    start = (normal[1] * ((y - cy) / fy) + normal[2] - slope * cx).astype(np.float32)
    s = fused(np.float32(slope), x, start)
    valid = (depth > 0) & np.isfinite(depth)
    z = np.where(valid, depth, np.float32(1))
    distance = fused(z, s, np.float32(offset))
    height = np.where(valid, distance / -s, np.float32(0)).astype(np.float32)
    return height, valid & (np.abs(distance) > np.float32(threshold))


def height_above_corners(
    depth: npt.NDArray[np.float32], corners: tuple[float, float, float, float], threshold: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(height, foreground) above the bilinear surface through four corner depths."""
    h, w = depth.shape
    t = np.arange(h)[:, None] / max(h - 1, 1)
    left = corners[0] + (corners[2] - corners[0]) * t
    right = corners[1] + (corners[3] - corners[1]) * t
    slope = ((right - left) / (w - 1) if w > 1 else 0 * left).astype(np.float32)
    surface = fused(slope, np.arange(w, dtype=np.float32), left.astype(np.float32))
    valid = (depth > 0) & np.isfinite(depth)
    difference = (surface - np.where(valid, depth, np.float32(0))).astype(np.float32)
    return np.where(valid, difference, np.float32(0)), valid & (np.abs(difference) > np.float32(threshold))


def keep_largest(
    foreground: npt.NDArray[np.bool_], depth: npt.NDArray[np.float32], step: float
) -> npt.NDArray[np.bool_]:
    """Flooding from every pixel not yet reached."""
    h, w = depth.shape
    measured = (depth > 0) & np.isfinite(depth)
    label = np.zeros((h, w), int)
    sizes = [0]
    for seed in zip(*np.nonzero(foreground), strict=True):
        if label[seed]:
            continue
        label[seed] = len(sizes)
        sizes.append(0)
        queue = deque([seed])
        while queue:
            y, x = queue.popleft()
            sizes[-1] += 1
            for ny in range(max(y - 1, 0), min(y + 2, h)):
                for nx in range(max(x - 1, 0), min(x + 2, w)):
                    if not foreground[ny, nx] or label[ny, nx]:
                        continue
                    apart = measured[y, x] and measured[ny, nx] and abs(depth[y, x] - depth[ny, nx]) >= np.float32(step)
                    if not apart:
                        label[ny, nx] = label[y, x]
                        queue.append((ny, nx))
    return (label == int(np.argmax(sizes))) & foreground


def examples() -> dict[str, tuple]:
    """A valid call of each native entry: a flat background with a low part on it."""
    depth = np.full((24, 30), 0.5, np.float32)
    depth[8:16, 10:20] = 0.48
    camera = (60.0, 60.0, 14.5, 11.5)
    height, foreground = np.empty_like(depth), np.empty(depth.shape, np.bool_)
    return {
        "fit_plane_ransac": (depth, camera, 4, 0.004, 20, 16, 1),
        "corner_points": (depth, camera, 3),
        "plane_through": ([(0.0, 0.0, 0.5), (0.1, 0.0, 0.5), (0.0, 0.1, 0.5)], camera, 24, 30),
        "height_above_plane": (depth, (0.0, 0.0, -1.0), 0.5, camera, 0.005, height, foreground, 2),
        "height_above_corners": (depth, (0.5, 0.5, 0.5, 0.5), 0.005, height, foreground, 2),
        "keep_largest": (depth < 0.49, depth, 0.006, np.empty(depth.shape, np.bool_)),
    }
