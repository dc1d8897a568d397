# SPDX-License-Identifier: Apache-2.0
"""A decision threshold from good parts alone, with the false-reject rate it buys and how sure that is.

A part is rejected when its score reaches the threshold. With n good parts and a target rate a there are two rules:

`conformal`    n >= 3/a. The threshold is the next float32 above the k-th smallest of the n scores,
               k = ceil((n + 1)(1 - a)): a new exchangeable good part is then rejected with probability at most a
               (split conformal prediction; Vovk, Gammerman and Shafer 2005).
`max_margin`   n < 3/a: not even zero rejects among n parts would show the target. The threshold is the highest good
               score plus a margin: one robust standard deviation (1.4826 MAD) of the good scores, at least 5 % of the
               highest score, at most half of the way to the end of the score range; or what the user declares.

A good part that got no verdict (UNKNOWN) would stop the machine like a reject: it counts as a score of plus infinity.
The bound is Clopper and Pearson's interval of the rejects among the n parts. Its upper end stays exact although the
threshold came from the same parts: the rate above the k-th of n scores is Beta(n - k + 1, k) distributed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, ThresholdError
from rasant.intervals import clopper_pearson

__all__ = ["RULES", "RateBound", "ThresholdChoice", "choose_threshold", "parts_needed"]

RULES = ("conformal", "max_margin")
_SUSPECT_SIGMAS = 8.0  # robust deviations above the median at which a "good" part looks like a defect
_MARGIN_FLOOR = 0.05  # of the highest good score
_NEAR_END = 0.95  # of the score range: a threshold above leaves defects hardly any room


@dataclass(frozen=True, slots=True)
class RateBound:
    """A rate seen as `hits` of `trials`, with its exact two-sided interval at `level`."""

    hits: int
    trials: int
    level: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold and everything needed to defend it."""

    threshold: float
    rule: str  # one of RULES
    target_false_reject: float
    n_good: int  # good parts, those without a verdict included
    n_unknown: int  # of them without a verdict
    highest_good: float
    margin: float  # what was added above the deciding good score
    bound: RateBound
    suspects: tuple[int, ...] = ()  # indices into the scores
    warnings: tuple[str, ...] = ()


def parts_needed(target: float) -> int:
    """Good parts from which a target false-reject rate can be shown at 95 %: 3 / rate, the rule of three."""
    return math.ceil(round(3.0 / target, 9))


def choose_threshold(
    scores: npt.ArrayLike,
    *,
    false_reject: float = 0.05,
    confidence: float = 0.95,
    margin: float | None = None,
    score_max: float | None = 1.0,
    n_unknown: int = 0,
) -> ThresholdChoice:
    """Choose the threshold for a target false-reject rate from the raw scores of good parts, by the rules above.

    scores: (N,) finite, N >= 1: good parts with a verdict. n_unknown: good parts without one.
    margin: score units to add above the highest good score; it forces the rule `max_margin`.
    score_max: highest score the bundle can give, or None for an open range.

    Raises ConfigError for arguments out of range and ThresholdError where no threshold makes sense: no good part, equal
    scores of different parts, too many UNKNOWN parts for the target, or a threshold that would pass everything.
    """
    values = _checked(scores, false_reject, confidence, margin, n_unknown)
    n = len(values) + n_unknown
    ordered = np.sort(values)
    highest = float(ordered[-1])
    if margin is None and n >= parts_needed(false_reject):
        rule = "conformal"
        rank = math.ceil(round((n + 1) * (1.0 - false_reject), 9))
        if rank > len(values):
            raise ThresholdError(
                f"{n_unknown} of {n} good parts got no verdict, which alone exceeds the target false-reject rate of "
                f"{false_reject:g}; find out why they are UNKNOWN, or allow a higher rate"
            )
        base = float(ordered[rank - 1])
        threshold = float(np.nextafter(np.float32(base), np.float32(np.inf)))
    else:
        rule, base = "max_margin", highest
        threshold = highest + (_default_margin(ordered, score_max) if margin is None else margin)
    _refuse_useless(threshold, highest, score_max)
    hits = int(np.count_nonzero(values >= threshold)) + n_unknown
    low, high = clopper_pearson(hits, n, confidence=confidence)
    bound = RateBound(hits, n, confidence, low, high)
    few = _few_parts(bound, false_reject, threshold - highest) if rule == "max_margin" else ""
    suspects = _suspects(values)
    warnings = _warnings(few, threshold, score_max, n, n_unknown, len(suspects))
    return ThresholdChoice(
        threshold, rule, false_reject, n, n_unknown, highest, threshold - base, bound, suspects, warnings
    )


def _checked(
    scores: npt.ArrayLike, false_reject: float, confidence: float, margin: float | None, n_unknown: int
) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    if not 0.0 < false_reject < 1.0:
        raise ConfigError(f"false_reject must lie between 0 and 1, got {false_reject}; 0.05 is one good part in 20")
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence must lie between 0 and 1, got {confidence}; 0.95 is usual")
    if margin is not None and not (math.isfinite(margin) and margin > 0.0):
        raise ConfigError(f"margin must be a positive number of score units, got {margin}")
    if n_unknown < 0:
        raise ConfigError(f"n_unknown must be zero or more, got {n_unknown}")
    if not np.isfinite(values).all():
        raise ConfigError("scores must be finite; count parts without a score in n_unknown")
    if not len(values):
        raise ThresholdError(
            f"no good part got a score ({n_unknown} are UNKNOWN); a threshold needs at least one, and "
            f"{parts_needed(false_reject)} to show a false-reject rate of {false_reject:g}"
        )
    if len(values) > 1 and values.min() == values.max():
        raise ThresholdError(
            f"all {len(values)} good parts score exactly {values[0]:.6g}; different parts never do: check that the "
            "model is trained and sees the images"
        )
    return values


def _default_margin(ordered: npt.NDArray[np.float64], score_max: float | None) -> float:
    """One robust standard deviation, at least 5 % of the highest score, at most half of the room that is left."""
    highest = float(ordered[-1])
    spread = 1.4826 * float(np.median(np.abs(ordered - np.median(ordered))))
    margin = max(spread, _MARGIN_FLOOR * highest)
    return margin if score_max is None else min(margin, 0.5 * (score_max - highest))


def _refuse_useless(threshold: float, highest: float, score_max: float | None) -> None:
    """Raise unless some score reaches the threshold and some score stays below it."""
    if not math.isfinite(threshold) or (score_max is not None and np.float32(threshold) >= np.float32(score_max)):
        end = "infinity" if score_max is None else f"{score_max:g}"
        raise ThresholdError(
            f"a threshold of {threshold:.6g} would pass everything: scores end at {end} and the highest good part has "
            f"{highest:.6g}; train longer, look for defects among the good parts, or give a smaller --margin"
        )
    if threshold <= 0.0:
        raise ThresholdError(
            f"a threshold of {threshold:.6g} would reject everything: scores start at 0 and the highest good part "
            f"has {highest:.6g}; check that the model is trained, or give a --margin"
        )


def _few_parts(bound: RateBound, target: float, margin: float) -> str:
    n = bound.trials
    seen = f"with {n} good part{'s' if n != 1 else ''} ({bound.hits} rejected)"
    sure = f"at most {100 * bound.high:.1f} % (confidence {100 * bound.level:g} %)"
    advice = f"; a target of {target:g} needs {parts_needed(target)} parts" if n < parts_needed(target) else ""
    return (
        f"{seen} the false-reject rate is only known to be {sure}{advice}. "
        f"The threshold is the highest good score plus a margin of {margin:.4g}"
    )


def _warnings(
    few: str, threshold: float, score_max: float | None, n: int, n_unknown: int, n_suspects: int
) -> tuple[str, ...]:
    found = [few] if few else []
    if n_unknown:
        found.append(f"{n_unknown} of {n} good parts got no verdict; a machine stops for them: they count as rejects")
    if score_max is not None and threshold > _NEAR_END * score_max:
        found.append(
            f"the threshold {threshold:.4g} leaves defects hardly any room below the highest score {score_max:g}"
        )
    if n_suspects:
        found.append(
            f"{n_suspects} of the good parts score far above the rest; look at them: a defect among the good parts "
            "raises the threshold and lets its like pass"
        )
    return tuple(found)


def _suspects(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """Indices of scores more than `_SUSPECT_SIGMAS` robust deviations above the median; needs at least 8 scores."""
    if len(values) < 8:
        return ()
    median = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - median)))
    if sigma == 0.0:
        return ()
    return tuple(int(i) for i in np.flatnonzero(values > median + _SUSPECT_SIGMAS * sigma))
