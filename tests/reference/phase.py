# SPDX-License-Identifier: Apache-2.0
"""Phase shifting in numpy float64: the discrete Fourier transform over the steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]


def captures_of(position: Image, period: float, steps: int, mean: float = 120.0, amplitude: float = 80.0) -> Image:
    """(steps, H, W) float64 levels at projector positions."""
    turns = position[None] / period + np.arange(steps)[:, None, None] / steps
    return np.asarray(mean + amplitude * np.cos(2 * np.pi * turns))


def decode_phase(
    captures: Image, coarse: Image | None, period: float, min_amplitude: float, max_level: int, max_gap: float
) -> tuple[Image, Image]:
    """(position float64, confidence), NaN and 0 where not decoded."""
    steps = len(captures)
    wave = np.fft.fft(captures.astype(np.float64), axis=0)[steps - 1] * 2 / steps  # the component e^(2 pi i k / N)
    amplitude = np.abs(wave)
    position = np.mod(-np.angle(wave) / (2 * np.pi), 1.0) * period
    gap = np.zeros_like(position)
    if coarse is not None:
        position = position + np.floor((coarse - position) / period + 0.5) * period
        gap = np.abs(position - coarse)
    sure = (amplitude >= min_amplitude) & (captures.max(axis=0) <= max_level) & (gap <= max_gap)
    return np.where(sure, position, np.nan), np.where(sure, np.floor(amplitude), 0).astype(np.uint8)


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry of the operation."""
    coarse = np.tile(np.arange(17, dtype=np.float32), (5, 1))
    captures = np.round(captures_of(coarse, 8.0, 4)).astype(np.uint8)
    out, confidence = np.empty((5, 17), np.float32), np.empty((5, 17), np.uint8)
    return {"decode_phase": (captures, coarse, 8.0, 5.0, 254, 2.0, out, confidence, 1)}
