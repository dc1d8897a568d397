# SPDX-License-Identifier: Apache-2.0
"""The field's metrics, exact and tie-aware: I-AUROC, P-AUROC, AUPRO, average precision, F1, and curves to draw.

Conventions. Scores are raw floats, higher is more defective; NaN or infinity in them raises ConfigError, since such a
part is UNKNOWN. Truth masks are compared at the resolution of the maps (`resize_truth`: nearest, > 0). Good images take
part: their pixels are negatives. What is undefined is NaN and says why in `Metric.reason`; it is never 0 or 1.

AUPRO (Bergmann et al., MVTec 3D-AD, VISAPP 2022): components of each truth mask are 8-connected, of any size, and weigh
the same; every distinct score is a point of the curve; the area up to the limit is divided by the limit.
`mvtec_compat=True` gives the official program's curve instead: 100 thresholds at even places of the negatives, a score
must exceed the threshold, equal scores are not resolved. Its false-positive grid is 0.0101 wide, so it means little
below a limit of 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.ranking import DEFAULT_LIMITS, Curve, Ranking, rank_maps, rank_scores

__all__ = [
    "DEFAULT_LIMITS",
    "F1",
    "REASONS",
    "Curve",
    "Metric",
    "PixelMetrics",
    "ResizedTruth",
    "aupro",
    "average_precision",
    "image_auroc",
    "max_f1",
    "pixel_auroc",
    "pixel_average_precision",
    "pixel_metrics",
    "pro_curve",
    "resize_truth",
    "roc_curve",
]

REASONS: dict[str, str] = {
    "": "the metric is defined",
    "empty": "there is nothing to rank",
    "no_defective": "no part is labelled defective",
    "no_good": "no part is labelled good",
    "no_component": "no truth mask holds a defect",
    "no_ok_pixel": "no pixel lies outside the truth masks",
}

Maps = Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32]
Truths = Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_]


class Metric(float):
    """A float that knows why it is NaN: `reason` is a key of REASONS, empty where the value is defined."""

    reason: str

    def __new__(cls, value: float, reason: str = "") -> Metric:
        """A value with its reason."""
        metric = super().__new__(cls, value)
        metric.reason = reason
        return metric


class F1(NamedTuple):
    """The highest F1, and the score from which on a part or pixel counts as defective there."""

    value: Metric
    threshold: float


class ResizedTruth(NamedTuple):
    """A truth mask at map resolution, and what the resizing lost."""

    mask: npt.NDArray[np.bool_]
    components: int  # 8-connected parts before
    dropped: int  # those that kept no pixel: they count in no metric


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """All pixel metrics of one category, from one sort."""

    auroc: Metric
    aupro: dict[float, Metric]  # by limit
    average_precision: Metric
    f1: F1
    components: int
    roc: Curve
    pro: Curve


def image_auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Metric:
    """I-AUROC of (N,) scores and (N,) labels (True is defective), ties counted one half."""
    ranking = rank_scores(scores, _labels(labels))
    return Metric(ranking.auroc(), _image_reason(ranking))


def average_precision(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Metric:
    """Sum of (R_k - R_{k-1}) P_k over the distinct (N,) scores, without interpolation."""
    ranking = rank_scores(scores, _labels(labels))
    return Metric(ranking.average_precision(), _image_reason(ranking))


def max_f1(scores: npt.ArrayLike, labels: npt.ArrayLike) -> F1:
    """The highest F1 of (N,) scores over all thresholds, and its threshold (the highest of equals)."""
    ranking = rank_scores(scores, _labels(labels))
    return _f1(ranking, _image_reason(ranking))


def roc_curve(scores: npt.ArrayLike, labels: npt.ArrayLike, points: int = 400) -> Curve:
    """(false-positive rate, true-positive rate, threshold) of (N,) scores, at most `points`; empty where undefined."""
    return rank_scores(scores, _labels(labels)).roc(points)


def pixel_auroc(maps: Maps, truths: Truths) -> Metric:
    """P-AUROC over all pixels of N maps (h, w) float32 and N truths (h, w) bool, good images included."""
    ranking = rank_maps(maps, truths)
    return Metric(ranking.auroc(), _pixel_reason(ranking))


def pixel_average_precision(maps: Maps, truths: Truths) -> Metric:
    """Average precision over all pixels."""
    ranking = rank_maps(maps, truths)
    return Metric(ranking.average_precision(), _pixel_reason(ranking))


def aupro(
    maps: Maps, truths: Truths, limits: Sequence[float] = DEFAULT_LIMITS, *, mvtec_compat: bool = False
) -> tuple[Metric, ...]:
    """Area under the region-overlap curve up to each false-positive limit in (0, 1], in the order of `limits`.

    Raises ConfigError for a limit outside (0, 1] and for scores that are not finite.
    """
    return _aupro(rank_maps(maps, truths, sampled=mvtec_compat), limits, mvtec_compat)


def pro_curve(maps: Maps, truths: Truths, points: int = 400) -> Curve:
    """(false-positive rate, region overlap, threshold), at most `points`; empty where undefined."""
    return rank_maps(maps, truths).pro(points)


def pixel_metrics(
    maps: Maps,
    truths: Truths,
    limits: Sequence[float] = DEFAULT_LIMITS,
    *,
    mvtec_compat: bool = False,
    points: int = 400,
) -> PixelMetrics:
    """Every pixel metric from one sort; the single functions give the same numbers."""
    ranking = rank_maps(maps, truths, sampled=mvtec_compat)
    why = _pixel_reason(ranking)
    return PixelMetrics(
        auroc=Metric(ranking.auroc(), why),
        aupro=dict(zip(limits, _aupro(ranking, limits, mvtec_compat), strict=True)),
        average_precision=Metric(ranking.average_precision(), why),
        f1=_f1(ranking, why),
        components=ranking.n_component,
        roc=ranking.roc(points),
        pro=ranking.pro(points),
    )


def resize_truth(truth: npt.NDArray[np.bool_] | npt.NDArray[np.uint8], size: tuple[int, int]) -> ResizedTruth:
    """The truth (H, W), anything > 0 defective, at (h, w) by nearest neighbour of pixel centres."""
    import cv2

    if truth.ndim != 2 or min(size) < 1:
        raise ShapeError(f"truth must be (H, W) and size positive, got {truth.shape} and {size}; take one channel")
    count, labels = cv2.connectedComponents((truth > 0).astype(np.uint8), connectivity=8)
    rows, columns = ((2 * np.arange(n) + 1) * full // (2 * n) for n, full in zip(size, truth.shape, strict=True))
    resized = labels[rows[:, None], columns]
    kept = int(np.count_nonzero(np.unique(resized)))
    return ResizedTruth(resized > 0, count - 1, count - 1 - kept)


def _aupro(ranking: Ranking, limits: Sequence[float], mvtec_compat: bool) -> tuple[Metric, ...]:
    why = _pixel_reason(ranking)
    areas = ranking.aupro_sampled(limits) if mvtec_compat else ranking.aupro(limits)
    return tuple(Metric(area, why) for area in areas)


def _f1(ranking: Ranking, why: str) -> F1:
    value, threshold = ranking.max_f1()
    return F1(Metric(value, why), threshold)


def _image_reason(ranking: Ranking) -> str:
    if ranking.defined:
        return ""
    if ranking.n_positive == ranking.n_negative:
        return "empty"
    return "no_good" if ranking.n_positive else "no_defective"


def _pixel_reason(ranking: Ranking) -> str:
    if ranking.defined:
        return ""
    if ranking.n_positive == ranking.n_negative:
        return "empty"
    return "no_ok_pixel" if ranking.n_positive else "no_component"


def _labels(labels: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Labels as bool; refuses anything but True, False, 0 and 1, such as a folder name or a confidence."""
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise DtypeError(f"labels must be bool, got {array.dtype} {array.shape}; pass sample.defective of each part")
    if not np.isin(array, (0, 1)).all():
        raise ConfigError(f"labels must be True or False (or 0 and 1), got {np.unique(array)[:5]}; True is defective")
    return array.astype(np.bool_)
