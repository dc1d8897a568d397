# SPDX-License-Identifier: Apache-2.0
"""Intervals: exact where an exact answer exists, seeded where chance is used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from rasant.errors import ConfigError
from rasant.intervals import auroc_change_interval, auroc_interval, clopper_pearson, mean_auroc_change_interval


@settings(max_examples=60, deadline=None)
@given(trials=st.integers(1, 3000), share=st.floats(0, 1), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_clopper_pearson_is_exact(trials: int, share: float, confidence: float) -> None:
    """Our bisection gives scipy's exact interval to 1e-9 for any count."""
    hits = round(share * trials)
    found = clopper_pearson(hits, trials, confidence=confidence)
    oracle = binomtest(hits, trials).proportion_ci(confidence, "exact")
    assert found == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_no_reject_among_ten_parts_proves_little() -> None:
    """With 0 of 10 the upper bound is 30.8 %, the figure that every handbook prints."""
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)


@pytest.mark.parametrize(("n", "above"), [(10, 0), (60, 3), (400, 20)])
def test_upper_bound_is_the_tolerance_bound_of_an_order_statistic(n: int, above: int) -> None:
    """The rate above the (n - above)-th of n scores is Beta(above + 1, n - above): its quantile is the upper bound."""
    assert clopper_pearson(above, n)[1] == pytest.approx(beta.ppf(0.975, above + 1, n - above), abs=1e-9)


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_impossible_counts_are_refused(hits: int, trials: int, confidence: float) -> None:
    """More hits than trials, no trial, or a level outside (0, 1) is a ConfigError."""
    with pytest.raises(ConfigError):
        clopper_pearson(hits, trials, confidence=confidence)


def test_auroc_interval_is_seeded_and_holds_the_estimate() -> None:
    """The same seed gives the same interval, and it encloses the AUROC of the sample."""
    random = np.random.default_rng(3)
    labels = np.arange(40) < 25
    scores = random.normal(size=40) + labels
    first = auroc_interval(scores, labels, seed=1)
    assert first == auroc_interval(scores, labels, seed=1)
    assert first is not None
    wins = (scores[labels][:, None] > scores[~labels][None, :]).mean()
    assert first[0] < wins < first[1]


def test_auroc_interval_covers_the_truth() -> None:
    """Over 120 draws of 25 and 14 parts the 95 % interval holds the true AUROC at least 85 % of the time."""
    from math import erf

    truth = 0.5 * (1 + erf(1.0 / 2))  # shift of one sigma: Phi(1 / sqrt 2)
    random, covered = np.random.default_rng(0), 0
    labels = np.arange(39) < 25
    for _ in range(120):
        interval = auroc_interval(random.normal(size=39) + labels, labels, resamples=400)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered >= 102


@pytest.mark.parametrize("labels", [[], [True, True], [False]])
def test_auroc_interval_needs_both_classes(labels: list[bool]) -> None:
    """One class alone has no interval."""
    assert auroc_interval(np.zeros(len(labels)), labels) is None


def test_ties_count_one_half() -> None:
    """Scores that are all equal give exactly 0.5 in every resample."""
    assert auroc_interval([1.0] * 6, [True] * 3 + [False] * 3) == (0.5, 0.5)


def test_the_mean_change_is_drawn_by_category() -> None:
    """One category gives its own interval, ten alike a much narrower one, a category without good parts none."""
    random = np.random.default_rng(5)
    labels = np.arange(40) < 25
    categories = []
    for _ in range(10):
        reference = random.normal(size=40) + labels
        categories.append((reference + 0.3 * random.normal(size=40), reference, labels))
    alone = auroc_change_interval(*categories[0], seed=2)
    assert alone is not None and alone == mean_auroc_change_interval(categories[:1], seed=2)
    mean = mean_auroc_change_interval(categories, seed=2)
    assert mean is not None and mean[1] - mean[0] < 0.6 * (alone[1] - alone[0])
    assert mean_auroc_change_interval([categories[0], (labels, labels, np.zeros(40, bool))]) is None
    assert mean_auroc_change_interval([]) is None
