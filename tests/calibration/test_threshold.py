# SPDX-License-Identifier: Apache-2.0
"""A threshold from good parts alone keeps its promise, says how sure it is, and refuses what would pass everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.errors import ConfigError, ThresholdError
from rasant.intervals import clopper_pearson
from rasant_calibration.threshold import choose_threshold, parts_needed


def good_scores(count: int, seed: int = 0) -> np.ndarray:
    """Scores of good parts: skewed, distinct, float32 as an inspector gives them."""
    return np.random.default_rng(seed).lognormal(-3.0, 0.4, count).clip(0, 0.9).astype(np.float32)


@pytest.mark.parametrize("target", [0.01, 0.05, 0.2])
def test_new_parts_are_rejected_at_most_at_the_target_rate(target: float) -> None:
    """Over 200 calibrations with enough parts, the mean false-reject rate on new parts stays within the target."""
    needed, rates = parts_needed(target), []
    for seed in range(200):
        choice = choose_threshold(good_scores(needed, seed), false_reject=target)
        assert choice.rule == "conformal"
        rates.append(np.mean(good_scores(2000, 10_000 + seed) >= choice.threshold))
    assert np.mean(rates) <= target + 3 * np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) >= target / 3  # and does not reach it by letting everything pass


def test_the_interval_covers_the_true_rate() -> None:
    """The stored 95 % interval holds the true false-reject rate in at least 90 % of 200 calibrations."""
    covered = 0
    for seed in range(200):
        choice = choose_threshold(good_scores(80, seed), false_reject=0.05)
        true = np.mean(good_scores(20_000, 777) >= choice.threshold)
        covered += choice.bound.low <= true <= choice.bound.high
    assert covered >= 180


@settings(max_examples=60, deadline=None)
@given(count=st.integers(60, 500), target=st.floats(0.05, 0.5), seed=st.integers(0, 1000))
def test_conformal_rejects_exactly_the_parts_above_the_rank(count: int, target: float, seed: int) -> None:
    """Of n parts, n - ceil((n + 1)(1 - a)) are rejected; the part at the rank itself passes in float32."""
    scores = good_scores(count, seed)
    choice = choose_threshold(scores, false_reject=target)
    rank = int(np.ceil(np.round((count + 1) * (1 - target), 9)))
    assert choice.bound.hits == count - rank == int(np.count_nonzero(scores >= np.float32(choice.threshold)))
    assert (choice.bound.low, choice.bound.high) == clopper_pearson(count - rank, count)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 59), seed=st.integers(0, 1000))
def test_few_parts_take_the_highest_score_and_a_margin(count: int, seed: int) -> None:
    """Below 3/rate parts the threshold lies above every good part and below 1, warns, and states what n allows."""
    scores = good_scores(count, seed)
    choice = choose_threshold(scores)
    assert choice.rule == "max_margin"
    assert scores.max() < choice.threshold < 1.0
    assert choice.margin == pytest.approx(choice.threshold - scores.max(), abs=6e-8)  # thresholds are float32
    assert choice.bound.hits == 0
    assert f"{100 * clopper_pearson(0, count)[1]:.1f} %" in choice.warnings[0]
    assert "needs 60 parts" in choice.warnings[0]


def test_one_good_part_is_enough_to_start() -> None:
    """A single part gives a threshold with 5 % margin and the honest bound of 97.5 %."""
    choice = choose_threshold([0.2])
    assert choice.threshold == pytest.approx(0.21)
    assert choice.bound.high == pytest.approx(0.975)


def test_margin_never_takes_more_than_half_of_the_room() -> None:
    """With good parts up to 0.99 the threshold stops at 0.995, and a warning says how little room is left."""
    choice = choose_threshold([0.1, 0.5, 0.99])
    assert choice.threshold == pytest.approx(0.995)
    assert any("hardly any room" in text for text in choice.warnings)


def test_a_declared_margin_is_taken_as_it_is() -> None:
    """--margin forces the rule, whatever the number of parts."""
    choice = choose_threshold(good_scores(500), margin=0.05)
    assert choice.rule == "max_margin"
    assert choice.threshold == pytest.approx(float(good_scores(500).max()) + 0.05)


@pytest.mark.parametrize("margin", [0.8, 5.0])
def test_a_threshold_that_would_pass_everything_is_refused(margin: float) -> None:
    """A threshold at or above the highest possible score is refused with what to do (C3)."""
    with pytest.raises(ThresholdError, match="would pass everything"):
        choose_threshold([0.2, 0.3], margin=margin)


def test_good_parts_at_the_end_of_the_range_are_refused() -> None:
    """If a good part already has the highest score, no threshold exists (C3)."""
    with pytest.raises(ThresholdError, match="would pass everything"):
        choose_threshold([0.5, 1.0])
    with pytest.raises(ThresholdError, match="would pass everything"):
        choose_threshold(np.append(good_scores(100), [1.0] * 10))


def test_an_open_range_has_no_upper_end() -> None:
    """Distance scores have no maximum: a threshold above 1 is fine there, infinity never."""
    assert choose_threshold([3.0, 5.0], score_max=None).threshold > 5.0


def test_equal_scores_are_refused() -> None:
    """Different parts never score exactly alike: a model that ignores its input must not get a threshold (C4)."""
    with pytest.raises(ThresholdError, match="score exactly"):
        choose_threshold([0.25, 0.25, 0.25])


def test_all_zero_scores_are_refused() -> None:
    """A threshold of zero would reject everything."""
    with pytest.raises(ThresholdError):
        choose_threshold([0.0])


def test_no_part_is_refused() -> None:
    """Without a scored part there is no threshold, and the message counts those without a verdict (C4)."""
    with pytest.raises(ThresholdError, match="3 are UNKNOWN"):
        choose_threshold([], n_unknown=3)


def test_unknown_parts_count_as_rejects() -> None:
    """A good part without a verdict stops the machine: it raises the rank and stands in the interval."""
    scores = good_scores(98)
    without, with_two = choose_threshold(scores), choose_threshold(scores, n_unknown=2)
    assert with_two.threshold > without.threshold
    assert with_two.bound.trials == 100
    assert with_two.bound.hits == 2 + int(np.count_nonzero(scores >= with_two.threshold))
    assert any("count as rejects" in text for text in with_two.warnings)


def test_too_many_unknown_parts_are_refused() -> None:
    """Where UNKNOWN parts alone exceed the target no threshold can reach it."""
    with pytest.raises(ThresholdError, match="got no verdict"):
        choose_threshold(good_scores(90), n_unknown=10)


def test_a_defect_among_the_good_parts_is_reported() -> None:
    """An outlier far above the good parts is named, by its index (C4)."""
    scores = np.append(good_scores(30), 0.9)
    choice = choose_threshold(scores)
    assert choice.suspects == (30,)
    assert any("look at them" in text for text in choice.warnings)
    assert choose_threshold(good_scores(30)).suspects == ()


@pytest.mark.parametrize(
    ("changes", "scores"),
    [
        ({"false_reject": 0.0}, [0.1]), ({"false_reject": 1.0}, [0.1]), ({"false_reject": float("nan")}, [0.1]),
        ({"confidence": 1.0}, [0.1]), ({"margin": -0.1}, [0.1]), ({"margin": float("inf")}, [0.1]),
        ({"n_unknown": -1}, [0.1]), ({}, [0.1, float("nan")]), ({}, [float("inf")]),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(changes: dict[str, float], scores: list[float]) -> None:
    """Rates outside (0, 1), negative margins and scores that are not finite are ConfigErrors."""
    with pytest.raises(ConfigError):
        choose_threshold(scores, **changes)


def test_parts_needed_follows_the_rule_of_three() -> None:
    """3 / rate, without the rounding of floats: 60 parts for 5 %, 300 for 1 %."""
    assert [parts_needed(rate) for rate in (0.05, 0.01, 0.3, 0.1)] == [60, 300, 10, 30]
