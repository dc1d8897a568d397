# SPDX-License-Identifier: Apache-2.0
"""Exact pixel AUROC and AUPRO: against a sort in numpy, and against scikit-learn where it is installed."""

from __future__ import annotations

import importlib
import importlib.util

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.ops.ranking import rank_maps

__all__ = ["OPERATIONS", "labelled_maps", "naive_auroc_aupro", "numpy_auroc_aupro"]

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def _figures(size: Size, _: int) -> Case:
    """100 maps, half of them with one to three defects, as a fair detector scores them."""
    maps, truths = labelled_maps(size=size)

    def ours() -> tuple[float, ...]:
        ranking = rank_maps(maps, truths)
        return ranking.auroc(), *ranking.aupro((0.3,))

    peers = [
        Peer("naive: numpy argsort of all pixels, sums", lambda: naive_auroc_aupro(maps, truths)),
        Peer("numpy sort of the negatives, searchsorted", lambda: numpy_auroc_aupro(maps, truths)),
    ]
    if importlib.util.find_spec("sklearn") is not None:
        auroc = importlib.import_module("sklearn.metrics").roc_auc_score
        labels, scores = truths.ravel(), maps.ravel()
        peers.append(Peer("scikit-learn, AUROC only", lambda: auroc(labels, scores), 30.0))
    return Case(ours, tuple(peers), maps.nbytes + truths.nbytes, 250.0 if size == (256, 256) else None)


def labelled_maps(count: int = 100, size: Size = (256, 256), seed: int = 0) -> tuple[Maps, Masks]:
    """Smooth noise maps, raised at the defects of the first half; P-AUROC about 0.97."""
    random = np.random.default_rng(seed)
    truths = np.zeros((count, *size), np.bool_)
    maps = random.random((count, *size), dtype=np.float32)
    for i in range(count):
        for y, x in random.integers(0, min(size) - 50, (1 + i % 3 if i < count // 2 else 0, 2)):
            truths[i, y : y + random.integers(8, 50), x : x + random.integers(8, 50)] = True
        maps[i] = cv2.GaussianBlur(maps[i] + np.float32(0.15) * truths[i], (0, 0), 2.0)
    return maps, truths


def naive_auroc_aupro(maps: Maps, truths: Masks, limit: float = 0.3) -> tuple[float, float]:
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


def numpy_auroc_aupro(maps: Maps, truths: Masks, limit: float = 0.3) -> tuple[float, float]:
    """Both figures, exact with ties: only scores are sorted, and the curves bend at the scores of positives alone."""
    shares, parts = [], 0
    for truth in truths:
        if truth.any():
            count, labels, stats, _ = cv2.connectedComponentsWithStats(truth.view(np.uint8), connectivity=8)
            shares.append((1.0 / stats[:, cv2.CC_STAT_AREA])[labels[truth]])
            parts += count - 1
    positives, negatives = maps[truths], np.sort(maps[~truths])
    order = np.argsort(positives)[::-1]
    scores = positives[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    values = scores[last]
    equal_or_above = len(negatives) - np.searchsorted(negatives, values, side="left")
    above = len(negatives) - np.searchsorted(negatives, values, side="right")
    hits, overlap = np.cumsum(np.ones(len(scores)))[last], np.cumsum(np.concatenate(shares)[order])[last] / parts
    # Between two scores of positives the curve is flat; within one it rises over the negatives that tie.
    x = np.concatenate([[0.0], np.stack([above, equal_or_above], axis=1).ravel() / len(negatives), [1.0]])
    roc, pro = (
        np.concatenate([[0.0], np.stack([np.append(0.0, y[:-1]), y], axis=1).ravel(), y[-1:]])
        for y in (hits / len(scores), overlap)
    )
    auroc = float(np.sum(np.diff(x) * (roc[1:] + roc[:-1])) / 2)
    cut = int(np.searchsorted(x, limit, side="right"))
    end = pro[cut - 1] + (pro[cut] - pro[cut - 1]) * (limit - x[cut - 1]) / (x[cut] - x[cut - 1])
    x, pro = np.append(x[:cut], limit), np.append(pro[:cut], end)
    return auroc, float(np.sum(np.diff(x) * (pro[1:] + pro[:-1])) / (2 * limit))


OPERATIONS = (Operation("auroc+aupro", _figures, sizes=((256, 256),), note="100 maps", threaded=False),)
