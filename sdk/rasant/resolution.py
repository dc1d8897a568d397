# SPDX-License-Identifier: Apache-2.0
"""What one pixel of the anomaly map stands for on the part, in millimetres; the smallest defect that it can show."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.preprocess import PreprocessParams
from rasant.types import Intrinsics

__all__ = ["Resolution", "map_resolution", "median_distance"]

SAMPLES = 64  # evenly spaced rows and columns that a median distance is taken from


class Resolution(NamedTuple):
    """What a map can show of a surface that faces the camera at `distance_m`.

    pixel_mm: width and height of the piece of surface in one map pixel. smallest_defect_mm: two map pixels of the
    coarser side. A square of this side covers at least one map pixel wholly wherever it lies, so the network sees its
    full contrast; at one pixel it may lie across four and leave a quarter in each. It is a bound of sampling: what a
    trained network finds of larger defects, only `rasant evaluate` tells.
    """

    distance_m: float
    pixel_mm: tuple[float, float]
    smallest_defect_mm: float

    def __str__(self) -> str:
        x, y = self.pixel_mm
        return (
            f"at {self.distance_m:.3g} m a map pixel shows {x:.2g} x {y:.2g} mm; defects under "
            f"{self.smallest_defect_mm:.2g} mm are too small for it"
        )


def map_resolution(params: PreprocessParams, intrinsics: Intrinsics, distance_m: float) -> Resolution:
    """The resolution of a bundle's map behind a camera.

    intrinsics: of the whole frame, in pixels. distance_m: from the camera along the optical axis.

    Raises ConfigError for a distance that is not positive.
    """
    if not 0.0 < distance_m < math.inf:
        raise ConfigError(f"distance_m must be a positive number of metres, got {distance_m}; measure it")
    _, _, width, height = params.roi or (0, 0, intrinsics.width, intrinsics.height)
    x = 1e3 * distance_m * width / params.size[1] / intrinsics.fx
    y = 1e3 * distance_m * height / params.size[0] / intrinsics.fy
    return Resolution(distance_m, (x, y), 2.0 * max(x, y))


def median_distance(depth: npt.NDArray[Any]) -> float:
    """Median of the valid depth of up to 64 x 64 evenly spaced pixels of (H, W), in its unit; NaN without one."""
    rows, cols = (np.linspace(0, side - 1, min(side, SAMPLES)).astype(np.intp) for side in depth.shape)
    sample = depth[np.ix_(rows, cols)]
    valid = sample[sample > 0.0]
    return float(np.median(valid)) if valid.size else math.nan
