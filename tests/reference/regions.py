# SPDX-License-Identifier: Apache-2.0
"""Numpy twin of the regions operation, on scipy's labelling."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def find_regions(pooled: np.ndarray, threshold: float) -> tuple[np.ndarray, list[dict]]:
    """(labels, regions) from the highest peak down; equal peaks in the order of their first pixel."""
    found, count = ndimage.label(pooled >= threshold, structure=np.ones((3, 3)))
    regions = []
    for i in range(1, count + 1):
        y, x = np.nonzero(found == i)
        best = np.argmax(pooled[y, x])
        regions.append(
            {
                "mask": found == i,
                "box": (int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1),
                "area": len(x),
                "peak": float(pooled[y[best], x[best]]),
                "peak_yx": (int(y[best]), int(x[best])),
                "first": (int(y[0]), int(x[0])),
                "centre": (float(x.mean()), float(y.mean())),
            }
        )
    regions.sort(key=lambda r: (-r["peak"], r["first"]))
    labels = np.zeros(pooled.shape, np.int32)
    for i, region in enumerate(regions, 1):
        labels[region["mask"]] = i
    return labels, regions


def frame_box(box: tuple[int, int, int, int], matrix: np.ndarray, frame_size: tuple[int, int]) -> tuple[int, ...]:
    """The frame pixels that a map box touches, clipped."""
    x, y, width, height = box
    corners = np.array([[u, v, 1] for u in (x - 0.5, x + width - 0.5) for v in (y - 0.5, y + height - 0.5)]).T
    places = matrix @ corners
    spans = []
    for (low, high), size in zip(np.stack([places.min(1), places.max(1)], 1), frame_size[::-1], strict=True):
        first = min(max(math.floor(low + 0.5 + 1e-6), 0), size - 1)
        spans.append((first, min(max(math.ceil(high + 0.5 - 1e-6), first + 1), size) - first))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def median_depth(depth: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> float:
    """Median of the valid depths of all frame pixels whose map pixel is set; NaN without any."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    v, u = np.nonzero(np.isfinite(depth) & (depth > 0))
    x, y = np.floor(inverse @ np.stack([u, v, np.ones_like(u)]) + 0.5).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    hit = inside.copy()
    hit[inside] = mask[y[inside], x[inside]]
    return float(np.median(depth[v[hit], u[hit]])) if hit.any() else float("nan")


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    pooled = np.zeros((7, 9), np.float32)
    pooled[2:4, 3:6] = 0.9
    frame_from_map = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]])
    depth, labels = np.full((14, 18), 0.5, np.float32), np.empty((7, 9), np.int32)
    return {"find_regions": (pooled, 0.5, frame_from_map, (14, 18), depth, 8, labels)}
