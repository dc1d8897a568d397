# SPDX-License-Identifier: Apache-2.0
"""Alignment through every lens on both sides: against the numpy warp, OpenCV's rays and scenes of known answer."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.align import AlignPlan, align_color, align_depth, lens_rays
from rasant.types import Intrinsics
from reference import align as twin

D455 = twin.D455
LENSES: dict[str, tuple[str, tuple[float, ...]]] = {
    "none": ("none", ()),
    "brown": ("brown_conrady", D455),
    "brown 4": ("brown_conrady", D455[:4]),
    "inverse": ("inverse_brown_conrady", D455),
    "modified": ("modified_brown_conrady", D455),
    "rational": ("rational", (0.2, -0.1, 0.001, -0.0005, 0.02, 0.25, -0.08, 0.01)),
    "prism": ("rational", (0.2, -0.1, 0.001, -0.0005, 0.02, 0.25, -0.08, 0.01, 0.004, -0.002, 0.003, 0.001)),
    "tilted": ("rational", (0.1, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.001, 0.0, -0.001, 0.0, 0.03, -0.02)),
    "fisheye": ("kannala_brandt4", (0.05, -0.01, 0.002, -0.0005)),
    "ftheta": ("ftheta", (0.9,)),
}
FAR = 0.6  # metres


def _camera(height: int, width: int, lens: str = "none", focal: float = 0.8) -> Intrinsics:
    f = focal * max(width, height)
    return Intrinsics(width, height, f, 1.02 * f, (width - 1) / 2 + 0.3, (height - 1) / 2 - 0.2, *LENSES[lens])


def _numbers(camera: Intrinsics) -> dict[str, Any]:
    names = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")}
    return {**names, "model": camera.distortion_model, "k": camera.distortion}


def _pose(turn: tuple[float, float, float] = (0.0, 0.0, 0.0), shift: tuple[float, float, float] = (0.0, 0.0, 0.0)):
    return np.hstack([cv2.Rodrigues(np.array(turn))[0], np.array(shift)[:, None]])


def _depth(height: int, width: int, seed: int) -> np.ndarray:
    """Two surfaces with noise and every kind of hole."""
    rng = np.random.default_rng(seed)
    depth = rng.normal(FAR, 0.004, (height, width))
    depth[:, width // 3 : 2 * width // 3] -= 0.15
    missing = rng.random(depth.shape) < 0.1
    depth[missing] = rng.choice([0.0, np.nan, -0.3, np.inf, 1e-30, 1e30], int(missing.sum()))
    return depth.astype(np.float32)


@pytest.mark.parametrize("lens", LENSES)
def test_rays_are_those_of_the_lens(lens: str) -> None:
    """Distorting the ray of a pixel gives the pixel, by the twin's formulas and, where it has the model, by OpenCV."""
    camera = _camera(48, 64, lens)
    x, y = lens_rays(camera, threads=3).astype(np.float64)
    px, py = twin.project(_numbers(camera), x, y)
    v, u = np.mgrid[:48, :64]
    assert np.abs(px - u).max() < 1e-4 and np.abs(py - v).max() < 1e-4
    if camera.distortion_model in ("brown_conrady", "rational", "kannala_brandt4"):
        points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 1, 3)
        K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        by = cv2.fisheye.projectPoints if camera.distortion_model == "kannala_brandt4" else cv2.projectPoints
        pixels = by(points, np.zeros(3), np.zeros(3), K, np.array(camera.distortion))[0].reshape(48, 64, 2)
        assert np.abs(pixels - np.dstack([u, v])).max() < 1e-4


@pytest.mark.parametrize(("lens", "at"), [
    ("none", (1200, 657)), ("brown", (1195, 654)), ("inverse", (1195, 654)), ("modified", (1195, 654)),
])  # fmt: skip
def test_the_lens_of_a_depth_camera_is_honoured(lens: str, at: tuple[int, int]) -> None:
    """A marker at (1200, 657) of a 1280x720 image lands where this lens puts it, 6 pixels from a pinhole's place."""
    pinhole = Intrinsics(1280, 720, 640.0, 640.0, 640.0, 360.0)
    color = Intrinsics(1280, 720, 640.0, 640.0, 640.0, 360.0, *LENSES[lens])
    depth = np.zeros((720, 1280), np.float32)
    depth[657, 1200] = 1.0
    y, x = np.nonzero(align_depth(depth, AlignPlan(pinhole, color, _pose())))
    assert at in zip(x, y, strict=True) and len(x) <= 4


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 50)),
    st.sampled_from(sorted(LENSES)), st.sampled_from(sorted(LENSES)), st.floats(-0.2, 0.2), st.floats(-0.03, 0.03),
    st.sampled_from([0.0, 0.25, 0.5, 1.5]), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_depth_equals_the_numpy_warp(
    size: tuple[int, int], target: tuple[int, int], lens: str, other: str, turn: float, shift: float, margin: float,
    seed: int, threads: int,
) -> None:  # fmt: skip
    """Any sizes, lenses, motion, margin and threads: wherever rounding cannot decide, the same pixels and depths."""
    depth_camera, color_camera = _camera(*size, lens), _camera(*target, other)
    pose = _pose((turn / 4, -turn / 3, turn), (shift, -shift / 2, shift / 3))
    plan = AlignPlan(depth_camera, color_camera, pose, margin_px=margin)
    depth = _depth(*size, seed)
    aligned = align_depth(depth, plan, threads=threads)
    expected, sure = twin.aligned_depth(depth, plan.tables()[0], pose, _numbers(color_camera), target, margin)
    assert ((aligned > 0) == (expected > 0))[sure].all()
    assert np.allclose(aligned[sure], expected[sure], rtol=2e-6)
    assert aligned.tobytes() == align_depth(depth, plan, threads=1).tobytes()


@pytest.mark.parametrize("lens", LENSES)
def test_a_plane_stays_a_plane_without_pin_holes(lens: str) -> None:
    """A slanted plane, seen by a colour camera of twice the resolution and turned by 0.3 rad, has no hole inside."""
    depth_camera, color_camera = _camera(90, 120, lens), _camera(180, 240, lens, focal=1.1)
    normal, offset = np.array([0.3, -0.2, -0.93]), 0.55  # normal . p + offset = 0
    rays = lens_rays(depth_camera).astype(np.float64)
    depth = (-offset / (normal[0] * rays[0] + normal[1] * rays[1] + normal[2])).astype(np.float32)
    pose = _pose((0.02, -0.03, 0.3), (0.015, 0.004, -0.006))
    aligned = align_depth(depth, AlignPlan(depth_camera, color_camera, pose))
    turned = pose[:, :3] @ normal
    x, y = lens_rays(color_camera).astype(np.float64)
    truth = -(offset - turned @ pose[:, 3]) / (turned[0] * x + turned[1] * y + turned[2])
    inner = np.s_[20:-20, 20:-20]
    assert (aligned[inner] > 0).all()
    slope = float(np.abs(np.diff(depth)).mean())  # of a depth pixel
    error = (aligned - truth)[inner]
    assert np.abs(error).max() < 1.5 * slope and abs(float(error.mean())) < 0.25 * slope


def test_the_nearest_surface_is_seen_and_hides_colour() -> None:
    """A block 0.2 m before a wall covers wall pixels of the colour image; wall pixels behind it get no colour."""
    camera = _camera(120, 160)
    depth = np.full((120, 160), 0.8, np.float32)
    depth[40:80, 60:100] = 0.6
    plan = AlignPlan(camera, camera, _pose(shift=(0.05, 0.0, 0.0)))
    aligned = align_depth(depth, plan)
    near = round(0.05 * camera.fx / 0.6)
    assert (aligned[42:78, 62 + near : 98 + near] == np.float32(0.6)).all()
    color = np.zeros((120, 160, 3), np.uint8)
    color[np.abs(aligned - 0.6) < 0.01] = (255, 0, 0)
    taken, valid = align_color(color, depth, plan, seen=aligned, interpolation="nearest")
    wall = (depth == np.float32(0.8)) & valid
    assert not (taken[wall] == (255, 0, 0)).all(axis=-1).any()
    assert (taken[41:79, 61:99] == (255, 0, 0)).all() and valid[41:79, 61:99].all()
    parallax = near - round(0.05 * camera.fx / 0.8)
    assert not valid[50:70, 100 : 100 + parallax].any() and valid[50:70, 102 + parallax : 120].all()


def test_noise_hardly_pulls_a_surface_forward() -> None:
    """Where footprints overlap, place counts before depth: 1 mm of noise moves a wall by a quarter of it at most."""
    camera, sigma = _camera(120, 160), 0.001
    depth = np.random.default_rng(0).normal(0.6, sigma, (120, 160)).astype(np.float32)
    aligned = align_depth(depth, AlignPlan(camera, camera, _pose((0.0, 0.0, 0.05), (0.02, 0.01, 0.0))))
    inner = aligned[20:-20, 30:-30]
    assert (inner > 0).all() and abs(float(inner.mean(dtype=np.float64)) - 0.6) < 0.25 * sigma


def test_a_motion_of_nothing_changes_nothing() -> None:
    """The same camera twice: depth bit for bit, colour byte for byte, whatever the lens."""
    for lens in ("none", "brown", "fisheye"):
        camera = _camera(33, 65, lens)
        depth = _depth(33, 65, 3)
        plan = AlignPlan(camera, camera, np.eye(4))
        valid = (depth > 1e-20) & (depth < 1e20)
        aligned = align_depth(depth, plan)
        assert np.allclose(aligned[valid], depth[valid], rtol=1e-6)
        color = np.random.default_rng(0).integers(0, 256, (33, 65, 3), dtype=np.uint8)
        taken, seen = align_color(color, depth, plan)
        assert np.array_equal(taken[valid & seen], color[valid & seen]) and (seen == seen & (depth > 0)).all()
        assert not taken[~seen].any() and seen[valid].mean() > 0.95


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(LENSES)), st.integers(1, 20), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_colour_equals_the_numpy_warp(lens: str, height: int, width: int, seed: int) -> None:
    """Bilinear within a grey level of the twin (1/32 pixel may round either way), the same pixels valid."""
    depth_camera, color_camera = _camera(height, width), _camera(height + 7, width + 5, lens)
    pose = _pose((0.02, -0.01, 0.1), (0.01, 0.0, 0.0))
    plan = AlignPlan(depth_camera, color_camera, pose)
    depth = _depth(height, width, seed)
    ramp = np.add.outer(3 * np.arange(height + 7), 2 * np.arange(width + 5))
    color = np.dstack([ramp, 255 - ramp, ramp // 2]).clip(0, 255).astype(np.uint8)
    taken, valid = align_color(color, depth, plan, step=1e9, threads=2)
    rays = plan.tables()[0]
    px, py, _, _ = twin.seen_points(depth, rays, pose, _numbers(color_camera))
    inside = (px > -0.5) & (px < width + 4.5) & (py > -0.5) & (py < height + 6.5)
    edge = np.minimum.reduce([np.abs(px + 0.5), np.abs(py + 0.5), np.abs(px - width - 4.5), np.abs(py - height - 6.5)])
    sure = ~(edge < 1e-3)
    assert np.array_equal(valid[sure], inside[sure])
    both = valid & inside
    assert np.abs(taken[both] - twin.bilinear(color, px[both], py[both])).max(initial=0) <= 1.0
    assert not taken[~valid].any()


def test_a_ray_beyond_the_lens_is_not_folded_back() -> None:
    """A strong barrel polynomial turns back at 42 degrees: points farther out are not seen, instead of inside."""
    color = Intrinsics(200, 200, 100.0, 100.0, 99.5, 99.5, "brown_conrady", (-0.4, 0.0, 0.0, 0.0, 0.0))
    depth = np.full((200, 200), 0.5, np.float32)
    wide = Intrinsics(200, 200, 40.0, 40.0, 99.5, 99.5)
    rays = lens_rays(wide)
    taken = align_color(np.full((200, 200, 3), 9, np.uint8), depth, AlignPlan(wide, color, np.eye(4)))[1]
    radius = np.hypot(*rays)
    assert taken[radius < 0.85].all() and not taken[radius > np.sqrt(1 / 1.2) + 0.01].any()


def test_wrong_calls_are_refused() -> None:
    """Lens, coefficients, motion, margin, step, interpolation, shapes and dtypes: errors that name the argument."""
    camera = _camera(20, 30)
    plan = AlignPlan(camera, camera, np.eye(4))
    depth, color = np.ones((20, 30), np.float32), np.zeros((20, 30, 3), np.uint8)
    for model, k, text in (
        ("fov", (), "distortion_model"), ("rational", (0.1,), "coefficients"), ("ftheta", (4.0,), "ftheta"),
        ("kannala_brandt4", (np.nan, 0, 0, 0), "finite"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=text):
            AlignPlan(camera, Intrinsics(30, 20, 20.0, 20.0, 15.0, 10.0, model, k), np.eye(4))
    for motion in (2 * np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0]), np.full((4, 4), np.nan)):
        with pytest.raises(ConfigError, match="rigid"):
            AlignPlan(camera, camera, motion)
    with pytest.raises(ShapeError, match="3, 4"):
        AlignPlan(camera, camera, np.eye(3))
    with pytest.raises(ConfigError, match="margin_px"):
        AlignPlan(camera, camera, np.eye(4), margin_px=3.0)
    with pytest.raises(ConfigError, match="step"):
        align_color(color, depth, plan, step=-0.1)
    with pytest.raises(ConfigError, match="interpolation"):
        align_color(color, depth, plan, interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="out must"):
        align_depth(depth, plan, out=np.empty((20, 31), np.float32))
    with pytest.raises(ShapeError, match="color must"):
        align_color(color[:10], depth, plan)
    with pytest.raises(ShapeError):
        align_depth(depth[:10], plan)
    with pytest.raises(ShapeError, match="contiguous"):
        align_depth(np.ones((20, 60), np.float32)[:, ::2], plan)
    with pytest.raises(DtypeError, match="float32"):
        align_depth(depth.astype(np.float64), plan)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares memory"):
        align_depth(depth, plan, out=depth)


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize(
    ("size", "target"), [((1, 1), (1, 1)), ((1, 40), (3, 50)), ((33, 65), (47, 31)), ((20, 17), (41, 40))]
)
def test_emulator_equals_cpu(size: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    """The kernels give the same bits as the CPU, in any order of threads: through every lens, depth and colour."""
    color = np.random.default_rng(0).integers(0, 256, (*target, 3), dtype=np.uint8)
    depth = _depth(*size, 1)
    for lens in LENSES:
        plan = AlignPlan(_camera(*size, lens), _camera(*target, lens), _pose((0.1, 0.05, 0.2), (0.02, 0.0, 0.01)))
        seen = align_depth(depth, plan)
        with order(seed):
            assert get(align_depth(put(depth), plan, device="emu")).tobytes() == seen.tobytes()
            for interpolation in ("bilinear", "nearest"):
                taken, valid = align_color(color, depth, plan, interpolation=interpolation)
                other = align_color(put(color), put(depth), plan, interpolation=interpolation, device="emu")
                assert get(other[0]).tobytes() == taken.tobytes() and get(other[1]).tobytes() == valid.tobytes()
