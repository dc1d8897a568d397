# SPDX-License-Identifier: Apache-2.0
"""Settings and frames that look harmless and would pass a defective part."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant.bundle.manifest import Postprocess
from rasant.bundle.reader import _release
from rasant.errors import ConfigError, ThresholdError
from rasant.opening import load
from rasant.settings import highest_score
from rasant.types import Clock, Frame, Reason, Verdict
from tiny_bundle import plate_frame, write_tiny_bundle


def fresh(**changes: object) -> Frame:
    return replace(plate_frame("dent", arrival_ns=time.monotonic_ns()), **changes)  # type: ignore[arg-type]


def mask_file(path: Path, scored: tuple[slice, slice]) -> Path:
    mask = np.full((64, 64), 255, np.uint8)
    mask[scored] = 0
    path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return path


def test_the_highest_score_counts_what_is_ignored_and_outside_as_nothing() -> None:
    """A strip one pixel wide fills a fifth of a 5x5 mean; a map smaller than the kernel never fills it."""
    ignore = np.ones((64, 64), np.bool_)
    assert highest_score((64, 64), 5, ignore) == 0.0
    ignore[32, 10:50] = False
    assert highest_score((64, 64), 5, ignore) == pytest.approx(0.2)
    assert highest_score((64, 64), 5) == pytest.approx(1.0)
    assert highest_score((8, 8), 21) == pytest.approx(64 / 441)


def test_a_mask_that_leaves_no_room_for_the_threshold_is_refused(tmp_path: Path) -> None:
    """One row of pixels can never reach 0.5."""
    bundle = write_tiny_bundle(tmp_path / "a.rasant")
    mask = mask_file(tmp_path / "mask.png", (slice(32, 33), slice(10, 50)))
    with pytest.raises(ThresholdError, match=r"reaches at most 0\.2"):
        load(bundle, ignore_mask=mask)


def test_a_score_range_above_what_the_score_reaches_does_not_open_the_threshold(tmp_path: Path) -> None:
    """The manifest may state any range; the score is a mean of probabilities."""
    bundle = write_tiny_bundle(tmp_path / "a.rasant", postprocess=Postprocess(kernel=5, score_range=(0.0, 100.0)))
    with pytest.raises(ThresholdError, match="would pass everything"):
        load(bundle, threshold=50.0)


def test_a_bundles_mask_is_not_moved_to_another_region(tmp_path: Path) -> None:
    """The mask is drawn in the pixels of the bundle's own region of interest."""
    data = mask_file(tmp_path / "mask.png", (slice(0, 64), slice(0, 32))).read_bytes()
    post = Postprocess(kernel=5, ignore_mask="ignore.png")
    bundle = write_tiny_bundle(tmp_path / "a.rasant", files={"ignore.png": data}, postprocess=post)
    with load(bundle, roi=None) as inspector:
        assert inspector.settings.ignore is not None
    with pytest.raises(ConfigError, match="ignore mask is drawn for"):
        load(bundle, roi=(80, 16, 48, 64))


def test_a_few_pixels_of_foreground_do_not_pass(tmp_path: Path) -> None:
    """With the map masked to the foreground, noise that stands for a missing part leaves nothing to inspect."""
    post = Postprocess(kernel=5, mask_to_foreground=True)
    bundle = write_tiny_bundle(
        tmp_path / "a.rasant", postprocess=post, preprocess={"background": "plane_ransac", "foreground_m": 0.005}
    )
    depth = np.full((96, 128), 5000, np.uint16)
    depth[40:42, 60:62] = 4900
    with load(bundle) as inspector:
        inspection = inspector(fresh(depth=depth))
    assert (inspection.verdict, inspection.reason) == (Verdict.UNKNOWN, Reason.BACKGROUND), inspection.detail


@pytest.mark.parametrize("change", [{"arrival_ns": float("nan")}, {"arrival_ns": None}])
def test_an_arrival_that_is_no_time_never_passes(tmp_path: Path, change: dict[str, object]) -> None:
    """Neither with a device clock nor without."""
    with load(write_tiny_bundle(tmp_path / "a.rasant"), max_age_ms=100) as inspector:
        for clock in (Clock.NONE, Clock.DEVICE):
            inspection = inspector(fresh(clock=clock, device_time_ns=1, **change))
            assert inspection.verdict is Verdict.UNKNOWN


def test_intrinsics_without_a_size_are_a_verdict_not_an_exception(tmp_path: Path) -> None:
    """The inspector promises never to raise for what a frame contains."""
    with load(write_tiny_bundle(tmp_path / "a.rasant")) as inspector:
        frame = fresh()
        inspection = inspector(replace(frame, intrinsics=replace(frame.intrinsics, width=None)))  # type: ignore[arg-type]
    assert inspection.reason is Reason.CALIBRATION


def test_a_region_of_interest_outside_the_frame_is_named_as_such(tmp_path: Path) -> None:
    """Before its pixels are sampled for the exposure."""
    with load(write_tiny_bundle(tmp_path / "a.rasant"), roi=(1000, 1000, 10, 10)) as inspector:
        inspection = inspector(fresh())
    assert inspection.reason is Reason.FORMAT and "region of interest" in inspection.detail


def test_negative_zero_is_a_missing_pixel(tmp_path: Path) -> None:
    """It has the sign bit, but it is no negative distance."""
    frame = plate_frame(metres=True, arrival_ns=time.monotonic_ns())
    assert frame.depth is not None
    depth = frame.depth.astype(np.float32)
    depth[:5] = -0.0
    with load(write_tiny_bundle(tmp_path / "a.rasant")) as inspector:
        assert inspector(replace(frame, depth=depth)).reason is Reason.OK


def test_releases_compare_by_number() -> None:
    """1.23 is 1.23.0, and a release candidate's number is not its patch level."""
    assert _release("1.23") == _release("1.23.0") == _release("1.23rc1") == (1, 23, 0)
    assert _release("1.9.2") < _release("1.10")
