# SPDX-License-Identifier: Apache-2.0
"""Whether captures are of the patterns that they should be of: not of the one before, not mixed of two, nothing moved.

Both functions look at a sample of the pixels, return the share of the lit ones that contradict the rest of the scan, of
the worst capture, and 0 where too few are lit to tell. Neither assumes that projector or camera respond linearly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["stray_pairs", "stray_waves"]

SAMPLE = 20_000  # pixels
LEAST = 100  # lit pixels
LIT = 24  # grey levels of contrast, or of amplitude
BINS = 48  # of a period

ByteImage = npt.NDArray[np.uint8]


def stray_pairs(pairs: ByteImage) -> float:
    """Of (2 B, H, W) uint8, the Gray code captures of an axis.

    A pattern and its inverse light each pixel as much as any other pair; it contradicts where their sum is off the
    median of all by more than half of the contrast.
    """
    sample = _sample(pairs, np.int16)
    total, contrast = sample[0::2] + sample[1::2], np.abs(sample[0::2] - sample[1::2]).max(axis=0)
    lit = contrast >= LIT
    if len(total) < 3 or lit.sum() < LEAST:
        return 0.0
    stray = 2 * np.abs(total - np.median(total, axis=0)) > contrast
    return float(stray[:, lit].mean(axis=1).max())


def stray_waves(captures: ByteImage) -> float:
    """Of (N, H, W) uint8, the captures of a sinusoid; fewer than 4 contradict nothing.

    Over its phase, every pixel sees the same wave, bent as it may be, in its own size; it contradicts where a capture
    is off that wave by more than a quarter of the amplitude.
    """
    steps = len(captures)
    if steps < 4:
        return 0.0
    sample = _sample(captures, np.float32)
    shift = np.arange(steps) / steps
    wave = np.tensordot(np.exp(-2j * np.pi * shift), sample, 1)  # amplitude N / 2 e^(i phase)
    amplitude = 2 / steps * np.abs(wave)
    lit = (amplitude >= LIT) & (sample.max(axis=0) < 255)
    if lit.sum() < LEAST:
        return 0.0
    phase = np.mod(np.angle(wave[lit]) / (2 * np.pi) + shift[:, None], 1.0)
    size = (sample[:, lit] - sample[:, lit].mean(axis=0)) / amplitude[lit]
    place = np.minimum((phase * BINS).astype(int), BINS - 1)
    counts = np.bincount(place.ravel(), minlength=BINS)
    usual = np.bincount(place.ravel(), size.ravel(), BINS) / np.maximum(counts, 1)
    return float((np.abs(size - usual[place]) > 0.25).mean(axis=1).max())


def _sample(captures: ByteImage, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """(N, pixels), evenly spread."""
    step = max(1, int(np.sqrt(captures[0].size / SAMPLE)))
    return captures[:, ::step, ::step].reshape(len(captures), -1).astype(dtype)
