# SPDX-License-Identifier: Apache-2.0
"""Twins of the texture operations, value by value: Pillow's rules written out, HSV by the standard library."""

from __future__ import annotations

import colorsys

import numpy as np


def _by_channel(picture: np.ndarray, table_of) -> np.ndarray:
    return np.stack([np.array(table_of(picture[..., c]))[picture[..., c]] for c in range(3)], axis=-1)


def equalize(picture: np.ndarray) -> np.ndarray:
    """Pillow's ImageOps.equalize."""

    def table(channel: np.ndarray) -> list[int]:
        counts = [int((channel == v).sum()) for v in range(256)]
        present = [c for c in counts if c]
        step = (sum(present) - present[-1]) // 255
        if len(present) <= 1 or step == 0:
            return list(range(256))
        entries, seen = [], step // 2
        for count in counts:
            entries.append(min(seen // step, 255))
            seen += count
        return entries

    return _by_channel(picture, table)


def autocontrast(picture: np.ndarray, cutoff: float) -> np.ndarray:
    """Pillow's ImageOps.autocontrast: pixels are taken off the histogram from below, then from above."""

    def table(channel: np.ndarray) -> list[int]:
        counts = [int((channel == v).sum()) for v in range(256)]
        for order in (range(256), range(255, -1, -1)):
            cut = int(channel.size * cutoff // 100)
            for v in order:
                taken = min(cut, counts[v])
                counts[v] -= taken
                cut -= taken
        left = [v for v in range(256) if counts[v]]
        if left[0] >= left[-1]:
            return list(range(256))
        scale = 255.0 / (left[-1] - left[0])
        return [min(max(int(v * scale + -left[0] * scale), 0), 255) for v in range(256)]

    return _by_channel(picture, table)


def sharpen(picture: np.ndarray, factor: float) -> np.ndarray:
    """Pillow's ImageEnhance.Sharpness in exact arithmetic."""
    if min(picture.shape[:2]) < 3:
        return picture
    p = picture.astype(np.int64)
    around = sum(p[y : y + p.shape[0] - 2, x : x + p.shape[1] - 2] for y in range(3) for x in range(3))
    smooth = p.copy()
    smooth[1:-1, 1:-1] = np.floor((around + 4 * p[1:-1, 1:-1]) / 13 + 0.5)
    return np.clip(smooth + factor * (p - smooth), 0, 255)


def brighten(picture: np.ndarray, gain: float, offset: float) -> np.ndarray:
    """Luma is scaled and shifted, the difference is added to every channel."""
    luma = picture @ np.array([0.299, 0.587, 0.114])
    return np.clip(picture + (gain * luma + offset - luma)[..., None], 0, 255)


def shift_hue_saturation(picture: np.ndarray, hue: float, saturation: float) -> np.ndarray:
    """HSV pixel by pixel."""
    out = np.empty(picture.shape)
    for place in np.ndindex(picture.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(picture[place] / 255.0))
        out[place] = colorsys.hsv_to_rgb((h + hue / 255) % 1.0, min(max(s + saturation / 255, 0.0), 1.0), v)
    return out * 255
