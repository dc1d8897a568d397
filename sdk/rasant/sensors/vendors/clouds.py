# SPDX-License-Identifier: Apache-2.0
"""What organised clouds of any maker have in common: points in millimetres in the order of the sensor's pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import FrameError
from rasant.sensors.grid_lens import TOLERANCE_PX, GridLens

__all__ = ["depth_of_cloud", "same_grid"]


def depth_of_cloud(points: npt.NDArray[Any], lens: GridLens) -> npt.NDArray[np.float32]:
    """(H, W) metres, 0 where a point is NaN or not ahead. points: (H, W, 3) millimetres.

    Raises FrameError where points do not lie on the rays of `lens` (`fit_lens` finds it, once for a camera).
    """
    ahead = np.isfinite(points).all(axis=2) & (points[..., 2] > 0)
    depth = np.where(ahead, 1e-3 * points[..., 2], 0.0).astype(np.float32)
    misfit = lens.misfit_px(1e-3 * points[..., 0], 1e-3 * points[..., 1], depth)
    if misfit > TOLERANCE_PX:
        raise FrameError(f"the points are {misfit:.1f} px off the lens; fit it to a cloud of this camera")
    return depth


def same_grid(color: tuple[int, ...], depth: tuple[int, ...]) -> None:
    """Raises FrameError where a picture and a depth image are not of one size."""
    if color[:2] != depth[:2]:
        raise FrameError(f"colour is {color[1]}x{color[0]}, depth {depth[1]}x{depth[0]}: let the device align them")
