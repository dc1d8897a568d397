# SPDX-License-Identifier: Apache-2.0
"""The verdict rule and its limits, as pure functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasant.errors import ConfigError
from rasant.types import Reason, Verdict
from rasant.verdict import CameraBinding, Finding, Limits, check_camera, check_color, check_depth, judge
from tiny_bundle import plate_frame

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(
    finding=st.one_of(st.none(), st.builds(Finding, st.sampled_from(list(Reason)), st.text(max_size=5))),
    score=NUMBERS, threshold=st.one_of(st.none(), NUMBERS), nonfinite=st.integers(0, 3), elapsed_ms=NUMBERS,
    deadline_ms=st.one_of(st.none(), st.floats(0.1, 1e3)),
)
def test_pass_needs_every_condition(
    finding: Finding | None, score: float, threshold: float | None, nonfinite: int, elapsed_ms: float,
    deadline_ms: float | None,
) -> None:
    """PASS if and only if nothing was found, all is finite, in time, and the score is below the threshold."""
    verdict, reason, detail = judge(
        finding=finding, score=score, threshold=threshold, nonfinite=nonfinite, elapsed_ms=elapsed_ms,
        deadline_ms=deadline_ms,
    )
    sound = finding is None and nonfinite == 0 and bool(np.isfinite(score))
    sound = sound and threshold is not None and bool(np.isfinite(threshold))
    sound = sound and (deadline_ms is None or elapsed_ms <= deadline_ms)
    assert (verdict is Verdict.PASS) == (sound and score < threshold)
    assert (verdict is Verdict.REJECT) == (sound and score >= threshold)
    assert (reason is Reason.OK) == (verdict is Verdict.PASS) or finding is not None
    assert detail or verdict is Verdict.PASS or finding is not None


def test_a_score_on_the_threshold_is_a_reject() -> None:
    """REJECT means the score reaches the threshold: equality rejects."""
    at = judge(finding=None, score=0.5, threshold=0.5, nonfinite=0, elapsed_ms=0.0, deadline_ms=None)
    below = judge(
        finding=None, score=float(np.nextafter(0.5, 0)), threshold=0.5, nonfinite=0, elapsed_ms=0.0, deadline_ms=None
    )
    assert (at.verdict, below.verdict) == (Verdict.REJECT, Verdict.PASS)


@pytest.mark.parametrize(
    ("change", "binding", "reason"),
    [
        ({}, CameraBinding((96, 128)), None),
        ({}, CameraBinding((128, 96)), Reason.FORMAT),
        ({}, CameraBinding(serial="A1"), Reason.CALIBRATION),
        ({"serial": "A1"}, CameraBinding(serial="A1"), None),
        ({"calibration_id": "k2"}, CameraBinding(calibration_id="k1"), Reason.CALIBRATION),
    ],
)
def test_the_frame_must_come_from_the_bundles_camera(
    change: dict[str, str], binding: CameraBinding, reason: Reason | None
) -> None:
    """Another resolution is E_FORMAT; another, or no, serial or calibration id is E_CALIB."""
    finding = check_camera(replace(plate_frame(), **change), binding)
    assert (None if finding is None else finding.reason) is reason


@pytest.mark.parametrize("value", [-600.0, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["fx", "fy"])
def test_focal_lengths_must_be_positive(field: str, value: float) -> None:
    """A focal length that is negative, zero or not finite is E_CALIB."""
    k = replace(plate_frame().intrinsics, **{field: value})
    finding = check_camera(replace(plate_frame(), intrinsics=k), CameraBinding())
    assert finding is not None and finding.reason is Reason.CALIBRATION


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_principal_point_and_distortion_must_be_finite(value: float) -> None:
    """NaN or infinity in any of them is E_CALIB."""
    for change in ({"cx": value}, {"cy": value}, {"distortion": (0.1, value)}):
        k = replace(plate_frame().intrinsics, **change)
        finding = check_camera(replace(plate_frame(), intrinsics=k), CameraBinding())
        assert finding is not None and finding.reason is Reason.CALIBRATION


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (np.zeros((4, 8, 3), np.uint8), "black"),
        (np.full((4, 8, 3), 255, np.uint8), "white"),
        (np.tile(np.array([10, 200, 30], np.uint8), (4, 8, 1)), "single value"),
        (np.arange(96, dtype=np.uint8).reshape(4, 8, 3), None),
    ],
)
def test_exposure_of_colour(rows: np.ndarray, wanted: str | None) -> None:
    """Black, white and one single colour are told apart; a picture passes."""
    finding = check_color(rows, Limits())
    assert finding is None if wanted is None else (finding.reason is Reason.EXPOSURE and wanted in finding.detail)


def judged(raw: np.ndarray, scale: float = 1e-3, **limits: object) -> Reason | None:
    """check_depth on an image as the camera gave it."""
    metres = np.nan_to_num(raw.astype(np.float32) * np.float32(scale))
    ratio = float(np.count_nonzero(metres > 0) / metres.size)
    finding = check_depth(raw, scale, metres, ratio, Limits(**{"depth_range_m": (0.3, 0.7), **limits}))
    return None if finding is None else finding.reason


def test_depth_in_other_units_is_named_so() -> None:
    """Depth in metres or micrometres where millimetres are meant is E_UNITS, a far wall is E_RANGE."""
    assert judged(np.full((20, 20), 500, np.uint16)) is None
    assert judged(np.full((20, 20), 500, np.uint16), 1.0) is Reason.UNITS
    assert judged(np.full((20, 20), 0.5, np.float32)) is Reason.UNITS
    assert judged(np.full((20, 20), 5000, np.uint16)) is Reason.RANGE


def test_single_saturated_or_negative_pixels_condemn_a_frame() -> None:
    """65535 counts and negative metres are no measurements, however few."""
    saturated = np.full((20, 20), 500, np.uint16)
    saturated[3, 3] = 65535
    negative = np.full((20, 20), 0.5, np.float32)
    negative[3, 3] = -0.5
    assert judged(saturated) is Reason.RANGE
    assert judged(negative, 1.0) is Reason.RANGE


def test_some_pixels_out_of_range_are_forgiven() -> None:
    """Up to `max_out_of_range` of the pixels may fly, one more is E_RANGE."""
    depth = np.full((20, 20), 500, np.uint16)
    depth.ravel()[:8] = 900
    assert judged(depth, max_out_of_range=8 / 400) is None
    depth.ravel()[:9] = 900
    assert judged(depth, max_out_of_range=8 / 400) is Reason.RANGE


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_valid_depth": 1.1}, {"min_valid_depth": float("nan")}, {"max_age_ms": 0.0}, {"deadline_ms": -1.0},
        {"max_age_ms": float("inf")}, {"depth_range_m": (0.5, 0.5)}, {"depth_range_m": (0.1, float("inf"))},
        {"min_mean": 200.0, "max_mean": 100.0}, {"min_std": -1.0}, {"max_identical": 1}, {"max_out_of_range": -0.1},
    ],
)  # fmt: skip
def test_limits_without_sense_are_refused(wrong: dict[str, object]) -> None:
    """A limit that is NaN, negative or contradicts another is a ConfigError."""
    with pytest.raises(ConfigError):
        Limits(**wrong)
