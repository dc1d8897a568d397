# SPDX-License-Identifier: Apache-2.0
"""What can honestly be said about a set of latencies, and about the ratio of two that were measured in turns.

A percentile is given where there are enough values beyond it to stand on: p99 from 1000 values on, p99.9 from 10 000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ratio", "describe", "ratio_of_medians"]

PERCENTILES = (("p50", 50.0, 1), ("p90", 90.0, 1), ("p95", 95.0, 1), ("p99", 99.0, 1000), ("p99_9", 99.9, 10_000))
RESAMPLES = 2000
LEVEL = 0.95

Values = npt.NDArray[np.float64]


def describe(values: Sequence[float]) -> dict[str, float | int | None]:
    """n, mean, std, min, p50, p90, p95, p99, p99_9 and max; null (None) where there are too few values for one."""
    found: dict[str, float | int | None] = {"n": len(values)}
    if not len(values):
        return {**found, **dict.fromkeys(("mean", "std", "min", *(name for name, *_ in PERCENTILES), "max"))}
    array = np.asarray(values, np.float64)
    found |= {"mean": float(array.mean()), "std": float(array.std()), "min": float(array.min())}
    for name, percent, least in PERCENTILES:
        found[name] = float(np.percentile(array, percent)) if len(array) >= least else None
    return {**found, "max": float(array.max())}


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of a over median of b, with its bootstrap interval at 95 %; None where a single turn gives no interval."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


def ratio_of_medians(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], *, paired: bool = True, seed: int = 0
) -> Ratio | None:
    """a, b: values of each turn. None where either has no value.

    Turns are resampled, not single values: what disturbs a machine lasts longer than a frame, so neighbours are alike.
    paired: turn k of both ran one after the other, and a resample takes or leaves both.
    """
    left, right = _rows(a), _rows(b)
    if left.size == 0 or right.size == 0 or np.isnan(left).all() or np.isnan(right).all():
        return None
    value = float(np.nanmedian(left) / np.nanmedian(right))
    if paired:
        turns = min(len(left), len(right))
        left, right = left[:turns], right[:turns]
    if min(len(left), len(right)) < 2:
        return Ratio(value, None, None)
    random = np.random.default_rng(seed)
    picks = random.integers(len(left), size=(RESAMPLES, len(left)))
    others = picks if paired else random.integers(len(right), size=(RESAMPLES, len(right)))
    ratios = _medians(left, picks) / _medians(right, others)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value, float(low), float(high))


def _rows(turns: Sequence[Sequence[float]]) -> Values:
    """One row for each turn that has values, padded with NaN."""
    kept = [turn for turn in turns if len(turn)]
    rows = np.full((len(kept), max(map(len, kept), default=0)), np.nan)
    for row, turn in zip(rows, kept, strict=True):
        row[: len(turn)] = turn
    return rows


def _medians(rows: Values, picks: npt.NDArray[np.int64]) -> Values:
    """The median of the rows of each pick. One pick at a time: all at once would not fit into the cache."""
    return np.array([np.nanmedian(rows[pick]) for pick in picks], np.float64)
