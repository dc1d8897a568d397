# SPDX-License-Identifier: Apache-2.0
"""How far a rate or an AUROC measured on few parts can be trusted. Exact or seeded; numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError

__all__ = ["auroc_change_interval", "auroc_interval", "clopper_pearson", "mean_auroc_change_interval"]

_BISECTIONS = 80


def clopper_pearson(hits: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a rate of which `hits` of `trials` were seen (Clopper and Pearson 1934).

    The bounds are the rates at which a result at least, and at most, as extreme has the probability (1 - confidence)/2.
    For a threshold that is an order statistic of the same parts, the upper bound is also the exact distribution-free
    tolerance bound of the rate on new parts: the rate above the k-th of n scores is Beta(n - k + 1, k) distributed.

    Raises ConfigError unless 0 <= hits <= trials, trials >= 1 and 0 < confidence < 1.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise ConfigError(f"hits must be between 0 and trials (at least 1), got {hits} of {trials}")
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence must lie between 0 and 1, got {confidence}; 0.95 is usual")
    tail = (1.0 - confidence) / 2.0
    counts = np.arange(trials + 1, dtype=np.float64)
    steps = np.log(trials - counts[:-1]) - np.log(counts[1:])
    log_choose = np.concatenate(([0.0], np.cumsum(steps)))

    def mass(rate: float, first: int, last: int) -> float:
        """P(first <= X <= last) of the binomial distribution."""
        k = counts[first : last + 1]
        exponents = log_choose[first : last + 1] + k * np.log(rate) + (trials - k) * np.log1p(-rate)
        return float(np.exp(exponents).sum())

    low, high = 0.0, 1.0
    if hits > 0:
        low = _bisect(lambda rate: mass(rate, hits, trials) < tail)
    if hits < trials:
        high = _bisect(lambda rate: mass(rate, 0, hits) > tail)
    return low, high


def _bisect(is_below: Callable[[float], bool]) -> float:
    """The rate in (0, 1) where `is_below` turns from True to False."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if is_below(middle):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def auroc_interval(
    scores: npt.ArrayLike, labels: npt.ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the AUROC, drawn within each class so that both stay present; seeded.

    scores: (N,) finite numbers. labels: (N,) bool, True = defective. None where a class is missing.
    Ties count one half, so the resampled values are exact AUROCs. With perfect separation the interval is (1, 1):
    a bootstrap cannot see what did not happen.
    """
    values = np.asarray(scores, dtype=np.float64)
    defective = np.asarray(labels, dtype=bool)
    high, low = values[defective], values[~defective]
    if not len(high) or not len(low):
        return None
    return _percentiles(_resampled(_wins(high, low), resamples, np.random.default_rng(seed)), confidence)


def auroc_change_interval(
    scores: npt.ArrayLike,
    reference: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Paired bootstrap interval of AUROC(scores) - AUROC(reference) on the same parts; drawn as `auroc_interval` is.

    scores, reference: (N,) finite numbers. labels: (N,) bool, True = defective. None where a class is missing.
    """
    return mean_auroc_change_interval(
        [(scores, reference, labels)], confidence=confidence, resamples=resamples, seed=seed
    )


def mean_auroc_change_interval(
    categories: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """The same for the mean of the changes over categories, each (scores, reference, labels) and drawn on its own.

    None where a category lacks a class, or there is no category.
    """
    random = np.random.default_rng(seed)
    changes = []
    for scores, reference, labels in categories:
        defective = np.asarray(labels, dtype=bool)
        if defective.all() or not defective.any():
            return None
        ours, theirs = (_wins(v[defective], v[~defective]) for v in (np.asarray(scores), np.asarray(reference)))
        changes.append(_resampled(ours - theirs, resamples, random))
    return _percentiles(np.mean(changes, axis=0), confidence) if changes else None


def _wins(high: npt.NDArray[np.float64], low: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(defective, good): 1 where the defective part scores higher, one half for a tie."""
    return np.asarray((high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :]))


def _resampled(wins: npt.NDArray[np.float64], resamples: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Means of `wins` with rows and columns drawn anew."""
    rows, cols = wins.shape
    draws_high = random.multinomial(rows, np.full(rows, 1.0 / rows), size=resamples)
    draws_low = random.multinomial(cols, np.full(cols, 1.0 / cols), size=resamples)
    return np.asarray(np.einsum("ri,ri->r", draws_high @ wins, draws_low) / (rows * cols))


def _percentiles(values: npt.NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)
