# SPDX-License-Identifier: Apache-2.0
"""Where the depth imager stands to the colour camera: recovered from rendered boards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from board_rig import COLOR, COLOR_FROM_DEPTH, INFRARED, Rig
from rasant import ConfigError
from rasant.types import Intrinsics
from rasant_calibration.camera import calibrate_camera
from rasant_calibration.limits import PairLimits, passed
from rasant_calibration.pair import calibrate_pair, without_lens
from reference.boards import corners_of, matrix_of

SIZE = (400, 640)


def off(motion: np.ndarray) -> tuple[float, float]:
    """(degrees, metres) from the true motion."""
    turn = motion[:3, :3] @ COLOR_FROM_DEPTH[:3, :3].T
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return float(angle), float(np.abs(motion[:3, 3] - COLOR_FROM_DEPTH[:3, 3]).max())


def test_extrinsics_are_recovered_through_known_lenses(rig: Rig) -> None:
    """With the true lenses: 0.02 degrees and 0.05 mm of 15 mm."""
    fit = calibrate_pair(rig.infrared, rig.color, rig.board, INFRARED, COLOR)
    angle, shift = off(fit.motion.matrix)
    assert angle < 0.02 and shift < 5e-5
    assert fit.motion.rms_px is not None and fit.motion.rms_px < 0.1
    assert passed(fit.checks(PairLimits()))


def test_extrinsics_are_recovered_through_fitted_lenses(rig: Rig) -> None:
    """With lenses fitted to the same views: 0.05 degrees and 0.2 mm."""
    lenses = [calibrate_camera(views, rig.board, SIZE).lens.intrinsics for views in (rig.infrared, rig.color)]
    angle, shift = off(calibrate_pair(rig.infrared, rig.color, rig.board, *lenses).motion.matrix)
    assert angle < 0.05 and shift < 2e-4


def test_a_view_taken_while_the_board_moved_is_rejected(rig: Rig) -> None:
    """Where the two pictures of a view are not of one moment, the view is named and left out."""
    moved = [replace(view, pixels=view.pixels + 4.0) if view.name == "04" else view for view in rig.color]
    fit = calibrate_pair(rig.infrared, moved, rig.board, INFRARED, COLOR)
    assert fit.rejected == ("04",)
    assert off(fit.motion.matrix)[0] < 0.02


def test_views_are_paired_by_name(rig: Rig) -> None:
    """Views that only one camera has are passed over; two common ones are too few."""
    fit = calibrate_pair(rig.infrared[:6], rig.color[2:], rig.board, INFRARED, COLOR)
    assert fit.names == ("02", "03", "04", "05")
    assert fit.skipped == ("00", "01", "06", "07")
    with pytest.raises(ConfigError, match="got 2 of 6 and 4 pictures"):
        calibrate_pair(rig.infrared[:6], rig.color[4:], rig.board, INFRARED, COLOR)


@pytest.mark.parametrize("model", ["none", "brown_conrady", "inverse_brown_conrady", "kannala_brandt4"])
def test_every_lens_model_is_taken_off(model: str) -> None:
    """Pixels that a lens bent come back to those of the pinhole camera, between pixels and at the rim, to 0.01 px."""
    from rasant.ops.align import lens_rays

    bent = {"none": (), "kannala_brandt4": (0.05, -0.01, 0.0, 0.0)}.get(model, (-0.05, 0.06, 3e-4, 6e-4, -0.02))
    lens = Intrinsics(640, 400, 600.0, 603.0, 323.0, 198.0, model, bent)
    rays = lens_rays(lens)
    pixels = np.array([[5.0, 7.0], [320.0, 200.0], [630.0, 390.0]])
    ideal = [[*rays[:, int(y), int(x)], 1.0] @ matrix_of(lens)[:2].T for x, y in pixels]
    assert np.allclose(without_lens(pixels, lens), ideal, atol=0.01)
    if model == "brown_conrady":
        points = np.array([[-0.2601, -0.17203, 0.5], [0.0123, 0.0071, 0.5], [0.2671, 0.1613, 0.5]])
        seen = corners_of(points, lens, np.eye(4))
        assert np.allclose(without_lens(seen, lens), points[:, :2] / 0.5 * [600.0, 603.0] + [323.0, 198.0], atol=5e-3)
