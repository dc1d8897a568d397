# SPDX-License-Identifier: Apache-2.0
"""Evaluation counts what is there, leaves out what cannot be ranked, and says why a figure is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelled import THRESHOLD, labelled_frame, labelled_frames, oracle, refused
from rasant.errors import ConfigError
from rasant.evaluate import METRICS, evaluate_records, inspect_source, map_truth, with_levels
from rasant.evaluate_command import read_levels
from rasant.types import Frame, Inspection


def evaluated(labels: list[str], **options: object) -> dict[str, object]:
    """The entry of one category, seen by the oracle."""
    result = evaluate_records(inspect_source(oracle, labelled_frames(labels)), **options)  # type: ignore[arg-type]
    entry: dict[str, object] = result["categories"]["plate"]
    return entry


def test_a_perfect_detector_gets_one_everywhere() -> None:
    """Where every defective pixel scores above every good one, all six metrics are exactly 1."""
    result = evaluate_records(inspect_source(oracle, labelled_frames()))
    entry = result["categories"]["plate"]
    assert [entry[name] for name in METRICS] == [1.0] * 6
    assert (entry["n_good"], entry["n_defect"], entry["n_unknown"], entry["dropped_components"]) == (4, 4, 0, 0)
    assert entry["by_defect"].keys() == {"dent", "stain"}
    assert entry["by_defect"]["dent"] == {"i_auroc": 1.0, "aupro_30": 1.0, "n": 2, "n_rejected": 2}
    assert entry["i_auroc_interval"] == [1.0, 1.0]
    assert result["mean"] | {"reasons": {}} == {**dict.fromkeys(METRICS, 1.0), "n_categories": 1, "reasons": {}}


def test_scores_are_ranked_as_scikit_learn_does() -> None:
    """I-AUROC and P-AUROC of a mediocre detector agree with the oracle library."""

    def mediocre(frame: Frame) -> Inspection:
        return oracle(frame, height=0.15 + 0.01 * frame.index)

    records = inspect_source(mediocre, labelled_frames())
    entry = evaluate_records(records)["categories"]["plate"]
    labels = [r.sample.defective for r in records]
    assert entry["i_auroc"] == pytest.approx(roc_auc_score(labels, [r.score for r in records]))
    pixels = np.concatenate([r.truth.ravel() for r in records])
    scores = np.concatenate([r.pixel_map.ravel() for r in records])
    assert entry["p_auroc"] == pytest.approx(roc_auc_score(pixels, scores))


def test_good_images_count_among_the_false_positives() -> None:
    """Leaving the good images out changes AUPRO: their pixels are part of the false-positive rate."""

    def hot_on_good(frame: Frame) -> Inspection:
        inspection = oracle(frame)
        assert frame.sample is not None
        if not frame.sample.defective:
            inspection.anomaly_map[:20] = 0.95
        return inspection

    frames = labelled_frames()
    with_good = evaluate_records(inspect_source(hot_on_good, frames))["categories"]["plate"]
    without = evaluate_records(inspect_source(hot_on_good, frames[4:]))["categories"]["plate"]
    assert with_good["aupro_30"] < 0.6
    assert without["aupro_30"] == 1.0


def test_unknown_frames_are_counted_listed_and_left_out() -> None:
    """A frame without a score stands in n_unknown with its reason, warns, and changes no ranking."""

    def sometimes(frame: Frame) -> Inspection:
        return refused(frame) if frame.index in (0, 5) else oracle(frame)

    entry = evaluate_records(inspect_source(sometimes, labelled_frames()))["categories"]["plate"]
    assert entry["n_unknown"] == 2
    assert [u["id"] for u in entry["unknown"]] == ["test/good/000", "test/dent/005"]
    assert entry["unknown"][0]["reason"] == "E_DEPTH_SPARSE"
    assert "2 of 8 parts have no score" in entry["warnings"][0]
    assert entry["i_auroc"] == 1.0
    assert entry["by_defect"]["dent"]["n"] == 2
    assert entry["at_threshold"]["good"] == {"pass": 3, "reject": 0, "unknown": 1}
    assert entry["at_threshold"]["false_reject"]["rate"] == 0.25  # a machine stops for UNKNOWN
    assert entry["at_threshold"]["escape"]["rate"] == 0.0


@pytest.mark.parametrize("labels", [["good", "good"], ["dent"]])
def test_what_is_undefined_is_null_with_a_reason(labels: list[str]) -> None:
    """One class alone cannot be ranked: null, a sentence, and JSON without NaN."""
    result = evaluate_records(inspect_source(oracle, labelled_frames(labels)))
    entry = result["categories"]["plate"]
    assert entry["i_auroc"] is None
    assert "part is labelled" in entry["reasons"]["i_auroc"]
    assert entry["i_auroc_interval"] is None
    assert result["mean"]["i_auroc"] is None
    assert result["mean"]["reasons"]["i_auroc"]
    json.dumps(result, allow_nan=False)


def test_nothing_but_unknown_is_still_an_answer() -> None:
    """When no frame has a score every metric is null, and the counts stand."""
    result = evaluate_records(inspect_source(refused, labelled_frames()))
    entry = result["categories"]["plate"]
    assert all(entry[name] is None and entry["reasons"][name] for name in METRICS)
    assert entry["n_unknown"] == 8
    json.dumps(result, allow_nan=False)


def test_an_empty_source_has_a_null_mean() -> None:
    """No frame: no category, and a mean that says so."""
    result = evaluate_records([])
    assert result["categories"] == {}
    assert result["mean"]["i_auroc"] is None
    assert "no frame" in result["mean"]["reasons"]["i_auroc"]


def test_the_mean_weighs_categories_not_parts() -> None:
    """A category of 2 parts weighs as much as one of 8; undefined ones are left out and named."""

    def wrong_on_b(frame: Frame) -> Inspection:
        assert frame.sample is not None
        return oracle(frame, height=0.0 if frame.sample.category == "b" else None)

    frames = [*labelled_frames(category="a"), *labelled_frames(["good", "dent"], category="b")]
    frames += labelled_frames(["good"], category="c")
    result = evaluate_records(inspect_source(wrong_on_b, frames))
    each = [result["categories"][name]["i_auroc"] for name in "ab"]
    assert result["mean"]["i_auroc"] == pytest.approx(np.mean(each))
    assert result["categories"]["c"]["i_auroc"] is None
    assert "1 of 3 categories" in result["mean"]["reasons"]["i_auroc"]


def test_levels_are_grouped_from_easy_to_hard() -> None:
    """by_level appears when levels are known, in the order easy, medium, hard."""
    records = inspect_source(oracle, labelled_frames())
    table = {"plate": {f"test/{r.sample.label}/{r.sample.name}": v for r, v in zip(records[4:], ["hard", "easy"] * 2)}}  # noqa: B905
    entry = evaluate_records(with_levels(records, table))["categories"]["plate"]
    assert list(entry["by_level"]) == ["easy", "hard"]
    assert entry["by_level"]["hard"]["n"] == 2
    assert evaluate_records(records)["categories"]["plate"]["by_level"] == {}


def test_mvtec_compat_is_the_coarse_curve() -> None:
    """The 100-threshold curve differs from the exact one at small limits, and the answer says which was taken."""

    def mediocre(frame: Frame) -> Inspection:
        return oracle(frame, height=0.199)

    records = inspect_source(mediocre, labelled_frames())
    exact, coarse = evaluate_records(records), evaluate_records(records, mvtec_compat=True)
    assert (exact["aupro_curve"], coarse["aupro_curve"]) == ("exact", "100 thresholds")
    assert exact["categories"]["plate"]["aupro_01"] != coarse["categories"]["plate"]["aupro_01"]
    assert exact["categories"]["plate"]["p_auroc"] == coarse["categories"]["plate"]["p_auroc"]


def test_a_frame_without_label_is_refused() -> None:
    """Unlabelled frames cannot be evaluated; the message names sources that can."""
    with pytest.raises(ConfigError, match="dataset:PATH"):
        inspect_source(oracle, [replace(labelled_frame("good", 0), sample=None)])


def test_a_defect_without_mask_counts_for_parts_only() -> None:
    """A defective part without truth mask is ranked as a part, left out of the pixels, and reported."""
    frames = labelled_frames()
    assert frames[4].sample is not None
    blind = replace(frames[4], sample=replace(frames[4].sample, truth=None))
    entry = evaluate_records(inspect_source(oracle, [*frames[:4], blind, *frames[5:]]))["categories"]["plate"]
    assert entry["i_auroc"] == 1.0
    assert entry["components"] == 3
    assert any("no truth mask" in text for text in entry["warnings"])


def test_without_threshold_there_are_no_error_rates() -> None:
    """A bundle that is not calibrated yet is ranked, and at_threshold is null."""

    def open_ended(frame: Frame) -> Inspection:
        return replace(oracle(frame), threshold=float("nan"))

    entry = evaluate_records(inspect_source(open_ended, labelled_frames()))["categories"]["plate"]
    assert entry["at_threshold"] is None
    assert entry["i_auroc"] == 1.0


def test_the_pooled_map_is_ranked_where_the_manifest_says_so() -> None:
    """pixel_map chooses which map P-AUROC and AUPRO see."""

    def two_maps(frame: Frame) -> Inspection:
        inspection = oracle(frame)
        return replace(inspection, pooled_map=np.zeros_like(inspection.anomaly_map))

    raw, pooled = (
        evaluate_records(inspect_source(two_maps, labelled_frames(), pixel_map=which))["categories"]["plate"]
        for which in ("raw", "pooled")
    )
    assert (raw["p_auroc"], pooled["p_auroc"]) == (1.0, 0.5)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(4, 60), cols=st.integers(4, 60), height=st.integers(1, 40), width=st.integers(1, 40),
    region=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_truth_is_sampled_at_pixel_centres(
    rows: int, cols: int, height: int, width: int, region: bool, seed: int
) -> None:
    """Each map pixel takes the frame pixel nearest to its centre, also in a region; lost parts are counted."""
    random = np.random.default_rng(seed)
    truth = random.random((rows, cols)) < 0.15
    x, y, w, h = (1, 2, cols - 2, rows - 2) if region else (0, 0, cols, rows)
    matrix = np.array([[w / width, 0, x + 0.5 * w / width - 0.5], [0, h / height, y + 0.5 * h / height - 0.5]])
    found = map_truth(truth, matrix, (height, width))
    across = x + ((2 * np.arange(width) + 1) * w) // (2 * width)
    down = y + ((2 * np.arange(height) + 1) * h) // (2 * height)
    assert np.array_equal(found.mask, truth[np.ix_(down, across)])
    count, labels = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    assert found.components == count - 1
    if not region:
        assert found.dropped == count - 1 - len(set(labels[np.ix_(down, across)].ravel()) - {0})


def test_a_defect_outside_the_region_of_interest_counts_as_dropped() -> None:
    """What the network never saw is not a silent loss."""
    truth = np.zeros((40, 40), np.bool_)
    truth[2:5, 2:5] = truth[20:30, 20:30] = True
    matrix = np.array([[1.0, 0, 10.0], [0, 1.0, 10.0]])
    found = map_truth(truth, matrix, (30, 30))
    assert (found.components, found.dropped) == (2, 1)
    assert found.mask.sum() == 100


def test_tiny_components_that_vanish_are_counted_in_the_answer() -> None:
    """A 1-pixel defect between the sampled pixels is reported in dropped_components and in a warning."""
    frames = labelled_frames(["good", "good", "dent"])
    assert frames[2].sample is not None
    assert frames[2].sample.truth is not None
    truth = frames[2].sample.truth.copy()
    truth[0, 0] = True  # the map samples odd pixels
    frames[2] = replace(frames[2], sample=replace(frames[2].sample, truth=truth))
    entry = evaluate_records(inspect_source(oracle, frames))["categories"]["plate"]
    assert (entry["components"], entry["dropped_components"]) == (2, 1)
    assert any("no pixel left" in text for text in entry["warnings"])


def test_levels_are_found_beside_the_category(tmp_path: Path) -> None:
    """`auto` looks at PATH/CATEGORY/meta.json for a root and at PATH/meta.json for a category."""
    (tmp_path / "plate").mkdir()
    meta = tmp_path / "plate" / "meta.json"
    meta.write_text(json.dumps([{"id": "test/dent/000", "level": "hard"}, {"id": "test/good/000"}]))
    wanted = {"plate": {"test/dent/000": "hard"}}
    assert read_levels("auto", f"dataset:{tmp_path}", {"plate"}) == wanted
    assert read_levels("auto", f"dataset:{tmp_path}/plate?split=test", {"plate"}) == wanted
    assert read_levels("auto", f"dataset:{tmp_path}", {"other"}) == {}
    assert read_levels(str(meta), "replay:x.mcap", {"plate"}) == wanted


@pytest.mark.parametrize("content", ["", "{", '{"id": 1}', '[{"level": "easy"}]', "[1]", "null"])
def test_a_broken_levels_file_is_named(tmp_path: Path, content: str) -> None:
    """A levels file that is no list of id and level is a ConfigError with its path."""
    path = tmp_path / "meta.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"meta\.json"):
        read_levels(str(path), "dataset:x", {"plate"})


def test_verdicts_are_counted_at_the_threshold() -> None:
    """Rates come from verdicts, with exact intervals."""
    entry = evaluated(["good"] * 10 + ["dent"] * 5)
    at = entry["at_threshold"]
    assert isinstance(at, dict)
    assert at["threshold"] == THRESHOLD
    assert at["false_reject"]["rate"] == 0.0
    assert at["false_reject"]["interval"][1] == pytest.approx(0.3085, abs=1e-4)
    assert at["defect"] == {"pass": 0, "reject": 5, "unknown": 0}
