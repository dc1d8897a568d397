# SPDX-License-Identifier: Apache-2.0
"""Exact, tie-aware ranking figures from one native sort: AUROC, AP, F1 and region overlap (AUPRO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasant import _native
from rasant.errors import ConfigError, ShapeError
from rasant.ops.device import require_cpu

__all__ = ["DEFAULT_LIMITS", "Curve", "Ranking", "aupro", "auroc", "pro_curve", "rank_maps", "rank_scores"]

DEFAULT_LIMITS = (0.3, 0.1, 0.05, 0.01)
SAMPLES = 100  # thresholds of the official MVTec 3D-AD curve

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Curve(NamedTuple):
    """A curve to draw: y over x, and the score from which on a pixel counts as defective at each point."""

    x: Floats  # false-positive rate, ascending from 0 to 1
    y: Floats  # true-positive rate or region overlap
    threshold: Floats  # inf at the first point


@dataclass(frozen=True, slots=True)
class Ranking:
    """One entry for each distinct score that a positive has, from the highest down; and what follows from them.

    Figures are NaN where they are undefined: without positives or without negatives.
    """

    value: Floats  # the score
    positives: Counts  # positives with this score
    overlap: Floats  # their share of the region overlap; all shares sum to 1
    above: Counts  # negatives that score more
    equal: Counts  # negatives that score the same
    n_positive: int
    n_negative: int
    n_component: int
    sampled: Floats  # negatives at 100 even places of their ascending order; empty unless asked for

    @property
    def defined(self) -> bool:
        """True with at least one positive and one negative."""
        return self.n_positive > 0 and self.n_negative > 0

    def auroc(self) -> float:
        """P(positive > negative) + P(equal) / 2 (Mann-Whitney U); the sum is exact in integers."""
        if not self.defined:
            return float("nan")
        below = self.n_negative - self.above - self.equal
        twice = int(np.sum(self.positives * (2 * below + self.equal), dtype=np.int64))
        return twice / (2 * self.n_positive * self.n_negative)

    def average_precision(self) -> float:
        """Sum of (R_k - R_{k-1}) P_k over the distinct scores, without interpolation."""
        if not self.defined:
            return float("nan")
        hits = np.cumsum(self.positives)
        precision = hits / (hits + self.above + self.equal)
        return float(np.sum(self.positives * precision) / self.n_positive)

    def max_f1(self) -> tuple[float, float]:
        """(highest F1, the lowest score that counts as defective there); the highest score where several are equal."""
        if not self.defined:
            return float("nan"), float("nan")
        hits = np.cumsum(self.positives)
        f1 = 2 * hits / (self.n_positive + hits + self.above + self.equal)
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.value[best])

    def aupro(self, limits: Sequence[float] = DEFAULT_LIMITS) -> tuple[float, ...]:
        """Area under the overlap curve up to each false-positive rate, over that rate; exact with ties."""
        x, y, _ = self._vertices(self.overlap)
        return tuple(_area(x, y, limit) if self.defined else float("nan") for limit in _checked(limits))

    def aupro_sampled(self, limits: Sequence[float] = DEFAULT_LIMITS) -> tuple[float, ...]:
        """As the official MVTec 3D-AD program: 100 thresholds at even places of the negatives, ties not resolved.

        Raises ConfigError unless the maps were ranked with `sampled=True`.
        """
        limits = _checked(limits)
        if not self.defined:
            return tuple(float("nan") for _ in limits)
        if not len(self.sampled):
            raise ConfigError("the ranking has no sampled thresholds; rank the maps with sampled=True")
        x, y = self.sampled_curve()
        return tuple(_area(x, y, limit) for limit in limits)

    def sampled_curve(self) -> tuple[Floats, Floats]:
        """(false-positive rate, overlap) of the official program's points, ascending."""
        places = np.linspace(0, self.n_negative - 1, SAMPLES).astype(np.int64)
        reached = np.concatenate([[0.0], np.cumsum(self.overlap)])
        overlap = reached[np.searchsorted(-self.value, -self.sampled, side="left")]  # pixels strictly above
        rate = 1 - (places + 1) / self.n_negative
        return np.concatenate([rate[::-1], [1.0]]), np.concatenate([overlap[::-1], [1.0]])

    def roc(self, points: int = 400) -> Curve:
        """The ROC curve, thinned to at most `points` points evenly spaced along it."""
        return self._curve(self.positives / max(self.n_positive, 1), points)

    def pro(self, points: int = 400) -> Curve:
        """The region-overlap curve, thinned likewise."""
        return self._curve(self.overlap, points)

    def _vertices(self, share: npt.NDArray[np.float64]) -> tuple[Floats, Floats, Floats]:
        """Corners of the curve: one before and one after each distinct score, from (0, 0) to (1, 1)."""
        size = 2 * len(self.value)
        x, y, threshold = np.zeros(size + 2), np.zeros(size + 2), np.full(size + 2, np.inf)
        negatives = max(self.n_negative, 1)
        reached = np.cumsum(share)
        x[1:-1:2], x[2:-1:2] = self.above / negatives, (self.above + self.equal) / negatives
        y[3:-1:2], y[2:-1:2] = reached[:-1], reached
        threshold[3:-1:2], threshold[2:-1:2] = self.value[:-1], self.value
        x[-1] = y[-1] = 1.0
        threshold[-1] = threshold[-2] if size else -np.inf
        return x, np.minimum(y, 1.0), threshold

    def _curve(self, share: npt.NDArray[np.float64], points: int) -> Curve:
        if points < 2:
            raise ConfigError(f"points must be at least 2, got {points}; 400 is enough to draw")
        if not self.defined:
            return Curve(np.empty(0), np.empty(0), np.empty(0))
        x, y, threshold = self._vertices(share)
        if len(x) > points:
            along = np.concatenate([[0.0], np.cumsum(np.diff(x) + np.abs(np.diff(y)))])
            kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], points)))
            kept[0], kept[-1] = 0, len(x) - 1
            x, y, threshold = x[kept], y[kept], threshold[kept]
        return Curve(x, y, threshold)


def rank_maps(
    maps: Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32],
    truths: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_],
    *,
    sampled: bool = False,
    device: str = "cpu",
) -> Ranking:
    """Ranks all pixels of score maps against their truth masks.

    maps: N maps (h, w) float32, as a sequence or (N, h, w); sizes may differ.
    truths: N masks (h, w) bool of the same sizes; all False for a good image. Components are 8-connected, of any size.
    sampled: also take what `aupro_sampled` needs, for which all negatives are sorted.

    Uses one thread and at most 8 bytes a pixel.
    Raises ConfigError for NaN or infinite scores, ShapeError and DtypeError for wrong arrays.
    """
    require_cpu(device)
    table = _native.rank_maps(list(maps), list(truths), SAMPLES if sampled else 0)
    return Ranking(
        **{**table, "value": table["value"].astype(np.float64), "sampled": table["sampled"].astype(np.float64)}
    )


def rank_scores(scores: npt.ArrayLike, labels: npt.ArrayLike, *, device: str = "cpu") -> Ranking:
    """Ranks one score a part: scores (N,) of any float type, labels (N,) bool, True is defective. Exact in float64 too.

    `overlap` and `n_component` mean nothing here. Raises ConfigError for NaN or infinite scores, ShapeError for a
    different number of labels.
    """
    values, truth = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or truth.shape != values.shape:
        raise ShapeError(f"scores and labels must be (N,), got {values.shape} and {truth.shape}; pass a label for each")
    if values.dtype == np.float32:
        return _rank_row(values, truth, device)
    if not np.isfinite(values).all():
        raise ConfigError("scores hold NaN or infinity; a part without a finite score is UNKNOWN and has no rank")
    distinct, ranks = np.unique(values, return_inverse=True)
    if len(distinct) > 1 << 24:
        raise ConfigError(f"{len(distinct)} distinct float64 scores are more than 2**24; convert them to float32")
    ranking = _rank_row(ranks.astype(np.float32), truth, device)
    return replace(ranking, value=distinct[ranking.value.astype(np.int64)].astype(np.float64))


def _rank_row(values: npt.NDArray[np.float32], truth: npt.NDArray[np.generic], device: str) -> Ranking:
    """A row of scores as one map of height 1; no map at all without scores."""
    maps = [np.ascontiguousarray(values)[None]] if values.size else []
    truths = [np.ascontiguousarray(truth, dtype=np.bool_)[None]] if values.size else []
    return rank_maps(maps, truths, device=device)


def auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Area under the ROC curve of (N,) scores, exact with ties; NaN with one class only."""
    return rank_scores(scores, labels).auroc()


def aupro(
    maps: Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32],
    truths: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_],
    limits: Sequence[float] = DEFAULT_LIMITS,
) -> tuple[float, ...]:
    """Area under the region-overlap curve up to each limit, exact with ties; NaN without a component or an OK pixel."""
    return rank_maps(maps, truths).aupro(limits)


def pro_curve(
    maps: Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32],
    truths: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_],
    points: int = 400,
) -> Curve:
    """The region-overlap curve, thinned to at most `points` points."""
    return rank_maps(maps, truths).pro(points)


def _checked(limits: Sequence[float]) -> tuple[float, ...]:
    for limit in limits:
        if not 0 < limit <= 1:
            raise ConfigError(f"a limit must be in (0, 1], got {limit}; the usual ones are 0.3, 0.1, 0.05 and 0.01")
    return tuple(limits)


def _area(x: Floats, y: Floats, limit: float) -> float:
    """Trapezoids from 0 to `limit`, the last one cut with linear interpolation, over `limit`."""
    inside = int(np.searchsorted(x, limit, side="right"))
    x, y = x[: inside + 1].copy(), y[: inside + 1].copy()
    if inside < len(x):  # x[inside] > limit
        y[inside] = y[inside - 1] + (y[inside] - y[inside - 1]) * (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
        x[inside] = limit
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / (2 * limit))
