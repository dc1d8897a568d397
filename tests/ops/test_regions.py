# SPDX-License-Identifier: Apache-2.0
"""The regions operation: components, boxes and centres equal the twin's, and lie where the frame shows them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.errors import ConfigError, DeviceUnavailable, ShapeError
from rasant.ops.regions import find_regions
from rasant.types import Intrinsics
from reference import regions as twin

seeds = st.integers(0, 2**32 - 1)
CAMERA = Intrinsics(640, 480, 600.0, 610.0, 320.0, 240.0)


def _scale(map_size: tuple[int, int], frame_size: tuple[int, int]) -> np.ndarray:
    """The affine of a plain resize."""
    sy, sx = frame_size[0] / map_size[0], frame_size[1] / map_size[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5]])


def _blobs(size: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random(size, dtype=np.float32)
    return cv2.blur(noise, (3, 3)) if min(size) > 2 else noise


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), seeds, st.floats(0.3, 0.8), st.integers(1, 200), st.integers(1, 200))
def test_regions_and_boxes_equal_the_twin(
    height: int, width: int, seed: int, threshold: float, rows: int, columns: int
) -> None:
    """Boxes, areas, peaks, centroids, order and label image, for any map and frame size."""
    pooled = _blobs((height, width), seed)
    threshold = float(np.float32(threshold))
    matrix = _scale((height, width), (rows, columns))
    labels = np.full((height, width), -1, np.int32)
    found = find_regions(
        pooled, threshold, frame_from_map=matrix, frame_size=(rows, columns), max_regions=9999, out_labels=labels
    )
    expected_labels, expected = twin.find_regions(pooled, threshold)
    assert np.array_equal(labels, expected_labels) and len(found) == len(expected)
    for i, (region, e) in enumerate(zip(found, expected, strict=True), 1):
        assert (region.label, region.map_box, region.map_area, region.peak) == (i, e["box"], e["area"], e["peak"])
        assert region.peak_yx == e["peak_yx"]
        assert region.frame_box == twin.frame_box(e["box"], matrix, (rows, columns))
        assert region.centroid == pytest.approx(matrix @ (*e["centre"], 1.0), abs=1e-9)
        assert region.center_m is None


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.0, 1.0))
def test_depth_is_the_median_of_the_valid_pixels_inside(seed: int, holes: float) -> None:
    """Boxes up to 64 x 64 frame pixels: the exact median of what is valid; no valid pixel: no centre."""
    rng = np.random.default_rng(seed)
    pooled = np.zeros((32, 32), np.float32)
    y, x = rng.integers(2, 14, 2)
    pooled[y : y + 9, x : x + 7] = rng.random((9, 7)) > 0.2
    depth = rng.uniform(0.3, 0.9, (150, 200)).astype(np.float32)
    gone = rng.random(depth.shape) < holes
    depth[gone] = rng.choice(np.array([0, np.nan, -1, np.inf], np.float32), int(gone.sum()))
    matrix = _scale((32, 32), depth.shape)
    for region in find_regions(
        pooled, 0.5, frame_from_map=matrix, frame_size=depth.shape, depth=depth, intrinsics=CAMERA
    ):
        labels, expected = twin.find_regions(pooled, 0.5)
        z = twin.median_depth(depth, labels == region.label, matrix)
        if np.isnan(z):
            assert region.center_m is None
        else:
            u, v = region.centroid
            assert region.center_m == pytest.approx(((u - 320) / 600 * z, (v - 240) / 610 * z, z), rel=1e-6)
        assert len(expected) >= region.label


def test_a_large_region_is_sampled_evenly() -> None:
    """A region of the whole frame has the median of a tilted plane within a hundredth of its range."""
    depth = np.linspace(0.4, 0.8, 720 * 1280, dtype=np.float32).reshape(720, 1280)
    (region,) = find_regions(
        np.ones((256, 256), np.float32), 0.5, frame_from_map=_scale((256, 256), depth.shape), frame_size=depth.shape,
        depth=depth, intrinsics=CAMERA,
    )
    assert region.center_m is not None and region.center_m[2] == pytest.approx(0.6, abs=0.004)
    assert region.frame_box == (0, 0, 1280, 720) and region.area_px == 1280 * 720


def test_boxes_cover_the_defect_in_the_frame() -> None:
    """A frame defect that the map shows lies inside its frame box, and the box is at most two map pixels wider."""
    frame = np.zeros((480, 640), np.float32)
    frame[100:140, 300:380] = 1
    pooled = cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA)
    (region,) = find_regions(pooled, 0.01, frame_from_map=_scale((256, 256), (480, 640)), frame_size=(480, 640))
    x, y, width, height = region.frame_box
    assert x <= 300 and y <= 100 and x + width >= 380 and y + height >= 140
    assert width <= 80 + 2 * 2.5 + 1 and height <= 40 + 2 * 1.875 + 1


def test_only_the_highest_regions_are_kept() -> None:
    """max_regions keeps the highest peaks, and the label image names no other region."""
    pooled = np.zeros((9, 9), np.float32)
    pooled[::4, ::4] = np.array([[0.5, 0.9, 0.6], [0.7, 0.95, 0.8], [0.55, 0.65, 0.75]])
    labels = np.zeros((9, 9), np.int32)
    found = find_regions(
        pooled, 0.5, frame_from_map=_scale((9, 9), (9, 9)), frame_size=(9, 9), max_regions=3, out_labels=labels
    )
    assert [r.peak for r in found] == pytest.approx([0.95, 0.9, 0.8])
    assert [labels[r.peak_yx] for r in found] == [1, 2, 3] and np.count_nonzero(labels) == 3


def test_threshold_is_inclusive_and_nan_belongs_to_nothing() -> None:
    """A value equal to the threshold is a region; a NaN pixel is none, and splits its neighbours."""
    pooled = np.array([[0.5, np.nan, 0.5]], np.float32)
    found = find_regions(pooled, 0.5, frame_from_map=_scale((1, 3), (1, 3)), frame_size=(1, 3))
    assert [r.map_box for r in found] == [(0, 0, 1, 1), (2, 0, 1, 1)]
    assert not find_regions(pooled, 0.51, frame_from_map=_scale((1, 3), (1, 3)), frame_size=(1, 3))


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("brown_conrady", (0.1, -0.05, 0.001, -0.002, 0.01)),
        ("rational", (0.1, -0.05, 0.001, -0.002, 0.01, 0.02, 0.001, 0.0)),
        ("kannala_brandt4", (0.05, -0.01, 0.002, 0.0)),
        ("modified_brown_conrady", (0.1, -0.05, 0.001, -0.002, 0.01)),
        ("inverse_brown_conrady", (0.1, -0.05, 0.001, -0.002, 0.01)),
        ("ftheta", (0.9,)),
    ],
)
def test_lens_distortion_is_undone(model: str, coefficients: tuple[float, ...]) -> None:
    """A point that the lens model projects to a pixel is found again from that pixel, within 0.1 mm at 0.5 m."""
    point = np.array([[0.12, -0.08, 0.5]])
    K = np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]])
    if model == "kannala_brandt4":
        place = cv2.fisheye.projectPoints(point[None], np.zeros(3), np.zeros(3), K, np.array(coefficients))[0][0, 0]
    elif model == "ftheta":
        x, y = point[0, :2] / point[0, 2]
        scale = np.arctan(2 * np.hypot(x, y) * np.tan(coefficients[0] / 2)) / coefficients[0] / np.hypot(x, y)
        place = K[:2] @ (x * scale, y * scale, 1)
    elif "_brown" in model:  # librealsense: the tangential part takes the radially distorted point
        x, y = point[0, :2] / point[0, 2]
        r2, (k1, k2, p1, p2, k3) = x * x + y * y, coefficients
        f = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        x, y = x * f, y * f
        place = K[:2] @ (x + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y + 2 * p2 * x * y + p1 * (r2 + 2 * y * y), 1)
    else:
        place = cv2.projectPoints(point, np.zeros(3), np.zeros(3), K, np.array(coefficients))[0][0, 0]
    camera = Intrinsics(640, 480, 600.0, 610.0, 320.0, 240.0, model, coefficients)
    matrix = np.array([[1.0, 0, place[0]], [0, 1.0, place[1]]])  # the one map pixel stands at that place
    depth = np.full((480, 640), 0.5, np.float32)
    (region,) = find_regions(
        np.ones((1, 1), np.float32), 0.5, frame_from_map=matrix, frame_size=(480, 640), depth=depth, intrinsics=camera
    )
    assert region.center_m == pytest.approx(point[0], abs=1e-4)


def test_wrong_arguments_are_refused() -> None:
    """NaN threshold, singular affine, depth of another size, unknown lens and another device: a typed error each."""
    pooled, matrix = np.ones((4, 4), np.float32), _scale((4, 4), (8, 8))
    with pytest.raises(ConfigError, match="threshold is NaN"):
        find_regions(pooled, float("nan"), frame_from_map=matrix, frame_size=(8, 8))
    with pytest.raises(ConfigError, match="cannot be inverted"):
        find_regions(
            pooled, 0.5, frame_from_map=np.zeros((2, 3)), frame_size=(8, 8), depth=np.ones((8, 8), np.float32)
        )
    with pytest.raises(ConfigError, match="max_regions"):
        find_regions(pooled, 0.5, frame_from_map=matrix, frame_size=(8, 8), max_regions=0)
    with pytest.raises(ShapeError, match="depth must have shape"):
        find_regions(pooled, 0.5, frame_from_map=matrix, frame_size=(8, 8), depth=np.ones((4, 4), np.float32))
    with pytest.raises(ShapeError, match="frame_size"):
        find_regions(pooled, 0.5, frame_from_map=matrix, frame_size=(0, 8))
    lens = Intrinsics(8, 8, 9.0, 9.0, 4.0, 4.0, "fish", (0.1,))
    with pytest.raises(ConfigError, match="unknown lens model"):
        find_regions(
            pooled, 0.5, frame_from_map=matrix, frame_size=(8, 8), depth=np.ones((8, 8), np.float32), intrinsics=lens
        )
    with pytest.raises(DeviceUnavailable):
        find_regions(pooled, 0.5, frame_from_map=matrix, frame_size=(8, 8), device="cuda")
