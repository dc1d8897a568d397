# SPDX-License-Identifier: Apache-2.0
"""A few discs on the part: defects come one by one, not as a wallpaper of Perlin blobs."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["spots_mask"]


def spots_mask(
    foreground: npt.NDArray[np.bool_], random: np.random.Generator, *, radius: tuple[float, float], most: int = 3
) -> npt.NDArray[np.bool_]:
    """(H, W) bool: one to `most` discs around random pixels of the foreground; empty where that is empty.

    radius: pixels, log-uniform in these bounds.
    """
    inside = np.flatnonzero(foreground)
    mask = np.zeros(foreground.shape, np.uint8)
    for _ in range(int(random.integers(1, most + 1)) if len(inside) else 0):
        y, x = divmod(int(inside[int(random.integers(len(inside)))]), foreground.shape[1])
        size = math.exp(random.uniform(math.log(radius[0]), math.log(radius[1])))
        cv2.circle(mask, (x, y), round(size), 1, cv2.FILLED)
    return mask.view(np.bool_)
