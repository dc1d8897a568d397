# SPDX-License-Identifier: Apache-2.0
"""Numpy twins of the ranking figures: the definitions word by word, slow and plain."""

from __future__ import annotations

from bisect import bisect

import numpy as np
from scipy import ndimage


def components(truth: np.ndarray) -> list[np.ndarray]:
    """Masks of the 8-connected components."""
    labels, count = ndimage.label(truth, structure=np.ones((3, 3)))
    return [labels == i for i in range(1, count + 1)]


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mann-Whitney U over all pairs, ties one half."""
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    return float(wins / (len(positive) * len(negative)))


def pro_curve(maps: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pixels by falling score; the last entry of each group of equal scores; from (0, 0) to (1, 1)."""
    weights = np.zeros(maps.shape)
    parts = [(i, c) for i, truth in enumerate(truths) for c in components(truth)]
    for i, part in parts:
        weights[i][part] = 1 / part.sum()
    order = np.argsort(-maps, axis=None, kind="stable")
    scores = maps.ravel()[order]
    rate = np.cumsum(~truths.ravel()[order]) / np.count_nonzero(~truths)
    overlap = np.cumsum(weights.ravel()[order]) / len(parts)
    last = np.append(scores[1:] != scores[:-1], True)
    return np.concatenate([[0.0], rate[last], [1.0]]), np.concatenate([[0.0], overlap[last], [1.0]])


def official_curve(maps: np.ndarray, truths: np.ndarray, thresholds: int = 100) -> tuple[list[float], list[float]]:
    """The curve of the MVTec 3D-AD evaluation program."""
    parts = [np.sort(m[c]) for m, truth in zip(maps, truths, strict=True) for c in components(truth)]
    ok = np.sort(maps[~truths])
    rates, overlaps = [1.0], [1.0]
    for place in np.linspace(0, len(ok) - 1, num=thresholds, dtype=int):
        above = [1 - np.searchsorted(part, ok[place], side="right") / len(part) for part in parts]
        rates.append(1.0 - (place + 1) / len(ok))
        overlaps.append(float(np.mean(above)))
    return [rates[0], *rates[1:]][::-1], overlaps[::-1]


def area(x: np.ndarray | list[float], y: np.ndarray | list[float], limit: float) -> float:
    """Trapezoid integral up to limit over limit, the last interval cut by linear interpolation."""
    x, y = list(x), list(y)
    cut = bisect(x, limit)
    if cut < len(x) and x[cut - 1] != limit:
        y.insert(cut, y[cut - 1] + (y[cut] - y[cut - 1]) * (limit - x[cut - 1]) / (x[cut] - x[cut - 1]))
        x.insert(cut, limit)
        cut += 1
    return sum((x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2 for i in range(1, cut)) / limit


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    scores = np.linspace(0, 1, 63, dtype=np.float32).reshape(7, 9)
    return {"rank_maps": ([scores, scores[::-1].copy()], [scores > 0.8, np.zeros((7, 9), np.bool_)], 10)}
