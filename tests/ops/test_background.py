# SPDX-License-Identifier: Apache-2.0
"""Background: planes are found beside parts, shadows and clutter; masks are bit-exact; hopeless input is told so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import BackgroundError, ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops import background as ops
from rasant.ops.depth import to_metres
from rasant.ops.device import native_for
from rasant.types import Intrinsics
from reference import background as twin

Depth = npt.NDArray[np.float32]


def _camera(height: int, width: int) -> tuple[Intrinsics, twin.Camera]:
    f, cx, cy = 1.3 * max(width, height), width / 2 - 0.7, height / 2 + 1.1
    return Intrinsics(width, height, f, f, cx, cy), (f, f, cx, cy)


def _plane_depth(height: int, width: int, normal: tuple[float, float, float], offset: float) -> npt.NDArray[np.float64]:
    _, (fx, fy, cx, cy) = _camera(height, width)
    y, x = np.mgrid[0:height, 0:width]
    n = np.array(normal) / np.linalg.norm(normal)
    return np.asarray(offset / -(n[0] * (x - cx) / fx + n[1] * (y - cy) / fy + n[2]))


def _angle(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    n, m = np.array(a), np.array(b) / np.linalg.norm(b)
    return float(np.degrees(np.linalg.norm(np.cross(n, m))))


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0.3, 2.0), st.floats(0, 0.4), st.integers(0, 2**32 - 1))
def test_ransac_finds_the_plane_beside_clutter(nx: float, ny: float, offset: float, clutter: float, seed: int) -> None:
    """Tilts to 40 degrees, 0.2 mm noise, 5 % holes, 40 % of the image 3-10 cm nearer: within 0.1 degree, 0.3 mm."""
    rng = np.random.default_rng(seed)
    normal = (nx, ny, -1.0)
    depth = _plane_depth(90, 120, normal, offset) + rng.normal(0, 0.0002, (90, 120))
    depth[:, : int(clutter * 120)] -= rng.uniform(0.03, 0.1)
    depth[rng.random(depth.shape) < 0.05] = rng.choice([0.0, np.nan])
    intrinsics, _ = _camera(90, 120)
    plane = ops.fit_plane_ransac(depth.astype(np.float32), intrinsics, seed=seed)
    assert _angle(plane.normal, normal) < 0.1 and abs(plane.offset - offset) < 3e-4
    assert plane.rms_m < 5e-4 and plane.inliers <= plane.total and plane.note == ""
    assert abs(np.linalg.norm(plane.normal) - 1) < 1e-12 and plane.normal[2] < 0 < plane.offset


def test_ransac_ends_in_the_least_squares_plane_of_its_inliers() -> None:
    """On a clean border it equals the SVD plane of all border points, and its rms and counts are theirs."""
    rng = np.random.default_rng(2)
    depth = (_plane_depth(80, 100, (0.1, -0.2, -1), 0.5) + rng.normal(0, 0.0003, (80, 100))).astype(np.float32)
    intrinsics, camera = _camera(80, 100)
    points = twin.points_of(depth, camera)[twin.border_mask((80, 100), 10)]
    normal, offset = twin.least_squares_plane(points)
    plane = ops.fit_plane_ransac(depth, intrinsics)
    assert plane.inliers == plane.total == len(points)
    np.testing.assert_allclose(plane.normal, normal, atol=1e-6)
    assert abs(plane.offset - offset) < 1e-6
    assert plane.rms_m == pytest.approx(np.sqrt(np.mean((points @ normal + offset) ** 2)), rel=1e-3)


@pytest.mark.captures
def test_on_real_frames_it_is_as_good_as_the_published_setting(captures: Path) -> None:
    """Kinect frames: within 2 % of the border inliers that 50 points a hypothesis and 200 tries find."""
    files = sorted((captures / "pcl_mosd_kinect").rglob("*.png"))
    frames = [image for f in files if (image := cv2.imread(str(f), cv2.IMREAD_UNCHANGED)) is not None]
    frames = [np.ascontiguousarray(image) for image in frames if image.dtype == np.uint16][:3]
    compared = 0
    for counts in frames:
        depth = to_metres(counts, 0.001)
        height, width = depth.shape
        intrinsics = Intrinsics(width, height, 525.0, 525.0, width / 2 - 0.5, height / 2 - 0.5)
        border = twin.border_mask(depth.shape, 10)
        points = twin.points_of(depth, (525.0, 525.0, width / 2 - 0.5, height / 2 - 0.5))[border]
        points = points[np.isfinite(points[:, 2])]
        try:
            plane = ops.fit_plane_ransac(depth, intrinsics, inlier_m=0.01)
        except BackgroundError:
            continue
        normal, offset = twin.ransac_plane(points, 0.01, 50, 200, np.random.default_rng(0))
        theirs, ours = np.abs(points @ normal + offset), np.abs(points @ np.array(plane.normal) + plane.offset)
        assert (ours < 0.01).sum() >= 0.98 * (theirs < 0.01).sum()
        compared += 1
    assert compared


def test_equal_input_gives_equal_bits_and_the_seed_matters() -> None:
    """Fits are reproducible; another seed draws other samples."""
    rng = np.random.default_rng(0)
    depth = (_plane_depth(60, 60, (0, 0.3, -1), 0.4) + rng.normal(0, 0.003, (60, 60))).astype(np.float32)
    intrinsics, _ = _camera(60, 60)
    fit = lambda seed: ops.fit_plane_ransac(depth, intrinsics, inlier_m=0.002, seed=seed)  # noqa: E731
    assert fit(1) == fit(1)
    assert len({fit(seed).offset for seed in range(6)}) > 1


@pytest.mark.parametrize("case", ["empty", "nan", "few", "line", "spot", "edge_on", "noise", "one_pixel"])
def test_hopeless_borders_are_refused(case: str) -> None:
    """No valid pixel, too few, a line, a spot, a plane seen edge-on, a cloud: BackgroundError, never a NaN plane."""
    rng = np.random.default_rng(0)
    depth = np.zeros((64, 64), np.float32)
    if case == "nan":
        depth[:] = np.nan
    elif case == "few":
        depth[0, :3] = 0.5
    elif case == "line":
        depth[0] = 0.5
    elif case == "spot":
        depth[:2, :2] = 0.5
    elif case == "edge_on":
        depth = _plane_depth(64, 64, (-1, 0, -0.35), 0.2).astype(np.float32)
        depth[depth < 0] = 0
    elif case == "noise":
        depth = rng.uniform(0.2, 100.0, (64, 64)).astype(np.float32)
    elif case == "one_pixel":
        depth = np.full((1, 1), 0.5, np.float32)
    height, width = depth.shape
    with pytest.raises(BackgroundError, match="border"):
        ops.fit_plane_ransac(depth, Intrinsics(width, height, 80.0, 80.0, 32.0, 32.0), inlier_m=1e-4)


def test_three_corners_give_the_plane_and_an_empty_one_falls_back() -> None:
    """Exact on an exact plane; an empty or hopeless corner is noted and replaced by RANSAC, or refused when asked."""
    depth = _plane_depth(50, 70, (0.2, 0.1, -1), 0.6).astype(np.float32)
    intrinsics, _ = _camera(50, 70)
    plane = ops.fit_plane_corners(depth, intrinsics)
    assert _angle(plane.normal, (0.2, 0.1, -1)) < 1e-3 and abs(plane.offset - 0.6) < 1e-5 and plane.note == ""
    depth[:3, -3:] = 0
    plane = ops.fit_plane_corners(depth, intrinsics)
    assert "top right" in plane.note and _angle(plane.normal, (0.2, 0.1, -1)) < 1e-3
    with pytest.raises(BackgroundError, match="top right"):
        ops.fit_plane_corners(depth, intrinsics, fallback=False)
    with pytest.raises(BackgroundError, match="border"):
        ops.fit_plane_corners(np.zeros((50, 70), np.float32), intrinsics)
    with pytest.raises(BackgroundError, match="no plane"):
        ops.fit_plane_corners(np.ones((1, 1), np.float32), Intrinsics(1, 1, 1, 1, 0, 0), fallback=False)


def test_bilinear_corners_mean_the_patches_and_grow_over_shadows() -> None:
    """Means of the valid pixels; an empty corner grows to a quarter of the image with a note, then it is refused."""
    depth = np.full((40, 60), 0.5, np.float32)
    depth[:2, :2] = [[0.4, 0.6], [0.0, np.nan]]
    surface = ops.fit_bilinear_corners(depth)
    assert surface.heights == pytest.approx((0.5, 0.5, 0.5, 0.5)) and surface.note == ""
    depth[:5, -5:] = 0
    surface = ops.fit_bilinear_corners(depth)
    assert surface.heights == pytest.approx((0.5, 0.5, 0.5, 0.5)) and "top right (8 px)" in surface.note
    depth[-15:, :15] = 0
    with pytest.raises(BackgroundError, match="bottom left"):
        ops.fit_bilinear_corners(depth)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 60), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3]),
)
def test_heights_and_masks_equal_the_twin_bit_for_bit(
    height: int, width: int, nx: float, ny: float, seed: int, threads: int
) -> None:
    """Plane and corner surface, any size, holes and threads: the same height bits, the same mask."""
    rng = np.random.default_rng(seed)
    intrinsics, camera = _camera(height, width)
    normal = tuple(float(v) for v in np.array([nx, ny, -1.0]) / np.linalg.norm([nx, ny, 1.0]))
    noise = rng.normal(0, 0.006, (height, width))
    depth = (_plane_depth(height, width, (nx, ny, -1.0), 0.5) + noise).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = rng.choice(np.array([0, np.nan, np.inf, -1], np.float32))
    plane = ops.Plane(normal, 0.5, 0.0, 3, 3)  # type: ignore[arg-type]
    above, foreground = ops.height_above(depth, plane, intrinsics, threshold_m=0.005, threads=threads)
    expected, mask = twin.height_above_plane(depth, plane.normal, 0.5, camera, 0.005)
    assert above.tobytes() == expected.tobytes() and np.array_equal(foreground, mask)
    corners = tuple(rng.uniform(0.4, 0.6, 4))
    above, foreground = ops.height_above(depth, ops.CornerSurface(corners), None, threshold_m=0.007, threads=threads)
    expected, mask = twin.height_above_corners(depth, corners, 0.007)
    assert above.tobytes() == expected.tobytes() and np.array_equal(foreground, mask)


def test_height_is_along_the_optical_axis_and_positive_towards_the_camera() -> None:
    """A 10 mm step in depth on a tilted plane is 10 mm of height, whatever the tilt."""
    depth = _plane_depth(30, 30, (0.3, -0.2, -1), 0.5)
    depth[10:20, 10:20] -= 0.01
    intrinsics, _ = _camera(30, 30)
    plane = ops.Plane(tuple(np.array([0.3, -0.2, -1]) / np.linalg.norm([0.3, -0.2, 1])), 0.5, 0, 3, 3)  # type: ignore[arg-type]
    height, foreground = ops.height_above(depth.astype(np.float32), plane, intrinsics, threshold_m=0.005)
    np.testing.assert_allclose(height[10:20, 10:20], 0.01, atol=2e-6)
    assert foreground.sum() == 100 and np.abs(height[:10]).max() < 1e-6


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 14), st.integers(1, 26), st.floats(0.2, 1.0), st.floats(0, 0.3), st.integers(0, 2**32 - 1))
def test_keep_largest_equals_flooding(height: int, width: int, share: float, holes: float, seed: int) -> None:
    """8-connected, cut where depth jumps, joined over pixels without depth; the first of equals; in place too."""
    rng = np.random.default_rng(seed)
    foreground = rng.random((height, width)) < share
    depth = rng.choice(np.array([0.5, 0.504, 0.51, 0.6], np.float32), (height, width), p=[0.5, 0.2, 0.2, 0.1])
    depth[rng.random(depth.shape) < holes] = rng.choice(np.array([0, np.nan], np.float32))
    expected = twin.keep_largest(foreground, depth, 0.006)
    kept = ops.keep_largest(foreground, depth)
    assert np.array_equal(kept, expected)
    assert ops.keep_largest(foreground, depth, out=foreground) is foreground
    assert np.array_equal(foreground, expected)


def test_keep_largest_cuts_a_part_from_what_it_hides() -> None:
    """Two parts that touch in the image but lie 20 mm apart are two; the larger stays."""
    depth = np.full((40, 40), 0.5, np.float32)
    depth[:, 25:] = 0.48
    kept = ops.keep_largest(np.ones((40, 40), bool), depth)
    assert kept[:, :25].all() and not kept[:, 25:].any()


def test_close_mask_is_dilations_then_erosions() -> None:
    """A gap of five pixels closes with three iterations, one of nine does not; the outline stays."""
    mask = np.zeros((40, 60), bool)
    mask[10:30, 5:20] = mask[10:30, 25:35] = mask[10:30, 44:55] = True
    closed = ops.close_mask(mask)
    assert closed[12:28, 20:25].all() and not closed[:, 37:42].any()
    assert np.array_equal(closed & ~mask, closed & ~mask & (np.arange(60) >= 20) & (np.arange(60) < 25))
    assert np.array_equal(ops.close_mask(mask, iterations=0), mask)


def test_wrong_calls_are_refused() -> None:
    """Shapes, dtypes, parameters, missing intrinsics, foreign planes, devices: a typed error that says what to do."""
    depth = np.full((20, 30), 0.5, np.float32)
    intrinsics, _ = _camera(20, 30)
    with pytest.raises(ShapeError, match="intrinsics"):
        ops.fit_plane_ransac(depth[:10], intrinsics)
    nan = float("nan")
    for name, value in (("border_px", 0), ("inlier_m", 0.0), ("inlier_m", nan), ("sample", 2), ("hypotheses", 0)):
        with pytest.raises(ConfigError, match=name):
            ops.fit_plane_ransac(depth, intrinsics, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="fx"):
        ops.fit_plane_ransac(depth, Intrinsics(30, 20, 0.0, 1.0, 0.0, 0.0))
    with pytest.raises(ConfigError, match="patch"):
        ops.fit_bilinear_corners(depth, patch=0)
    plane = ops.fit_plane_ransac(depth, intrinsics)
    with pytest.raises(ConfigError, match="intrinsics are needed"):
        ops.height_above(depth, plane, None, threshold_m=0.005)
    with pytest.raises(ConfigError, match="threshold_m"):
        ops.height_above(depth, plane, intrinsics, threshold_m=float("nan"))
    for normal in ((0.0, 0.0, 1.0), (float("nan"), 0.0, -1.0)):
        with pytest.raises(ConfigError, match="face the camera"):
            ops.height_above(depth, ops.Plane(normal, 0.5, 0, 3, 3), intrinsics, threshold_m=0.005)
    with pytest.raises(DtypeError, match="out_foreground"):
        ops.height_above(depth, plane, intrinsics, threshold_m=0.005, out_foreground=np.empty((20, 30), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="foreground"):
        ops.keep_largest(depth, depth)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="step_m"):
        ops.keep_largest(depth > 0, depth, step_m=0.0)
    with pytest.raises(ShapeError, match="bool"):
        ops.close_mask(depth)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="odd"):
        ops.close_mask(depth > 0, size=4)
    with pytest.raises(DeviceUnavailable):
        ops.height_above(depth, plane, intrinsics, threshold_m=0.005, device="cuda")


SHAPES = [(1, 1), (1, 70), (33, 1), (2, 3), (33, 65), (40, 71)]


def _part_scene(height: int, width: int, seed: int) -> Depth:
    """A tilted plane with noise, a part on it, clutter at the border and pixels without depth."""
    rng = np.random.default_rng(seed)
    depth = _plane_depth(height, width, (0.1, -0.2, -1.0), 0.5) + rng.normal(0, 0.001, (height, width))
    depth[height // 4 : height // 2, width // 4 : width // 2] -= 0.02
    depth[:, : width // 5] -= rng.uniform(0.0, 0.1, (height, width // 5))
    depth[rng.random(depth.shape) < 0.1] = rng.choice(np.array([0, np.nan, np.inf, -1]))
    return depth.astype(np.float32)


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_device_fits_the_plane_of_the_cpu(shape: tuple[int, int], seed: int) -> None:
    """RANSAC in any order of threads and blocks: fault, plane, rms and counts, bit for bit, over several chunks."""
    depth = _part_scene(*shape, seed)
    _, camera = _camera(*shape)
    cases = [(10, 0.004, 50, 128, seed), (1, 0.002, 3, 1, 1), (4, 1e-4, 33, 70, seed), (1000, 0.02, 1000, 4, 2**64 - 1)]
    with order(seed):
        for case in cases:
            assert native_for("emu").fit_plane_ransac(put(depth), camera, *case) == native_for("cpu").fit_plane_ransac(
                depth, camera, *case
            ), case


@pytest.mark.parametrize("shape", SHAPES)
def test_the_device_measures_corners_and_heights_as_the_cpu(shape: tuple[int, int]) -> None:
    """Corner means, and height and mask over a plane and a corner surface, bit for bit in every order."""
    depth = _part_scene(*shape, 5)
    intrinsics, camera = _camera(*shape)
    emulator, on_device = native_for("emu"), put(depth)
    plane = ops.Plane(tuple(np.array([0.1, -0.2, -1]) / np.sqrt(1.05)), 0.5, 0, 3, 3)  # type: ignore[arg-type]
    for seed in ORDERS:
        with order(seed):
            for patch in (1, 3, 500):
                assert emulator.corner_points(on_device, camera, patch) == native_for("cpu").corner_points(
                    depth, camera, patch
                )
            for surface in (plane, ops.CornerSurface((0.5, 0.51, 0.49, 0.52))):
                height, mask = ops.height_above(on_device, surface, intrinsics, threshold_m=0.005, device="emu")
                expected = ops.height_above(depth, surface, intrinsics, threshold_m=0.005)
                assert get(height).tobytes() == expected[0].tobytes()
                assert get(mask).tobytes() == expected[1].tobytes()


def test_the_wrappers_take_device_arrays() -> None:
    """Each fit gives on the device what it gives on the CPU, its notes and its fallback included."""
    depth = _part_scene(48, 60, 3)
    intrinsics, _ = _camera(48, 60)
    assert ops.fit_plane_ransac(put(depth), intrinsics, device="emu") == ops.fit_plane_ransac(depth, intrinsics)
    for lost in (0, 5):
        depth[:lost, :lost] = 0
        corners = ops.fit_plane_corners(put(depth), intrinsics, device="emu")
        assert corners == ops.fit_plane_corners(depth, intrinsics) and bool(corners.note) == bool(lost)
        assert ops.fit_bilinear_corners(put(depth), device="emu") == ops.fit_bilinear_corners(depth)
    with pytest.raises(BackgroundError, match="border"):
        ops.fit_plane_ransac(put(np.zeros((48, 60), np.float32)), intrinsics, device="emu")


@pytest.mark.parametrize("shape", [*SHAPES, (9, 32), (70, 129)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.9, 1.0])
def test_the_device_keeps_the_part_that_the_cpu_keeps(shape: tuple[int, int], share: float) -> None:
    """Noise, snakes and full masks: the same part in every order, in place too."""
    rng = np.random.default_rng(int(100 * share))
    foreground = rng.random(shape) < share
    depths = np.array([0.5, 0.504, 0.51, 0.6, 0, np.nan], np.float32)
    depth = rng.choice(depths, shape, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    snake = np.ones(shape, bool)  # one path to and fro
    snake[1::4, :-1] = snake[3::4, 1:] = False
    for mask in (foreground, snake):
        expected = ops.keep_largest(mask, depth)
        for seed in ORDERS:
            with order(seed):
                assert np.array_equal(get(ops.keep_largest(put(mask), put(depth), device="emu")), expected)
                own = put(mask)
                assert ops.keep_largest(own, put(depth), out=own, device="emu") is own
                assert np.array_equal(get(own), expected)
