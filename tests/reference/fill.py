# SPDX-License-Identifier: Apache-2.0
"""Hole filling in numpy float32, with the sums in the order that the operation promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fill_holes(depth: npt.NDArray[np.float32], passes: int, clamp: bool = True) -> npt.NDArray[np.float32]:
    """Jacobi passes of the 3x3 mean over valid values."""
    limit = np.float32(3.402823466e38)
    values = np.where((depth > 0) & (depth < limit), depth, np.float32(0)).astype(np.float32)
    for _ in range(passes):
        p = np.pad(values, 1)
        rows = (p[:, :-2] + p[:, 1:-1]) + p[:, 2:]
        total = (rows[:-2] + rows[1:-1]) + rows[2:]
        q = (p > 0).astype(np.int32)
        counts = q[:, :-2] + q[:, 1:-1] + q[:, 2:]
        count = counts[:-2] + counts[1:-1] + counts[2:]
        mean = (total / np.maximum(count, 1).astype(np.float32)).astype(np.float32)
        filled = np.where(values > 0, values, mean)
        if not clamp:
            filled[0], filled[:, 0] = values[0], values[:, 0]
        values = filled
    return values


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    depth = np.linspace(0.3, 0.5, 63, dtype=np.float32).reshape(7, 9)
    return {
        "fill_holes": (depth, 2, True, np.empty_like(depth), 2),
        "to_metres": (depth, 0.5, np.empty_like(depth), 2),
    }
