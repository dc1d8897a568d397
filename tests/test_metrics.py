# SPDX-License-Identifier: Apache-2.0
"""The public metrics: the documented values and traps of the field, undefined cases that say why, and their oracles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from rasant import metrics
from rasant.errors import ConfigError, DtypeError, ShapeError
from reference import ranking as twin


def _set(seed: int = 0, count: int = 12, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Half of the maps have one or two defects; scores are smooth noise, raised on and near the defects."""
    rng = np.random.default_rng(seed)
    truths = np.zeros((count, size, size), bool)
    for i in range(count // 2):
        for y, x in rng.integers(4, size - 16, (1 + i % 2, 2)):
            truths[i, y : y + rng.integers(3, 12), x : x + rng.integers(3, 12)] = True
    noise = np.stack([cv2.GaussianBlur(rng.random((size, size)), (0, 0), 1.5) for _ in range(count)])
    lift = np.stack([cv2.GaussianBlur(t.astype(np.float64), (0, 0), 1.5) for t in truths])
    return (noise + 0.3 * lift).astype(np.float32), truths


def test_all_equal_scores_are_one_half_exactly() -> None:
    """Ties count one half: a constant detector has 0.5, neither 0 nor 1."""
    labels = np.array([True, False, False, True, False])
    assert metrics.image_auroc(np.full(5, 0.3), labels) == 0.5
    assert metrics.pixel_auroc(np.zeros((1, 3, 3), np.float32), np.eye(3, dtype=bool)[None]) == 0.5


def test_image_metrics_equal_scikit_learn() -> None:
    """I-AUROC and average precision of scikit-learn, for bool and 0/1 labels."""
    rng = np.random.default_rng(1)
    labels = rng.random(80) < 0.3
    scores = np.round(rng.random(80) + 0.4 * labels, 1)
    assert metrics.image_auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    expected = average_precision_score(labels, scores)
    assert metrics.average_precision(list(scores), labels.astype(int)) == pytest.approx(expected, abs=1e-12)
    x, y, _ = metrics.roc_curve(scores, labels)
    assert twin.area(x, y, 1.0) == pytest.approx(metrics.image_auroc(scores, labels), abs=1e-12)


def test_max_f1_names_its_threshold() -> None:
    """Counting scores >= threshold as defective gives the stated F1, and no other threshold gives more."""
    scores, labels = np.array([0.1, 0.4, 0.4, 0.6, 0.9]), np.array([False, False, True, True, True])
    best = metrics.max_f1(scores, labels)

    def f1(threshold: float) -> float:
        hits = np.count_nonzero(labels & (scores >= threshold))
        return 2 * hits / (labels.sum() + np.count_nonzero(scores >= threshold))

    assert best.value == pytest.approx(f1(best.threshold)) == pytest.approx(max(f1(t) for t in scores))


@pytest.mark.parametrize("limit", metrics.DEFAULT_LIMITS)
def test_aupro_equals_the_definition_and_the_official_curve(limit: float) -> None:
    """Exact by default, the official 100 thresholds with mvtec_compat, at each limit."""
    maps, truths = _set()
    exact = twin.area(*twin.pro_curve(maps, truths), limit)
    official = twin.area(*twin.official_curve(maps, truths), limit)
    assert metrics.aupro(maps, truths, (limit,)) == (pytest.approx(exact, abs=1e-9),)
    assert metrics.aupro(maps, truths, (limit,), mvtec_compat=True) == (pytest.approx(official, abs=1e-9),)


def test_100_thresholds_mean_nothing_at_1_percent() -> None:
    """At 30 % the official curve is a little low; at 1 % the whole interval lies inside one step and it is far off."""
    maps, truths = _set()
    exact, official = metrics.aupro(maps, truths), metrics.aupro(maps, truths, mvtec_compat=True)
    assert 0 < exact[0] - official[0] < 0.02
    assert exact[3] - official[3] > 0.1
    many = twin.area(*twin.official_curve(maps, truths, thresholds=20000), 0.01)
    assert many == pytest.approx(exact[3], abs=0.005)


def test_constant_maps_have_half_the_limit() -> None:
    """Exact: one diagonal from (0, 0) to (1, 1), so limit / 2 (0.15 at 30 %). The official code answers 0."""
    maps, truths = np.full((3, 16, 16), 0.25, np.float32), np.zeros((3, 16, 16), bool)
    truths[0, 3:6, 3:6] = True
    assert metrics.aupro(maps, truths) == pytest.approx([0.15, 0.05, 0.025, 0.005])
    assert metrics.aupro(maps, truths, mvtec_compat=True)[0] == 0.0


def test_quantised_maps_are_ranked_with_their_ties() -> None:
    """Maps of 8 bits, as papers blur them: the definition's value, which no order of equal pixels changes."""
    maps, truths = _set(3)
    coarse = np.round(maps * 40).astype(np.float32) / 40
    exact = twin.area(*twin.pro_curve(coarse, truths), 0.3)
    assert metrics.aupro(coarse, truths)[0] == pytest.approx(exact, abs=1e-9)
    flipped = metrics.aupro(coarse[::-1, ::-1].copy(), truths[::-1, ::-1].copy())
    assert flipped[0] == pytest.approx(exact, abs=1e-9)


def test_good_images_are_in_the_false_positive_rate() -> None:
    """Leaving the good images out changes P-AUROC and AUPRO, so they must be given, with empty truths."""
    maps, truths = _set(4)
    defective = truths.any(axis=(1, 2))
    maps[~defective] *= 0.5
    assert metrics.aupro(maps, truths)[0] - metrics.aupro(maps[defective], truths[defective])[0] > 0.01
    assert metrics.pixel_auroc(maps, truths) > metrics.pixel_auroc(maps[defective], truths[defective])


def test_a_small_component_weighs_as_much_as_a_large_one() -> None:
    """Missing one pixel-sized defect of two costs half of AUPRO, however large the other is."""
    truths = np.zeros((1, 40, 40), bool)
    truths[0, 2:30, 2:30] = truths[0, 36, 36] = True
    maps = truths.astype(np.float32)
    maps[0, 36, 36] = -1.0
    assert metrics.aupro(maps, truths)[0] == pytest.approx(0.5)
    assert metrics.pixel_auroc(maps, truths) > 0.99


def test_diagonal_neighbours_are_one_component() -> None:
    """Components are 8-connected: a diagonal line is one, not as many as its pixels."""
    found = metrics.pixel_metrics(np.zeros((1, 9, 9), np.float32), np.eye(9, dtype=bool)[None])
    assert found.components == 1


def test_undefined_metrics_are_nan_and_say_why() -> None:
    """One class alone, no component, no OK pixel, nothing at all: NaN with a reason of the table, never 0 or 1."""
    scores, maps = np.array([0.1, 0.2]), np.zeros((1, 2, 2), np.float32)
    good, bad = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    cases = [
        (metrics.image_auroc(scores, [False, False]), "no_defective"),
        (metrics.average_precision(scores, [True, True]), "no_good"),
        (metrics.max_f1([], []).value, "empty"),
        (metrics.pixel_auroc(maps, good), "no_component"),
        (metrics.pixel_average_precision(maps, bad), "no_ok_pixel"),
        (metrics.aupro(maps, good)[0], "no_component"),
        (metrics.aupro(maps, bad, mvtec_compat=True)[3], "no_ok_pixel"),
        (metrics.aupro([], [])[0], "empty"),
    ]
    for value, reason in cases:
        assert np.isnan(value) and value.reason == reason and reason in metrics.REASONS
    assert metrics.image_auroc(scores, [False, True]).reason == ""
    assert len(metrics.pro_curve(maps, good).x) == 0


@pytest.mark.parametrize("limit", [0.0, 1.5, -0.3])
def test_a_limit_outside_0_1_is_a_value_error(limit: float) -> None:
    """ConfigError is a ValueError, in both modes."""
    maps, truths = _set(count=2)
    for compat in (False, True):
        with pytest.raises(ValueError, match=r"in \(0, 1\]"):
            metrics.aupro(maps, truths, (limit,), mvtec_compat=compat)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_raise(bad: float) -> None:
    """NaN never becomes a rank."""
    with pytest.raises(ConfigError, match="NaN or infinity"):
        metrics.image_auroc([0.1, bad], [True, False])
    maps, truths = _set(count=2)
    maps[0, 5, 5] = bad
    with pytest.raises(ConfigError, match="NaN or infinity"):
        metrics.aupro(maps, truths)


def test_labels_that_are_no_labels_are_refused() -> None:
    """Folder names, confidences and 0/255 are refused instead of being taken as true."""
    with pytest.raises(DtypeError, match="labels must be bool"):
        metrics.image_auroc([0.1, 0.2], ["good", "dent"])
    with pytest.raises(ConfigError, match="True or False"):
        metrics.image_auroc([0.1, 0.2], [0, 255])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_one_sort_gives_what_the_single_functions_give(seed: int) -> None:
    """pixel_metrics agrees with each function, in both modes."""
    maps, truths = _set(seed, 4, 24)
    for compat in (False, True):
        together = metrics.pixel_metrics(list(maps), list(truths), (0.3, 0.05), mvtec_compat=compat)
        assert together.auroc == metrics.pixel_auroc(maps, truths)
        assert tuple(together.aupro.values()) == metrics.aupro(maps, truths, (0.3, 0.05), mvtec_compat=compat)
        assert together.average_precision == metrics.pixel_average_precision(maps, truths)
        assert together.pro.x.tolist() == metrics.pro_curve(maps, truths).x.tolist()


def test_resized_truth_counts_what_it_dropped() -> None:
    """Nearest resize keeps the large defect and loses the single pixel between the sampled ones."""
    truth = np.zeros((64, 64), np.uint8)
    truth[10:30, 10:30], truth[41, 41] = 255, 255
    mask, found, dropped = metrics.resize_truth(truth, (16, 16))
    assert mask.shape == (16, 16) and mask.sum() == 25 and (found, dropped) == (2, 1)
    same = metrics.resize_truth(truth, (64, 64))
    assert np.array_equal(same.mask, truth > 0) and same.dropped == 0
    with pytest.raises(ShapeError, match=r"\(H, W\)"):
        metrics.resize_truth(np.zeros((4, 4, 3), np.uint8), (2, 2))
