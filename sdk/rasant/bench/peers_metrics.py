# SPDX-License-Identifier: Apache-2.0
"""Exact pixel AUROC and AUPRO: against a sort in numpy, and against scikit-learn where it is installed."""

from __future__ import annotations

import importlib
import importlib.util

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case
from rasant.ops.ranking import rank_maps

__all__ = ["cases", "numpy_auroc_aupro"]

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def cases() -> list[Case]:
    """100 maps of 256x256, half of them with one to three defects, as a fair detector scores them."""
    maps, truths = labelled_maps()

    def ours() -> tuple[float, ...]:
        ranking = rank_maps(maps, truths)
        return ranking.auroc(), *ranking.aupro((0.3,))

    size, moved = "100 maps of 256x256", maps.nbytes + truths.nbytes
    found = [
        Case(
            "auroc+aupro", size, ours, "numpy: one argsort, cumulative sums", lambda: numpy_auroc_aupro(maps, truths),
            moved,
        )
    ]  # fmt: skip
    if importlib.util.find_spec("sklearn") is not None:
        auroc = importlib.import_module("sklearn.metrics").roc_auc_score
        labels, scores = truths.ravel(), maps.ravel()
        found.append(
            Case("auroc+aupro", size, ours, "sklearn, AUROC only", lambda: auroc(labels, scores), moved, target=30.0)
        )
    return found


def labelled_maps(count: int = 100, side: int = 256, seed: int = 0) -> tuple[Maps, Masks]:
    """Smooth noise maps, raised at the defects of the first half; P-AUROC about 0.97."""
    random = np.random.default_rng(seed)
    truths = np.zeros((count, side, side), np.bool_)
    maps = random.random((count, side, side), dtype=np.float32)
    for i in range(count):
        for y, x in random.integers(0, side - 50, (1 + i % 3 if i < count // 2 else 0, 2)):
            truths[i, y : y + random.integers(8, 50), x : x + random.integers(8, 50)] = True
        maps[i] = cv2.GaussianBlur(maps[i] + np.float32(0.15) * truths[i], (0, 0), 2.0)
    return maps, truths


def numpy_auroc_aupro(maps: Maps, truths: Masks, limit: float = 0.3) -> tuple[float, float]:
    """Both figures, exact with ties, from one argsort of all pixels."""
    weights = np.zeros(maps.shape, np.float64)
    parts = 0
    for truth, weight in zip(truths, weights, strict=True):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(truth.view(np.uint8), connectivity=8)
        share = 1.0 / stats[:, cv2.CC_STAT_AREA]
        share[0] = 0.0
        weight[...] = share[labels]
        parts += count - 1
    order = np.argsort(maps, axis=None)[::-1]
    scores, positive = maps.ravel()[order], truths.ravel()[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(positive)[last]
    alarms = last + 1 - hits
    x = np.concatenate([[0.0], alarms / alarms[-1]])
    roc = np.concatenate([[0.0], hits / hits[-1]])
    pro = np.concatenate([[0.0], np.cumsum(weights.ravel()[order])[last] / parts])
    auroc = float(np.sum(np.diff(x) * (roc[1:] + roc[:-1])) / 2)
    cut = int(np.searchsorted(x, limit, side="right"))  # x[cut - 1] <= limit < x[cut]
    end = pro[cut - 1] + (pro[cut] - pro[cut - 1]) * (limit - x[cut - 1]) / (x[cut] - x[cut - 1])
    x, pro = np.append(x[:cut], limit), np.append(pro[:cut], end)
    return auroc, float(np.sum(np.diff(x) * (pro[1:] + pro[:-1])) / (2 * limit))
