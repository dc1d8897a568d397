# SPDX-License-Identifier: Apache-2.0
"""Numpy twin of the pack operation: the same float32 steps in the same order, hence the same bits."""

from __future__ import annotations

import math

import numpy as np

F = np.float32


def taps(size_in: int, size_out: int, interpolation: str) -> list[list[tuple[int, np.float32]]]:
    """(source pixel, weight) of each output pixel along one axis."""
    step = size_in / size_out
    if interpolation == "nearest" or size_in == size_out:
        return [[((2 * i + 1) * size_in // (2 * size_out), F(1))] for i in range(size_out)]
    if interpolation == "area" and size_out < size_in:
        return [_covered(i * step, min((i + 1) * step, float(size_in))) for i in range(size_out)]
    if size_in == 1:
        return [[(0, F(1))]] * size_out
    rows = []
    for i in range(size_out):
        position = min(max((i + 0.5) * size_in / size_out - 0.5, 0.0), size_in - 1.0)
        first = min(int(position), size_in - 2)
        rows.append([(first, F(1.0 - (position - first))), (first + 1, F(position - first))])
    return rows


def _covered(begin: float, end: float) -> list[tuple[int, np.float32]]:
    found = []
    for k in range(math.floor(begin), math.ceil(end)):
        part = min(end, k + 1.0) - max(begin, float(k))
        if part > 1e-9:
            found.append((k, F(part / (end - begin))))
    return found


def _weighted(lines: np.ndarray, rule: list[list[tuple[int, np.float32]]]) -> np.ndarray:
    """Sums over the first axis, tap by tap."""
    out = []
    for row in rule:
        total = np.zeros(lines.shape[1:], F)
        for k, weight in row:
            total = total + weight * lines[k]
        out.append(total)
    return np.stack(out)


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """(H, W, ...) float32: rows first, then columns."""
    rows = _weighted(image.astype(F), taps(image.shape[0], size[0], interpolation))
    return _weighted(rows.swapaxes(0, 1), taps(image.shape[1], size[1], interpolation)).swapaxes(0, 1)


def pack_color(
    color: np.ndarray, size: tuple[int, int], interpolation: str, gain: np.ndarray, offset: np.ndarray, order: str
) -> np.ndarray:
    """(1, 3, h, w) float32."""
    resized = resize(color if order == "rgb" else color[..., ::-1], size, interpolation)
    return (resized * gain.astype(F) + offset.astype(F)).transpose(2, 0, 1)[None]


def pack_depth(depth: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """(1, 1, h, w) float32: the mean of the valid pixels, 0 where less than half is valid."""
    valid = np.isfinite(depth) & (depth != 0)
    clean = np.where(valid, depth, F(0))
    if depth.shape == tuple(size):
        return clean[None, None]
    total, share = resize(clean, size, interpolation), resize(valid, size, interpolation)
    half = share >= F(0.49999)
    return np.where(half, total / np.where(half, share, F(1)), F(0))[None, None]


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    color = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    depth = np.linspace(0.3, 0.5, 63, dtype=np.float32).reshape(7, 9)
    gain, offset = (0.1, 0.2, 0.3), (0.0, -1.0, 1.0)
    return {
        "pack_color": (color, (2, 1, 0), gain, offset, "area", np.empty((1, 3, 4, 12), np.float32), 2),
        "pack_depth": (depth, "bilinear", np.empty((1, 1, 4, 12), np.float32), 2),
    }
