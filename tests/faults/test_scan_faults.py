# SPDX-License-Identifier: Apache-2.0
"""Faults of structured light: what a projector, a camera or a calibration does wrong never becomes a wrong depth."""

from __future__ import annotations

import numpy as np
import pytest

from lit_rig import RenderedCamera, Rig, calibration, captures, scene, sequence
from rasant.calibration_file import Motion
from rasant.errors import ConfigError, FrameError, SourceTimeout
from rasant.sensors.structured_light import ScanDecoder, ScannerSource
from rasant.sensors.structured_light.projector import StoredPatterns

PATTERNS = sequence(stripe=4, steps=4)
BOTH = sequence(stripe=4, steps=4, axes=("columns", "rows"))
FALSE_M = 5e-3  # a stripe beside the true one is 6 mm away, a period 25 mm


def _grey(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[..., 0])


def _false(depth: np.ndarray) -> float:
    """Share of the pixels with a depth that is not the scene's."""
    return float((np.abs(depth - scene().depth) > FALSE_M)[depth > 0].mean())


@pytest.mark.parametrize("seed", range(6))
def test_f10_captures_of_two_scans(seed: int) -> None:
    """F10: Gray code captures of another part among those of this one are refused, wherever the change falls."""
    stack, other = _grey(captures(PATTERNS)), _grey(captures(PATTERNS))[:, :, ::-1]
    change = 1 + 2 * seed  # between a pattern and its inverse
    stack[change] = other[change]
    with pytest.raises(FrameError, match="another pattern"):
        ScanDecoder(PATTERNS, calibration())(stack)


@pytest.mark.parametrize("late", range(1, len(PATTERNS)))
def test_f15_half_a_capture_is_old(late: int) -> None:
    """F15: the lower half of any capture still shows the pattern before: refused. Only the finest Gray code, in place
    of the first sinusoid, looks so much like it that the scan may pass, with a depth that is true all the same.
    """
    stack = _grey(captures(PATTERNS))
    stack[late, 60:] = stack[late - 1, 60:]
    decoder = ScanDecoder(PATTERNS, calibration())
    if late == PATTERNS.phase("columns").start:
        assert _false(decoder(stack).depth) < 1e-3
        return
    with pytest.raises(FrameError, match="another pattern"):
        decoder(stack)


@pytest.mark.parametrize("degrees", [0.5, 1.0, 3.0])
def test_f13_the_projector_was_moved(degrees: float) -> None:
    """F13: with both axes, a projector that tilts after calibration leaves its lines: depth is gone, not shifted."""
    angle = np.radians(degrees)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    moved = Motion.from_matrix(tilt @ scene().projector_from_camera)
    knocked = calibration().model_copy(update={"projector_from_color": moved})
    stack = _grey(captures(BOTH))
    assert (ScanDecoder(BOTH, calibration())(stack).depth > 0).mean() > 0.9
    assert (ScanDecoder(BOTH, knocked)(stack).depth > 0).mean() < 0.02


def test_f14_noise_costs_pixels_before_it_costs_truth() -> None:
    """F14: noise of 1, 4 and 8 grey levels: ever fewer pixels have depth, hardly any a false one; 40 is refused."""

    def noisy(noise: float) -> np.ndarray:
        random = np.random.default_rng(0)
        shots = [scene().capture(picture, random, noise=noise) for picture in BOTH.pictures()]
        return ScanDecoder(BOTH, calibration())(_grey(np.stack(shots))).depth

    depths = [noisy(noise) for noise in (1.0, 4.0, 8.0)]
    fill = [float((depth > 0).mean()) for depth in depths]
    assert fill == sorted(fill, reverse=True) and fill[2] > 0.95
    assert max(map(_false, depths)) < 0.01
    with pytest.raises(FrameError, match="fit together"):
        noisy(40.0)


def test_f14_dazzle_has_no_depth() -> None:
    """F14: a clipped highlight and a black patch have no depth; around them it stays true."""
    stack = _grey(captures(PATTERNS)).astype(np.int16)
    stack[:, 40:60, 40:60] += 230
    stack[:, 80:100, 100:120] = 20
    depth = ScanDecoder(PATTERNS, calibration())(np.clip(stack, 0, 255).astype(np.uint8)).depth
    assert not depth[40:60, 40:60].any() and not depth[80:100, 100:120].any()
    assert _false(depth) < 1e-3 and (depth > 0).mean() > 0.85


def test_s1_the_camera_gives_nothing() -> None:
    """S1: SourceTimeout, and the next scan is whole."""
    rig = Rig()
    camera = RenderedCamera(rig, blind=3)
    scanner = ScannerSource(camera, rig, PATTERNS, calibration(), settle_s=0.0)
    with pytest.raises(SourceTimeout):
        scanner.read(timeout_s=2)
    camera.blind = None
    assert _false(scanner.read().depth) < 1e-3


def test_s4_another_camera() -> None:
    """S4: a camera whose serial is not the calibration's is refused before it scans."""
    rig = Rig()
    with pytest.raises(ConfigError, match="calibrate this camera"):
        ScannerSource(RenderedCamera(rig, serial="B"), rig, PATTERNS, calibration("A"))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_s5_frames_are_lost(share: float) -> None:
    """S5: a projector that steps by itself and a camera that loses 1, 5 or 20 % of the frames: each scan that lost one
    is refused, each other is true, and the counter is exact.
    """
    random = np.random.default_rng(int(100 * share))
    camera = RenderedCamera(Rig(), shots=captures(PATTERNS))
    scanner = ScannerSource(camera, StoredPatterns(), PATTERNS, calibration())
    lost = refused = 0
    for _ in range(12):
        camera.taken = 0  # the projector waits for the scan, then starts its sequence
        drop = tuple(np.flatnonzero(random.random(len(PATTERNS)) < share).tolist())
        camera.lose = drop
        if drop:
            with pytest.raises(FrameError):
                scanner.read()
            lost += sum(k < camera.taken for k in drop)
            refused += 1
        else:
            assert _false(scanner.read().depth) < 1e-3
        assert scanner.stats().device == lost
    assert scanner.stats().damaged == refused
