# SPDX-License-Identifier: Apache-2.0
"""Synthetic defects in numpy, written for reading: the formula of ops/defect.hpp, one line after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

UNIT = 2.0**-30

Image = npt.NDArray[np.float32]


def skew_kernel(sigma: float, skew: tuple[float, float]) -> npt.NDArray[np.float64]:
    """The sampled density over its sum, (k, k) with k = 2 ceil(3 sigma) + 1."""
    radius = math.ceil(3 * sigma)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    phi = np.vectorize(lambda t: 0.5 * math.erfc(-t / math.sqrt(2)))(skew[0] * y + skew[1] * x)
    density = np.exp(-(y * y + x * x) / (2 * sigma * sigma)) * phi
    return np.asarray(density / density.sum())


def correlate(sides: npt.NDArray[np.int64], kernel: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sum over (j, i) of sides(y + j, x + i) K(j, i), zero outside the image."""
    (h, w), radius = sides.shape, len(kernel) // 2
    padded = np.pad(sides, radius)
    total = np.zeros((h, w), np.int64)
    for j in range(len(kernel)):
        for i in range(len(kernel)):
            total += kernel[j, i] * padded[j : j + h, i : i + w]
    return total


def sides_of(field: Image, support: npt.NDArray[np.bool_] | None, rule: str, threshold: float) -> npt.NDArray[np.int64]:
    """+1, -1 or 0 for each pixel."""
    limit = np.float32(threshold)
    sides = (field > limit).astype(np.int64)
    if rule == "absolute":
        sides -= field < -limit
    if rule == "everywhere":
        sides[:] = 1
    return sides if support is None else sides * support


def source_of(
    field: Image, sides: npt.NDArray[np.int64], params: Any, relief: Image | None,
    foreground: npt.NDArray[np.bool_] | None, kernel: npt.NDArray[np.int64] | None,
) -> Image:
    """s, float32."""
    t = np.float32(params.threshold)
    finite = field[~np.isnan(field)]
    low, high = (finite.min(), finite.max()) if len(finite) else (np.float32(0), np.float32(0))
    if params.source == "range":
        return (field - low) / (high - low if high > low else np.float32(1))
    if params.source == "hills":
        up, down = (field - t) / (high - t), (field + t) / (-low - t)
        return np.where(sides > 0, up, np.where(sides < 0, down, np.float32(0)))
    if params.source == "relief":
        assert relief is not None
        return relief
    if params.source == "spread":
        assert kernel is not None
        spread = correlate(sides, kernel).astype(np.float32) * np.float32(UNIT) * np.float32(params.amplitude)
        return spread if foreground is None else np.where(foreground, spread, np.float32(0))
    return field


@np.errstate(all="ignore")
def apply_defect(
    field: Image, params: Any, *, support: Any = None, foreground: Any = None, depth: Any = None, relief: Any = None,
    color: Any = None, texture: Any = None, kernel: npt.NDArray[np.int64] | None = None,
) -> tuple[Any, Any, npt.NDArray[np.bool_]]:
    """(color, depth, mask); `kernel` in units of 2^-30 for the source "spread"."""
    one = np.float32(1)
    sides = sides_of(field, support, params.rule, params.threshold)
    s = source_of(field, sides, params, relief, foreground, kernel)
    value = s * np.float32(params.gain) + np.float32(params.offset)
    mask = np.abs(s) >= np.float32(params.visible) if params.source == "spread" else sides != 0
    if depth is not None:
        if params.add:
            changed, where = depth + value, value != 0
        else:
            changed, where = depth + (one - np.float32(params.kept)) * (value - depth), mask
        changed = np.where(changed < np.float32(params.low), np.float32(params.low), changed)
        changed = np.where(changed > np.float32(params.high), np.float32(params.high), changed)
        depth = np.where(where, changed, depth)
    if color is not None:
        foreign = np.zeros_like(color) if texture is None else texture
        color = np.where(mask, color + (one - np.float32(params.kept_color)) * (foreign - color), color)
    return color, depth, mask


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry."""
    h, w = 7, 9
    field = np.linspace(-1, 1, h * w, dtype=np.float32).reshape(h, w)
    color = np.linspace(0, 1, 3 * h * w, dtype=np.float32).reshape(3, h, w)
    support = field > -0.8
    numbers = (0.3, 0.5, 0.1, 0.2, 0.3, -1.0, 1.0, 2.0, 0.25, 1.0, 0.3, -0.2)
    return {
        "apply_defect": (
            field, support, ~support, field.copy(), field[::-1].copy(), color, color[::-1].copy(), np.empty_like(field),
            np.empty_like(color), np.empty_like(support), "spread", "absolute", True, numbers, 2,
        ),
        "skew_kernel": (1.5, 0.3, -0.2),
    }  # fmt: skip
