# SPDX-License-Identifier: Apache-2.0
"""What the benchmark looks at: a dome on a tilted plane with holes and noise, at any size."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Size
from rasant.types import Intrinsics

__all__ = ["camera_of", "domed_part"]


def camera_of(size: Size) -> Intrinsics:
    """A camera of 48 degrees across that looks at the middle."""
    height, width = size
    return Intrinsics(width, height, 1.125 * width, 1.125 * width, (width - 1) / 2, (height - 1) / 2)


@lru_cache(maxsize=2)
def domed_part(size: Size) -> npt.NDArray[np.float32]:
    """(h, w) float32 metres, read-only: a plane at 0.5 m, a dome of 3 cm, 3 % holes, 0.15 mm noise."""
    random = np.random.default_rng(0)
    y, x = (
        ((np.arange(side) - side / 2) / (min(size) / 3)).astype(np.float32).reshape(shape)
        for side, shape in zip(size, ((-1, 1), (1, -1)), strict=True)
    )
    depth = np.float32(0.5) + np.float32(0.01) * x - np.float32(0.03) * np.sqrt(np.maximum(1 - x * x - y * y, 0))
    depth += np.float32(1.5e-4) * random.standard_normal(size, dtype=np.float32)
    holes = cv2.GaussianBlur(random.random(size, dtype=np.float32), (0, 0), 2.0)
    depth[holes > np.quantile(holes, 0.97)] = 0.0
    metres = depth.astype(np.float32, copy=False)
    metres.flags.writeable = False
    return metres
