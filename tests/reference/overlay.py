# SPDX-License-Identifier: Apache-2.0
"""Numpy twin of the overlay: the whole map enlarged in float32, the table looked up, bytes blended exactly."""

from __future__ import annotations

import numpy as np

F = np.float32


def axis(step: float, shift: float, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each of `size` pixels: its place in the map, and whether the map covers it."""
    pixels = np.arange(size)
    place = np.clip(pixels.astype(F) * F(1 / step) + F(-shift / step), F(0), F(count - 1))
    edge = shift - 0.5 * step + 0.5
    first = np.rint(edge)
    end = max(first + 1, np.rint(edge + step * count))
    return place, (pixels >= first) & (pixels < end)


def _blend(lines: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Bilinear along the first axis."""
    first = place.astype(int)
    second = np.minimum(first + 1, len(lines) - 1)
    share = (place - first.astype(F)).reshape(-1, *[1] * (lines.ndim - 1))
    return lines[first] + share * (lines[second] - lines[first])


def blend_map(
    picture: np.ndarray, values: np.ndarray, step: tuple[float, float], shift: tuple[float, float], gain: float,
    colors: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The picture with the map over it; step and shift are (down, across)."""
    with np.errstate(over="ignore"):
        scaled = np.clip(np.nan_to_num(values * F(gain), nan=0.0, posinf=255.0, neginf=0.0), F(0), F(255))
    (rows, down), (columns, across) = (axis(step[k], shift[k], values.shape[k], picture.shape[k]) for k in (0, 1))
    level = _blend(_blend(scaled.T, columns).T, rows).astype(np.uint8)
    color = colors[level].astype(int)
    product = picture.astype(int) * color[..., 3:]
    blended = np.minimum((2 * product + 255) // 510 + color[..., :3], 255)
    return np.where((down[:, None] & across)[..., None], blended, picture).astype(np.uint8)


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    picture = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    values = np.linspace(0.0, 1.0, 20, dtype=np.float32).reshape(4, 5)
    colors = np.arange(1024, dtype=np.uint32).astype(np.uint8).reshape(256, 4)
    return {"blend_map": (picture, values, (2.0, 1.5), (0.5, 0.25), 255.0, colors, np.empty_like(picture), 2)}
