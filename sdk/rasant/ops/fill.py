# SPDX-License-Identifier: Apache-2.0
"""Hole filling of depth images by the mean of the valid neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.device import native_for, output

__all__ = ["fill_holes"]


def fill_holes(
    depth: npt.NDArray[np.float32],
    *,
    passes: int,
    clamp: bool = True,
    out: npt.NDArray[np.float32] | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> npt.NDArray[np.float32]:
    """Fills each hole with the mean of the valid values in its 3 x 3 neighbourhood, `passes` times (Jacobi).

    depth: (H, W) float32 in any unit; 0, negative, NaN and infinite pixels are holes.
    passes: 0..64. 2 is what 3DSR uses (Zavrtanik et al., WACV 2024), 3 what AST uses (Rudolph et al., WACV 2023).
    clamp: the window is clamped to the image. False leaves row 0 and column 0 unfilled, as AST's program does.
    out: (H, W) float32 that shares no memory with `depth`.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Returns (H, W) float32: measured pixels unchanged, holes filled, and 0 where a hole is too large.
    Raises ConfigError for `passes` out of range or overlapping arrays, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    filled: npt.NDArray[np.float32] = output(out, depth.shape, np.float32, device)
    native.fill_holes(depth, passes, clamp, filled, threads, stream)
    return filled
