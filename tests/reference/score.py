# SPDX-License-Identifier: Apache-2.0
"""Numpy twin of the score operation: the same float32 steps one by one, hence the same bits."""

from __future__ import annotations

import numpy as np

F = np.float32


def fraction_bits(kernel: int) -> int:
    """Binary places of a fixed-point probability."""
    return max(b for b in range(24) if (kernel * kernel) << b <= 0x7FFFFFFF)


def sigmoid(difference: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-difference)) in float32, with Cephes' polynomial."""
    x = np.minimum(np.abs(difference), F(87))
    n = (x * F(1.44269504) + F(12582912)) - F(12582912)
    r = (n * F(0.693359375) - x) + n * F(-2.12194440e-4)
    p = np.full_like(r, F(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + F(c)
    e = ((p * (r * r) + r) + F(1)) * np.ldexp(F(1), -n.astype(np.int32))
    return np.where(difference >= 0, F(1), e) / (F(1) + e)


def pool(kept: np.ndarray, kernel: int) -> np.ndarray:
    """Integer sums over kernel x kernel, zero outside."""
    radius = kernel // 2
    fixed = np.rint(kept.astype(np.float64) * 2.0 ** fraction_bits(kernel)).astype(np.int64)
    sums = np.pad(fixed, ((radius + 1, radius), (radius + 1, radius))).cumsum(0).cumsum(1)
    return sums[kernel:, kernel:] - sums[:-kernel, kernel:] - sums[kernel:, :-kernel] + sums[:-kernel, :-kernel]


def _finish(p: np.ndarray, bad: np.ndarray, kernel: int, ignore: np.ndarray | None):
    hidden = np.zeros(bad.shape, bool) if ignore is None else ignore
    raw = np.where(hidden, F(0), p)
    sums = np.where(hidden, -1, pool(np.where(bad, F(0), raw), kernel))
    unit = F(1.0 / (2.0 ** fraction_bits(kernel) * kernel * kernel))
    pooled = np.maximum(sums, 0).astype(F) * unit
    raw = np.where(bad, F(np.nan), raw)
    if bad.any() or hidden.all():
        return raw, pooled, (np.nan, -1, -1, int(bad.sum()))
    y, x = np.unravel_index(np.argmax(sums), sums.shape)
    return raw, pooled, (float(pooled[y, x]), int(y), int(x), 0)


def score_map(logits: np.ndarray, kernel: int, ignore: np.ndarray | None = None):
    """(raw, pooled, (score, y, x, nonfinite))."""
    bad = ~np.isfinite(logits).all(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        difference = logits[1] - logits[0]
    return _finish(sigmoid(np.where(bad, F(0), difference)), bad, kernel, ignore)


def score_probability(probability: np.ndarray, kernel: int, ignore: np.ndarray | None = None):
    """As score_map for a map of probabilities."""
    bad = ~np.isfinite(probability)
    return _finish(np.clip(np.where(bad, F(0), probability), F(0), F(1)), bad, kernel, ignore)


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    logits = np.linspace(-4, 4, 2 * 7 * 9, dtype=np.float32).reshape(2, 7, 9)
    raw, pooled, ignore = np.empty((7, 9), np.float32), np.empty((7, 9), np.float32), np.zeros((7, 9), np.bool_)
    return {
        "score_map": (logits, 3, ignore, raw, pooled, 2),
        "score_probability": (np.abs(logits[0]) / 4, 5, ignore, raw, pooled, 2),
    }
