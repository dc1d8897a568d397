# SPDX-License-Identifier: Apache-2.0
"""The lens of a camera: recovered from rendered boards, and not believed where the views do not carry it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from board_rig import COLOR, Rig
from rasant import ConfigError
from rasant.types import Intrinsics
from rasant_calibration.board import View, parse_board
from rasant_calibration.camera import CELLS, MODELS, calibrate_camera
from rasant_calibration.limits import CameraLimits, passed
from reference.boards import corners_of, pose, poses

SIZE = (400, 640)
BOARD = parse_board("charuco:9x7:0.02:0.014")


def seen(lens: Intrinsics, places: list[np.ndarray], noise: float = 0.05, seed: int = 0) -> list[View]:
    """Views without pictures: projected corners with noise."""
    rng = np.random.default_rng(seed)
    ids = np.arange(len(BOARD.points))
    return [
        View(f"{k:02d}", ids, corners_of(BOARD.points, lens, place) + rng.normal(0, noise, (len(ids), 2)))
        for k, place in enumerate(places)
    ]


def test_the_lens_is_recovered_from_pictures(rig: Rig) -> None:
    """Rendered views give focal lengths within 0.1 %, centre within 0.5 px, residuals below 0.1 px."""
    fit = calibrate_camera(rig.color, rig.board, SIZE)
    lens = fit.lens
    assert abs(lens.fx / COLOR.fx - 1) < 1e-3 and abs(lens.fy / COLOR.fy - 1) < 1e-3
    assert abs(lens.cx - COLOR.cx) < 0.5 and abs(lens.cy - COLOR.cy) < 0.5
    assert lens.fit is not None and lens.fit.rms_px < 0.1 and lens.fit.views == len(rig.color)
    assert lens.fit.focal_std_px is not None and abs(lens.fx - COLOR.fx) < 4 * lens.fit.focal_std_px[0]
    assert fit.coverage.shape == CELLS[::-1] and fit.coverage.sum() == lens.fit.corners
    assert passed(fit.checks(CameraLimits()))


@pytest.mark.parametrize(
    ("model", "coefficients", "expected"),
    [
        ("none", (), {"none"}),
        ("brown_conrady", (-0.25, 0.0, 0.0, 0.0, 0.0), {"radial1", "radial2"}),
        ("brown_conrady", (-0.3, 0.15, 0.002, -0.003, 0.0), {"brown4", "brown5"}),
    ],
)
def test_the_simplest_model_that_predicts_is_chosen(model: str, coefficients: tuple, expected: set[str]) -> None:
    """A lens without distortion gets no distortion; one with tangential distortion gets it."""
    lens = Intrinsics(640, 400, 600.0, 600.0, 320.0, 200.0, model, coefficients)
    fit = calibrate_camera(seen(lens, poses(12, (0.09, 0.07, 0.0), 0.24)), BOARD, SIZE)
    assert set(fit.predicted_px) == set(MODELS)
    assert fit.model in expected
    assert abs(fit.lens.fx / 600.0 - 1) < 2e-3


def test_a_view_that_disagrees_is_rejected() -> None:
    """A board that bent in one view is left out and named; without it the lens is right again."""
    lens = Intrinsics(640, 400, 600.0, 600.0, 320.0, 200.0)
    views = seen(lens, poses(10, (0.09, 0.07, 0.0), 0.24))
    bent = views[3].pixels + 0.03 * np.maximum(views[3].pixels[:, :1] - 300.0, 0.0)
    views[3] = replace(views[3], pixels=bent)
    fit = calibrate_camera(views, BOARD, SIZE, model="brown4")
    assert [view.name for view in fit.rejected] == ["03"]
    assert fit.lens.fit is not None and fit.lens.fit.views_rejected == 1
    assert abs(fit.lens.fx / 600.0 - 1) < 2e-3
    kept = calibrate_camera(views, BOARD, SIZE, model="brown4", reject=False)
    assert kept.lens.fit is not None and kept.lens.fit.rms_px > 3 * fit.lens.fit.rms_px


def test_a_corner_that_stands_off_is_left_out() -> None:
    """A board whose edge is not flat loses the corners there, not the view: the lens is right, and the loss counted."""
    lens = Intrinsics(640, 400, 600.0, 600.0, 320.0, 200.0)
    views = seen(lens, poses(8, (0.09, 0.07, 0.0), 0.24))
    lifted = views[2].pixels.copy()
    lifted[[0, 1, 8]] += [3.0, 1.5]
    views[2] = replace(views[2], pixels=lifted)
    fit = calibrate_camera(views, BOARD, SIZE, model="brown4")
    assert fit.lens.fit is not None
    assert (fit.lens.fit.views, fit.lens.fit.views_rejected, fit.lens.fit.corners_rejected) == (8, 0, 3)
    assert not {0, 1, 8} & set(fit.views[2].ids.tolist())
    assert abs(fit.lens.fx / 600.0 - 1) < 2e-3


def test_square_views_do_not_pass_for_a_calibration() -> None:
    """Views that all stand square to the camera fit well and say nothing about the focal length: the check fails."""
    lens = Intrinsics(640, 400, 600.0, 600.0, 320.0, 200.0)
    rng = np.random.default_rng(1)
    at = rng.uniform([-0.02, -0.02, 0.2], [0.02, 0.02, 0.25], (8, 3))
    flat = [pose((0, 0, 0.1), tuple(place), (0.09, 0.07, 0)) for place in at]
    fit = calibrate_camera(seen(lens, flat, noise=0.1), BOARD, SIZE, model="brown4")
    checks = {check.name: check for check in fit.checks(CameraLimits())}
    assert checks["reprojection RMS"].ok
    assert not checks["focal length known to"].ok


def test_too_few_views_are_refused(rig: Rig) -> None:
    """Pictures with hardly a corner do not count, and the message says how many did."""
    empty = View("empty", np.empty(0, np.int64), np.empty((0, 2)))
    with pytest.raises(ConfigError, match="of 4 pictures 3 show enough"):
        calibrate_camera([*rig.color[:3], empty], rig.board, SIZE)
    with pytest.raises(ConfigError, match="lens model"):
        calibrate_camera(rig.color, rig.board, SIZE, model="fish")
