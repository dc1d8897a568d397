# SPDX-License-Identifier: Apache-2.0
"""Thin strokes: the masks of cracks, cuts and scratches, which thresholded Perlin noise never gives."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["stroke_mask"]

_SUBPIXEL = 4  # bits of fixed-point coordinates


def stroke_mask(
    size: tuple[int, int], through: npt.NDArray[np.float64], random: np.random.Generator, *, longest: float = 40.0
) -> npt.NDArray[np.float32]:
    """(H, W) float32 in {0, 1}: one slightly bent line, 1 to 3 pixels wide, through the point `through` (y, x).

    longest: upper bound of its length in pixels.
    """
    length = random.uniform(6.0, longest)
    heading = random.uniform(0.0, 2 * np.pi)
    bend = random.normal(0.0, 0.35) / length  # radians a pixel
    t = np.linspace(-length / 2, length / 2, 12)
    angle = heading + bend * t * 2
    steps = np.diff(t, prepend=t[0])
    y = np.cumsum(np.sin(angle) * steps)
    x = np.cumsum(np.cos(angle) * steps)
    points = np.stack([x - x[6] + through[1], y - y[6] + through[0]], axis=-1)
    mask = np.zeros(size, np.uint8)
    fixed = np.round(points * (1 << _SUBPIXEL)).astype(np.int32)[:, None, :]
    cv2.polylines(mask, [fixed], False, 1, thickness=int(random.integers(1, 4)), shift=_SUBPIXEL)
    return mask.astype(np.float32)
