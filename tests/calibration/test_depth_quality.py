# SPDX-License-Identifier: Apache-2.0
"""Figures of depth: what was put into a rendered plane comes out of its measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from board_rig import COLOR, COLOR_FROM_DEPTH, Rig
from rasant import BackgroundError, ConfigError
from rasant.types import Intrinsics
from rasant_calibration.depth_quality import central, measure_depth, temporal_noise, true_plane
from rasant_calibration.limits import DepthLimits, passed
from reference.boards import plane_depth, pose

CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
BASELINE = 0.05
DISTANCE = 0.5


def plane(
    *, tilt_deg: float = 0.0, scale: float = 1.0, noise_px: float = 0.0, holes: float = 0.0, frames: int = 5,
    camera: Intrinsics = CAMERA,
) -> list[np.ndarray]:
    """Depth images of a plane 0.5 m away along its normal, as a stereo camera with these faults measures it."""
    at = pose((0.0, np.radians(tilt_deg), 0.0), (0.0, 0.0, 0.0))
    at[:3, 3] = DISTANCE * at[:3, 2]
    truth = plane_depth(camera, at)
    rng = np.random.default_rng(7)
    found = []
    for _ in range(frames):
        disparity = camera.fx * BASELINE / truth + rng.normal(0.0, noise_px, truth.shape)
        depth = (scale * camera.fx * BASELINE / disparity).astype(np.float32)
        depth[rng.random(depth.shape) < holes] = 0.0
        found.append(depth)
    return found


def test_injected_faults_are_recovered() -> None:
    """1 % scale to 0.02 %, 3 degrees to 0.05, 0.06 px to 0.003, 3 % holes to 0.3 %, all at once."""
    depths = plane(tilt_deg=3.0, scale=1.01, noise_px=0.06, holes=0.03)
    found, fitted = measure_depth(depths, CAMERA, truth=DISTANCE, baseline_m=BASELINE)
    assert found.z_error == pytest.approx(0.01, abs=2e-4)
    assert found.tilt_deg == pytest.approx(3.0, abs=0.05)
    assert found.subpixel_rms_px == pytest.approx(0.06, abs=0.003)
    assert found.fill_rate == pytest.approx(0.97, abs=0.003)
    expected = 0.06 * DISTANCE**2 / (CAMERA.fx * BASELINE)  # metres of one standard deviation of disparity
    assert found.plane_rms_m == pytest.approx(expected, rel=0.05)
    assert found.temporal_noise == pytest.approx(expected / DISTANCE, rel=0.1)
    assert fitted.residual_m.shape == (96, 128)


def test_a_perfect_plane_has_no_faults() -> None:
    """Without noise every figure is at its ideal, through a bent lens too."""
    bent = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5, "brown_conrady", (-0.1, 0.05, 0.001, -0.001, 0.0))
    for camera in (CAMERA, bent):
        found, _ = measure_depth(plane(tilt_deg=5.0, camera=camera), camera, truth=DISTANCE, baseline_m=BASELINE)
        assert found.fill_rate == 1.0 and found.temporal_noise == 0.0
        assert found.plane_rms < 1e-6 and abs(found.z_error or 0.0) < 1e-6
        assert found.tilt_deg == pytest.approx(5.0, abs=1e-3)


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"scale": 1.03}, "size of the Z error"),
        ({"scale": 0.97}, "size of the Z error"),
        ({"tilt_deg": 12.0}, "tilt"),
        ({"noise_px": 0.3}, "sub-pixel RMS"),
        ({"holes": 0.2}, "fill rate"),
    ],
)
def test_a_fault_beyond_its_limit_fails_by_name(fault: dict[str, float], name: str) -> None:
    """The verdict fails, and the check that fails is that of the fault."""
    good, _ = measure_depth(plane(noise_px=0.03), CAMERA, truth=DISTANCE, baseline_m=BASELINE)
    assert passed(good.checks(DepthLimits()))
    found, _ = measure_depth(plane(**fault), CAMERA, truth=DISTANCE, baseline_m=BASELINE)
    assert name in [check.name for check in found.checks(DepthLimits()) if not check.ok]


def test_what_cannot_be_known_is_none_and_decides_nothing() -> None:
    """Without truth, baseline or a second frame there is no figure; the others still decide."""
    found, _ = measure_depth(plane(frames=1), CAMERA)
    assert found.z_error is found.subpixel_rms_px is found.temporal_noise is found.tilt_error_deg is None
    assert passed(found.checks(DepthLimits()))
    assert "z_error" not in found.as_numbers() and found.as_numbers()["fill_rate"] == 1.0


def test_a_board_is_the_truth_of_the_plane(rig: Rig) -> None:
    """Depth over the colour picture of a board: scale and tilt against the board, without a measured distance."""
    at = COLOR_FROM_DEPTH @ rig.poses[1]
    lean = pose((0.0, np.radians(3.0), 0.0), (0.0, 0.0, 0.0)) @ at
    lean[:3, 3] = at[:3, 3]  # the depth camera sees the board turned about its corner
    true = true_plane(rig.color[1], rig.board, COLOR)
    for place, scale, tilt in ((at, 1.01, 0.0), (lean, 1.0, 3.0)):
        depth = (scale * plane_depth(COLOR, place)).astype(np.float32)
        found, _ = measure_depth([depth], COLOR, truth=true, roi=(280, 160, 80, 60))
        assert found.tilt_error_deg == pytest.approx(tilt, abs=0.15)
        if scale != 1.0:
            assert found.z_error == pytest.approx(scale - 1.0, abs=1e-3)


def test_noise_leaves_out_what_was_not_measured() -> None:
    """A pixel that was seen twice of five counts with its two values; never seen, not at all."""
    frames: Sequence[np.ndarray] = [np.zeros((1, 3), np.float32) for _ in range(5)]
    frames[0][0, :2], frames[3][0, :2] = 1.0, 1.0
    frames[1][0, 1] = np.nan
    assert temporal_noise(frames) == 0.0
    assert temporal_noise([np.zeros((2, 2), np.float32)] * 2) is None


def test_no_plane_is_refused() -> None:
    """An empty picture, no picture, and a region outside of it."""
    with pytest.raises(BackgroundError, match="64 pixels"):
        measure_depth([np.zeros((240, 320), np.float32)], CAMERA)
    with pytest.raises(ConfigError, match="no frame"):
        measure_depth([], CAMERA)
    with pytest.raises(ConfigError, match="320x240"):
        measure_depth(plane(frames=1), CAMERA, roi=(300, 0, 40, 40))
    assert central(CAMERA) == (96, 72, 128, 96)
