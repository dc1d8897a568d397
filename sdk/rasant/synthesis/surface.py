# SPDX-License-Identifier: Apache-2.0
"""A part as a height field on the pixel grid, and the small geometry that shapes and defects are drawn with.

All lengths are millimetres. Height counts from the table towards the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DISTANCE_MM", "Field", "Surface", "blob", "focal_px", "length", "smooth_noise", "soft_step"]

Field = npt.NDArray[np.float32]

DISTANCE_MM = 450.0  # camera to table
_FOCAL_PER_PIXEL = 600.0 / 256.0  # focal length in units of the image side


def focal_px(size: int) -> float:
    """Focal length in pixels of a square image of `size` pixels: 600 at 256, that is 0.75 mm a pixel on the table."""
    return _FOCAL_PER_PIXEL * size


@dataclass(slots=True)
class Surface:
    """What the renderer sees. Arrays are (H, W) float32 unless said otherwise, and may be changed in place.

    x, y: place of each pixel in the frame of the part, mm. height: mm above the table. albedo: (3, H, W) linear RGB.
    gloss: weight of the highlight. body: (H, W) bool, pixels of the part without its through holes. step_mm: one pixel.
    """

    x: Field
    y: Field
    height: Field
    albedo: Field
    gloss: Field
    body: npt.NDArray[np.bool_]
    step_mm: float

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = self.height.shape
        return rows, cols


def soft_step(distance: Field, width: float) -> Field:
    """1 where `distance` is below -width/2, 0 above width/2, a smooth cubic between."""
    t = np.clip(0.5 - distance / np.float32(width), 0, 1)
    smooth: Field = t * t * (3 - 2 * t)
    return smooth


def length(x: Field, y: Field) -> Field:
    """Length of (x, y), faster than a hypot that guards against overflow."""
    root: Field = np.sqrt(x * x + y * y)
    return root


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Field:
    """(H, W) float32 noise of about unit deviation with `cells` random values along the longer side, cubic between."""
    import cv2

    rows, cols = size
    longest = max(rows, cols)
    lattice = rng.standard_normal((-(-cells * rows // longest) + 3, -(-cells * cols // longest) + 3), dtype=np.float32)
    grown = cv2.resize(lattice, (cols, rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.float32)


def blob(surface: Surface, center: tuple[int, int], radius_mm: float, rng: np.random.Generator) -> Field:
    """(H, W) distance from a pixel (row, column) in units of an irregular lobed radius: below 1 is inside."""
    row, col = center
    dx, dy = surface.x - surface.x[row, col], surface.y - surface.y[row, col]
    stretch, turn = rng.uniform(0.75, 1.35), rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = dx * c + dy * s, dy * c - dx * s
    angle = np.arctan2(across, along)
    radius = np.ones_like(angle)
    for lobe in (2, 3, 5):
        radius += np.float32(rng.uniform(0, 0.25 / lobe)) * np.cos(lobe * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    rho: Field = length(along / np.float32(stretch), across * np.float32(stretch)) / (radius * np.float32(radius_mm))
    return rho
