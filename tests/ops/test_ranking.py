# SPDX-License-Identifier: Apache-2.0
"""The ranking operation: exact with any ties, against definitions written word by word and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.ranking import DEFAULT_LIMITS, aupro, auroc, pro_curve, rank_maps, rank_scores
from reference import ranking as twin

seeds = st.integers(0, 2**32 - 1)


def _labelled(seed: int, levels: int, size: tuple[int, int, int] = (4, 13, 17)) -> tuple[np.ndarray, np.ndarray]:
    """Maps with `levels` distinct values (0: continuous, of any sign and magnitude), and truths with small blobs."""
    rng = np.random.default_rng(seed)
    truths = rng.random(size) < rng.choice([0.02, 0.3, 0.7])
    truths[rng.integers(size[0])] = False
    truths[-1, 0, 0], truths[0, -1, -1] = True, False
    maps = rng.normal(size=size) * 10.0 ** rng.integers(-3, 4) + truths
    if levels:
        maps = np.round((maps - maps.min()) / np.ptp(maps) * levels) / levels
    return maps.astype(np.float32), truths


@settings(max_examples=150, deadline=None)
@given(seeds, st.sampled_from([0, 1, 3, 40]))
def test_pixel_figures_equal_their_definitions(seed: int, levels: int) -> None:
    """AUROC, AP, max F1, AUPRO at every limit and the official 100-threshold AUPRO, with and without massive ties."""
    maps, truths = _labelled(seed, levels)
    ranking, sampled = rank_maps(maps, truths), rank_maps(maps, truths, sampled=True)
    scores, labels = maps.ravel(), truths.ravel()
    assert ranking.auroc() == pytest.approx(twin.auroc(scores, labels), abs=1e-12)
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert ranking.max_f1()[0] == pytest.approx(f1.max(), abs=1e-9)
    assert ranking.overlap.sum() == pytest.approx(1.0)
    assert ranking.n_component == sum(len(twin.components(t)) for t in truths)
    curve, official = twin.pro_curve(maps, truths), twin.official_curve(maps, truths)
    limits = (1.0, *DEFAULT_LIMITS)
    assert np.array_equal(ranking.above, sampled.above) and np.array_equal(ranking.equal, sampled.equal)
    assert ranking.aupro(limits) == pytest.approx([twin.area(*curve, limit) for limit in limits], abs=1e-9)
    assert sampled.aupro_sampled(limits) == pytest.approx([twin.area(*official, limit) for limit in limits], abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 300), st.sampled_from([np.float32, np.float64]), st.sampled_from([0, 2, 7]))
def test_auroc_of_scores_equals_scikit_learn(seed: int, size: int, dtype: type, levels: int) -> None:
    """One score a part, float32 and float64, with and without ties."""
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.4
    labels[0], labels[1] = True, False
    scores = rng.normal(size=size) + labels
    scores = (np.round(scores * levels) if levels else scores).astype(dtype)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_float64_scores_that_float32_cannot_tell_apart() -> None:
    """Scores that differ by 1e-12 are ranked, not tied, and the threshold of the best F1 is one of them."""
    scores = 0.5 + np.arange(6) * 1e-12
    labels = np.array([False, False, False, True, True, True])
    ranking = rank_scores(scores, labels)
    assert ranking.auroc() == 1.0 and ranking.max_f1() == (1.0, scores[3])


def test_signs_zeros_and_magnitudes_are_ordered() -> None:
    """-0 and +0 tie; denormals, negatives and the ends of float32 stand in their order."""
    ends = np.finfo(np.float32)
    order = np.array([ends.min, -1.0, -ends.tiny, -1e-45, 0.0, 1e-45, ends.tiny, 1.0, ends.max], np.float32)
    for cut in range(1, len(order)):
        assert auroc(order, np.arange(len(order)) >= cut) == 1.0
    assert auroc(np.array([-0.0, 0.0], np.float32), np.array([True, False])) == 0.5


def test_a_large_radix_range_is_sorted() -> None:
    """A hundred thousand floats of random bits agree with a plain sort: every digit of every pass is used."""
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    scores = bits[np.isfinite(bits)]
    labels = rng.random(len(scores)) < 0.5
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores.astype(np.float64)), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 20), st.integers(1, 70))
def test_components_are_8_connected_across_word_borders(seed: int, height: int, width: int) -> None:
    """The number of components equals scipy's with a full 3x3 structure, for every width around eight."""
    truths = np.random.default_rng(seed).random((3, height, width)) < 0.35
    expected = sum(len(twin.components(t)) for t in truths)
    assert rank_maps(np.zeros(truths.shape, np.float32), truths).n_component == expected


def test_maps_may_differ_in_size_and_come_as_lists() -> None:
    """A list of maps of two sizes gives the figures of all their pixels."""
    maps = [np.random.default_rng(i).random(size, dtype=np.float32) for i, size in enumerate([(5, 9), (12, 3)])]
    truths = [m > 0.6 for m in maps]
    assert rank_maps(maps, truths).auroc() == 1.0


def test_curves_are_thin_and_keep_their_ends() -> None:
    """A drawn curve has at most the asked points, runs from (0, 0) to (1, 1), never falls, stays near the exact one."""
    maps, truths = _labelled(3, 0, (20, 64, 64))
    x, y, threshold = pro_curve(maps, truths)
    assert 100 < len(x) <= 400 and len(x) == len(y) == len(threshold)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all() and (np.diff(threshold) <= 0).all()
    exact = twin.pro_curve(maps, truths)
    assert np.abs(np.interp(x + 1e-9, *exact) - y).max() < 0.01
    roc = rank_maps(maps, truths).roc(50)
    assert len(roc.x) <= 50 and twin.area(roc.x, roc.y, 1.0) == pytest.approx(rank_maps(maps, truths).auroc(), abs=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, 30])
def test_non_finite_scores_are_refused(bad: float, place: int) -> None:
    """NaN and infinity raise, under the truth or outside it, in maps and in both types of scores."""
    maps, truths = np.zeros((1, 4, 8), np.float32), np.zeros((1, 4, 8), bool)
    truths[0, 0, 4:], maps.flat[place] = True, bad
    with pytest.raises(ConfigError, match="NaN or infinity"):
        rank_maps(maps, truths)
    for dtype in (np.float32, np.float64):
        with pytest.raises(ConfigError, match="NaN or infinity"):
            auroc(maps.ravel().astype(dtype), truths.ravel())


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.01, float("nan")])
def test_limits_outside_0_1_are_refused(limit: float) -> None:
    """A limit must be in (0, 1], also where the figure is undefined."""
    for truth in (True, False):
        with pytest.raises(ConfigError, match=r"in \(0, 1\]"):
            aupro(np.zeros((1, 2, 2), np.float32), np.array([[[truth, False], [False, False]]]), (0.3, limit))


def test_undefined_figures_are_nan() -> None:
    """Without a positive, without a negative or without anything every figure is NaN and every curve empty."""
    for truths in (np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool), np.zeros((0, 3, 3), bool)):
        ranking = rank_maps(np.zeros(truths.shape, np.float32), truths)
        figures = [ranking.auroc(), ranking.average_precision(), *ranking.max_f1(), *ranking.aupro()]
        assert np.isnan([*figures, *ranking.aupro_sampled()]).all() and len(ranking.roc().x) == 0
    assert np.isnan(auroc(np.zeros(0), np.zeros(0, bool)))


def test_wrong_arrays_are_refused() -> None:
    """A missing truth, another size, another dtype and another device: a typed error each."""
    maps, truths = np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 3), bool)
    with pytest.raises(ShapeError, match="every map needs a truth"):
        rank_maps(maps, truths[:1])
    with pytest.raises(ShapeError, match="truth must have shape"):
        rank_maps(maps, np.zeros((2, 3, 4), bool))
    with pytest.raises(DtypeError, match="truth must be bool"):
        rank_maps(maps, truths.astype(np.uint8))
    with pytest.raises(ConfigError, match="sampled=True"):
        rank_maps(maps, maps == np.eye(3)).aupro_sampled()
    with pytest.raises(ShapeError, match="scores and labels"):
        rank_scores(np.zeros(3), np.zeros(4, bool))
    with pytest.raises(DeviceUnavailable):
        rank_maps(maps, truths, device="cuda")
