# SPDX-License-Identifier: Apache-2.0
"""Farthest points and nearest neighbours in numpy float32: every distance, no pruning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]


def squared_distances(a: Points, b: Points) -> Points:
    """(len(a), len(b)) of ((dx^2 + dy^2) + dz^2), each operation rounded to float32."""
    with np.errstate(all="ignore"):
        dx, dy, dz = (a[:, None, axis] - b[None, :, axis] for axis in range(3))
        return (dx * dx + dy * dy) + dz * dz


def usable(points: Points, valid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Which points take part."""
    finite = np.isfinite(points).all(axis=1)
    return finite if valid is None else finite & valid


def farthest_points(
    points: Points, count: int, valid: npt.NDArray[np.bool_] | None = None, start: int = 0
) -> npt.NDArray[np.int32]:
    """The definition, point by point; numpy's argmax takes the lowest index of equal values."""
    picked = np.full(count, -1, np.int32)
    remaining = usable(points, valid)
    nearest = np.where(remaining, np.float32(np.inf), np.float32(-1))
    candidates = np.flatnonzero(remaining)
    later = candidates[candidates >= start]
    for n in range(min(count, len(candidates))):
        i = int((later if len(later) else candidates)[0]) if n == 0 else int(nearest.argmax())
        picked[n] = i
        remaining[i] = False
        nearest = np.where(remaining, np.minimum(nearest, squared_distances(points, points[i : i + 1])[:, 0]), -1)
    return picked


def nearest_neighbours(
    queries: Points, points: Points, k: int, valid: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int32], Points]:
    """A stable sort of every distance."""
    indices = np.full((len(queries), k), -1, np.int32)
    squared = np.full((len(queries), k), np.inf, np.float32)
    candidates = np.flatnonzero(usable(points, valid))
    distances = squared_distances(queries, points[candidates])
    for q in np.flatnonzero(np.isfinite(queries).all(axis=1)):
        order = np.argsort(distances[q], kind="stable")[:k]
        indices[q, : len(order)] = candidates[order]
        squared[q, : len(order)] = distances[q][order]
    return indices, squared


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    points = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    valid = np.arange(40) % 5 > 0
    indices, squared = np.empty((7, 6), np.int32), np.empty((7, 6), np.float32)
    return {
        "farthest_points": (points, valid, 3, np.empty(8, np.int32)),
        "nearest_neighbours": (points[:7].copy(), points, valid, indices, squared, 2),
    }
