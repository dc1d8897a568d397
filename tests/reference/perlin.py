# SPDX-License-Identifier: Apache-2.0
"""Perlin noise written for reading: Python integers for the generator, float64 per pixel for the field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

GRADIENT = 1  # the purpose word of the generator's counter


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Philox 4x32-10 (Salmon et al., SC 2011) on Python integers."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def gradient_angles(count: int, seed: int, sample: int) -> npt.NDArray[np.float64]:
    """Angles in radians of lattice nodes 0 .. count - 1."""
    key = (seed & 0xFFFFFFFF, seed >> 32)
    high, low = sample >> 32, sample & 0xFFFFFFFF
    words = [philox(key, (16 * (n // 64) + n % 16, GRADIENT, low, high))[n // 16 % 4] for n in range(count)]
    return np.array(words, np.uint64).astype(np.uint32).astype(np.int64) // 256 / 2.0**24 * 2 * np.pi


def perlin_field(
    size: tuple[int, int], lattice: tuple[int, int], seed: int, sample: int, angle: float = 0.0
) -> npt.NDArray[np.float64]:
    """One field (h, w) by the textbook formula: interpolate down first, then across."""
    (h, w), (rows, cols) = size, lattice
    theta = gradient_angles((rows + 1) * (cols + 1), seed, sample).reshape(rows + 1, cols + 1)
    down, across = np.cos(theta), np.sin(theta)
    cell_h, cell_w = -(-h // rows), -(-w // cols)
    i, j = np.mgrid[0:h, 0:w]
    r, c = i // cell_h, j // cell_w
    u, v = (i % cell_h) / cell_h, (j % cell_w) / cell_w

    def corner(dr: int, dc: int) -> npt.NDArray[Any]:
        return down[r + dr, c + dc] * (u - dr) + across[r + dr, c + dc] * (v - dc)

    def fade(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    left = corner(0, 0) + fade(u) * (corner(1, 0) - corner(0, 0))
    right = corner(0, 1) + fade(u) * (corner(1, 1) - corner(0, 1))
    field = math.sqrt(2.0) * (left + fade(v) * (right - left))
    return rotate(field, angle) if angle else field


def rotate(field: npt.NDArray[np.float64], angle: float) -> npt.NDArray[np.float64]:
    """Rotation about the centre, bilinear, zero outside; positive turns x towards y."""
    h, w = field.shape
    y, x = np.mgrid[0:h, 0:w].astype(float)
    dy, dx = y - (h - 1) / 2, x - (w - 1) / 2
    from_x = np.cos(angle) * dx + np.sin(angle) * dy + (w - 1) / 2
    from_y = -np.sin(angle) * dx + np.cos(angle) * dy + (h - 1) / 2
    padded = np.pad(field, 2)
    from_x, from_y = np.clip(from_x, -1, w) + 2, np.clip(from_y, -1, h) + 2
    x0, y0 = np.floor(from_x).astype(int), np.floor(from_y).astype(int)
    x0, y0 = np.minimum(x0, w + 2), np.minimum(y0, h + 2)
    fx, fy = from_x - x0, from_y - y0
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    bottom = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


def perlin_mask(field: npt.NDArray[np.float32], threshold: float, mode: str) -> npt.NDArray[np.int8]:
    """The mask by its definition, compared in float32."""
    limit = np.float32(threshold)
    if mode == "positive":
        return (field > limit).astype(np.int8)
    if mode == "absolute":
        return (np.abs(field) > limit).astype(np.int8)
    return (field > limit).astype(np.int8) - (field < -limit).astype(np.int8)


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    field = np.linspace(-1, 1, 2 * 9 * 11, dtype=np.float32).reshape(2, 9, 11)
    lattice, angle = np.array([[3, 4]], np.int32), np.array([0.5, 0.0], np.float32)
    return {
        "perlin_field": (lattice, angle, 7, 0, np.empty_like(field), 2),
        "perlin_mask": (field, np.array([0.3], np.float32), "ternary", np.empty(field.shape, np.int8), 2),
    }
