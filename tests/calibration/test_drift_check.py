# SPDX-License-Identifier: Apache-2.0
"""Drift: a station that moved, went blind or grew noisy is told from one that did not, by its own frames."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from rasant import ConfigError, Frame
from rasant.calibration_file import Calibration, FittedLens
from rasant.types import Intrinsics
from rasant_calibration.drift_check import compare, edge_shift, observe, require_same_camera
from rasant_calibration.limits import DriftLimits, passed

CAMERA = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
TILE = (10, 170, 60, 50)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(color, depth): bright and dark parts lie 10 mm high on a table at 0.5 m; a corner of it is the tile."""
    rng = np.random.default_rng(seed)
    depth = np.full((240, 320), 0.5, np.float32)
    grey = np.full((240, 320), 90, np.uint8)
    for number in range(6):
        x, y = int(rng.integers(90, 270)), int(rng.integers(30, 200))
        tone = int(rng.choice([30, 200]))
        for image, value in ((depth, 0.49), (grey, tone)):
            if number % 2:
                cv2.rectangle(image, (x, y), (x + 30, y + 22), value, -1)
            else:
                cv2.circle(image, (x, y), 16, value, -1)
    return np.repeat(cv2.GaussianBlur(grey, (0, 0), 0.8)[..., None], 3, axis=2), depth


def frames(
    count: int = 4, *, shift: tuple[int, int] = (0, 0), noise_m: float = 2e-4, holes: float = 0.02, closer: float = 0.0,
    more_holes: float = 0.0,
) -> list[Frame]:
    """Frames of different parts with these faults; holes grow by `more_holes` over the run."""
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        color, depth = scene(index)
        depth = np.roll(depth, shift[::-1], (0, 1)) - np.float32(closer)
        depth = depth + rng.normal(0.0, noise_m, depth.shape).astype(np.float32)
        depth[rng.random(depth.shape) < holes + more_holes * index / max(1, count - 1)] = 0.0
        counts = np.rint(depth / 1e-4).astype(np.uint16)
        noisy = np.clip(color + rng.normal(0.0, 3.0, color.shape), 0, 255).astype(np.uint8)
        found.append(Frame(noisy, counts, 1e-4, CAMERA, index, "made", 0))
    return found


REFERENCE = observe(frames(), TILE).figures


def failed(**faults: object) -> set[str]:
    """Names of the checks that fail for a station with faults."""
    now = observe(frames(**faults), TILE)  # type: ignore[arg-type]
    return {check.name for check in compare(now, REFERENCE, DriftLimits()) if not check.ok}


def test_a_station_that_did_not_change_passes() -> None:
    """Other parts on the same station: nothing fails, and all figures are there."""
    now = observe(frames(6)[2:], TILE)
    checks = compare(now, REFERENCE, DriftLimits())
    assert len(checks) == 7
    assert passed(checks), [str(check) for check in checks]


@pytest.mark.parametrize("pixels", [1, 2, 3, 5, 8, 13, 20])
def test_depth_off_colour_is_measured_and_fails(pixels: int) -> None:
    """F13: 1 to 20 px of wrong extrinsics are found to 0.15 px, whatever their direction, and fail."""
    for shift in ((pixels, 0), (0, -pixels), (-pixels, pixels // 2)):
        found = observe(frames(shift=shift), TILE).figures.shift_px
        assert found is not None and REFERENCE.shift_px is not None
        assert np.allclose(np.subtract(found, REFERENCE.shift_px), shift, atol=0.15)
    assert "depth off colour" in failed(shift=(pixels, 0))


def test_growing_noise_is_seen_growing() -> None:
    """F14: two and five times the noise grow both figures of it in that order, and fail."""
    grown = [observe(frames(noise_m=2e-4 * factor), TILE).figures for factor in (1, 2, 5)]
    for name in ("temporal_noise", "tile_rms_m"):
        first, second, third = (getattr(one, name) for one in grown)
        assert second / first == pytest.approx(2, rel=0.25)
        assert third / first == pytest.approx(5, rel=0.25)
    assert failed(noise_m=4e-4) == {"noise, times reference", "tile RMS, times reference"}


def test_flying_pixels_and_dazzle_raise_an_alarm() -> None:
    """F14: one pixel in fifty in mid-air, and stripes that sunlight blinds, fail."""
    rng = np.random.default_rng(5)
    flying, striped = frames(), frames()
    for frame in flying:
        assert frame.depth is not None
        frame.depth[rng.random(frame.depth.shape) < 0.02] -= 300
    for frame in striped:
        assert frame.depth is not None
        frame.depth[:, ::10] = 0
    alarms = [
        {check.name for check in compare(observe(seen, TILE), REFERENCE, DriftLimits()) if not check.ok}
        for seen in (flying, striped)
    ]
    assert "tile RMS, times reference" in alarms[0]
    assert "fill rate lost" in alarms[1]


def test_holes_and_their_trend_fail() -> None:
    """A lower fill rate, and one that falls during the run although its mean is still good."""
    assert "fill rate lost" in failed(holes=0.10)
    assert "fill rate lost in this run" in failed(count=6, holes=0.0, more_holes=0.08)


def test_a_moved_tile_fails() -> None:
    """A camera that sank by 5 mm of 500, or a tile that leans, is no longer the station that was calibrated."""
    assert failed(closer=0.005) >= {"tile moved / distance"}
    moved = REFERENCE.model_copy(update={"tile_tilt_deg": (REFERENCE.tile_tilt_deg or 0.0) + 1.0})
    names = [check.name for check in compare(observe(frames(), TILE), moved, DriftLimits()) if not check.ok]
    assert names == ["tile turned"]


def test_outlines_that_are_gone_do_not_pass() -> None:
    """Where the reference has outlines and the run has none, the shift is unknown, and unknown is no pass."""
    flat = [replace(frame, depth=np.full((240, 320), 5000, np.uint16)) for frame in frames()]
    assert "depth off colour" in {c.name for c in compare(observe(flat, TILE), REFERENCE, DriftLimits()) if not c.ok}
    assert edge_shift(flat[0].color, np.full((240, 320), 0.5, np.float32)) is None  # type: ignore[arg-type]


def test_a_blind_camera_does_not_pass() -> None:
    """Where depth is gone, at once or from the second frame on, every figure that was known fails or is unknown."""
    blind = [replace(frame, depth=np.zeros((240, 320), np.uint16)) for frame in frames()]
    for seen in (blind, [frames(1)[0], *blind[1:]]):
        checks = compare(observe(seen, TILE), REFERENCE, DriftLimits())
        failures = {check.name for check in checks if not check.ok}
        assert failures >= {"fill rate lost", "tile moved / distance", "tile turned", "tile RMS, times reference"}
    assert observe([frames(1)[0], *blind[1:]], TILE).figures.shift_px is not None, "one frame with outlines is enough"


def test_another_camera_is_refused() -> None:
    """S4, C2: another serial or resolution is no drift but a mistake."""
    lens = FittedLens(width=320, height=240, fx=300.0, fy=300.0, cx=159.5, cy=119.5)
    calibration = Calibration(created="2026-05-04T09:30:00Z", serial="A", color=lens)
    frame = replace(frames(1)[0], serial="A")
    require_same_camera(frame, calibration)
    with pytest.raises(ConfigError, match="'A', the frames are of 'B'"):
        require_same_camera(replace(frame, serial="B"), calibration)
    with pytest.raises(ConfigError, match="frames have 640x480"):
        require_same_camera(replace(frame, intrinsics=replace(CAMERA, width=640, height=480)), calibration)


def test_what_cannot_be_observed_is_refused() -> None:
    """No frame, no depth, a tile outside of the picture."""
    with pytest.raises(ConfigError, match="no frame"):
        observe([])
    with pytest.raises(ConfigError, match="expected depth"):
        observe([replace(frames(1)[0], depth=None)])
    with pytest.raises(ConfigError, match="tile"):
        observe(frames(1), (300, 200, 60, 60))


@pytest.mark.captures
def test_real_frames_have_outlines(captures: object) -> None:
    """On real RGB-D frames of a room, injected shifts of 1 to 15 px are found to a tenth of a pixel."""
    import rasant
    from rasant.ops.depth import to_metres

    with rasant.open_source(f"folder:{captures}/open3d_rgbd") as source:
        frame = source.read()
    assert frame.color is not None and frame.depth is not None
    depth = to_metres(frame.depth, frame.depth_scale)
    still = edge_shift(frame.color, depth)
    assert still is not None
    for x, y in ((1, -1), (4, 2), (-15, 9)):
        moved = edge_shift(frame.color, np.ascontiguousarray(np.roll(depth, (y, x), (0, 1))))
        assert moved is not None and np.allclose(np.subtract(moved, still), (x, y), atol=0.1)
