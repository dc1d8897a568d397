# SPDX-License-Identifier: Apache-2.0
"""Farthest-point sampling and exact nearest neighbours of points in space, of fixed capacity with a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.device import native_for, output

__all__ = ["MAX_NEIGHBOURS", "farthest_points", "nearest_neighbours"]

MAX_NEIGHBOURS = 1024

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int32]


def farthest_points(
    points: Points,
    count: int,
    *,
    valid: Mask | None = None,
    start: int = 0,
    out: Indices | None = None,
    device: str = "cpu",
    stream: Any = None,
) -> Indices:
    """Picks `count` points, each as far as possible from those before it (Eldar et al., IEEE Trans. Image Proc. 1997).

    points: (N, 3) float32 in any unit, at most 2 ** 24. A point with a NaN or an infinity is never picked.
    count: how many; 1024 centres in M3DM (Wang et al., CVPR 2023).
    valid: (N,) bool; False is never picked. None: all are valid.
    start: the first pick is the first valid point at or after this index, else the first valid one.
    out: (count,) int32 of the device.
    device, stream: see rasant.ops.device. All devices give the same indices.

    Returns (count,) int32 indices, each at most once; where no point is left they are -1, at the end. Equally far
    points are picked in the order of their indices; points that coincide with a picked one come last.
    Raises ConfigError for `count` or `start` out of range, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    if count < 1:
        raise ConfigError(f"count must be at least 1, got {count}; 1024 is usual")
    picked: Indices = output(out, (count,), np.int32, device, "out")
    native.farthest_points(points, valid, start, picked, stream)
    return picked


def nearest_neighbours(
    queries: Points,
    points: Points,
    k: int,
    *,
    valid: Mask | None = None,
    out_indices: Indices | None = None,
    out_squared: Points | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[Indices, Points]:
    """The k points nearest to each query, exactly.

    queries: (Q, 3) float32. points: (N, 3) float32, at most 2 ** 24, same unit.
    k: 1..1024; 128 for the groups of M3DM (Wang et al., CVPR 2023), 3 for its interpolation.
    valid: (N,) bool; False is never returned, nor is a point with a NaN or an infinity. None: all are valid.
    out_indices, out_squared: (Q, k) int32 and float32 of the device.
    threads: queries are shared out among so many threads; the result does not depend on it.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Returns (indices, squared distances), both (Q, k), ascending by (distance, index). Where there are fewer than k
    points, and for a query that is not finite, the index is -1 and the distance inf.
    Raises ConfigError for `k` out of range or overlapping arrays, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    if not 1 <= k <= MAX_NEIGHBOURS:
        raise ConfigError(f"k must be 1..{MAX_NEIGHBOURS}, got {k}; ask for fewer neighbours")
    shape = (*queries.shape[:1], k)
    indices: Indices = output(out_indices, shape, np.int32, device, "out_indices")
    squared: Points = output(out_squared, shape, np.float32, device, "out_squared")
    native.nearest_neighbours(queries, points, valid, indices, squared, threads, stream)
    return indices, squared
