# SPDX-License-Identifier: Apache-2.0
"""`mvtec3d:` reads the layout of MVTec 3D-AD, with or without its point clouds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from encoded_images import encode, pattern, tiff_claiming
from rasant.errors import ConfigError, FrameError
from rasant.sensors import open_source
from rasant.sensors.mvtec3d import fit_intrinsics

HEIGHT, WIDTH = 40, 30


def cloud(
    fx: float, fy: float, cx: float, cy: float, height: int = HEIGHT, width: int = WIDTH, seed: int = 0
) -> np.ndarray:
    """An organised cloud (H, W, 3) float32 of a bumpy surface, a tenth of it unmeasured."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.4, 0.5, (height, width))
    v, u = np.mgrid[0:height, 0:width]
    points = np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], axis=2)
    points[rng.random((height, width)) < 0.1] = 0
    return points.astype(np.float32)


def write(root: Path, *, xyz: bool = True) -> Path:
    """One category `lid` with two test frames, one good and one cut."""
    for label in ("good", "cut"):
        folder = root / "lid" / "test" / label
        for kind in ("rgb", "gt", *(["xyz"] if xyz else [])):
            (folder / kind).mkdir(parents=True)
        (folder / "rgb" / "000.png").write_bytes(encode(".png", pattern(HEIGHT, WIDTH, 3)))
        gt = np.zeros((HEIGHT, WIDTH), np.uint8)
        gt[3:6, 4:9] = 254 if label == "cut" else 0
        (folder / "gt" / "000.png").write_bytes(encode(".png", gt))
        if xyz:
            tifffile.imwrite(folder / "xyz" / "000.tiff", cloud(50, 51, 14, 20), photometric="rgb")
    return root


def test_depth_is_the_z_of_the_cloud_in_metres(tmp_path: Path) -> None:
    """Depth is float32 z, bit for bit, with scale 1; masks are true above 0; the camera is fitted."""
    with open_source(f"mvtec3d:{write(tmp_path)}") as source:
        cut, good = source
    expected = cloud(50, 51, 14, 20)[..., 2]
    for frame in (cut, good):
        assert frame.depth is not None and frame.depth.dtype == np.float32 and frame.depth_scale == 1.0
        np.testing.assert_array_equal(frame.depth, expected)
        camera = frame.intrinsics
        assert (camera.width, camera.height) == (WIDTH, HEIGHT)
        np.testing.assert_allclose((camera.fx, camera.fy, camera.cx, camera.cy), (50, 51, 14, 20), atol=1e-3)
    assert cut.sample is not None and cut.sample.truth is not None and cut.sample.truth.sum() == 15
    assert good.sample is not None and good.sample.truth is not None and not good.sample.truth.any()
    assert source.note == ""


def test_without_clouds_the_camera_is_nominal_and_said_to_be(tmp_path: Path) -> None:
    """RGB-only copies give depth None; the intrinsics are nominal, or those of the calibration file; the note tells."""
    root = write(tmp_path, xyz=False)
    with open_source(f"mvtec3d:{root}/lid") as source:
        frame = source.read()
        assert frame.depth is None and frame.intrinsics.cx == (WIDTH - 1) / 2
        assert "nominal" in source.note
    values = {"focus": 0.01, "sx": 4e-6, "sy": 5e-6, "cx": 12.5, "cy": 19.0}
    values |= {"image_width": WIDTH, "image_height": HEIGHT}
    path = root / "lid" / "calibration" / "camera_parameters.json"
    path.parent.mkdir()
    path.write_text(json.dumps(values | {"kappa": -2205.0, "camera_type": "area_scan_division"}))
    with open_source(f"mvtec3d:{root}") as source:
        camera = source.read().intrinsics
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((2500, 2000, 12.5, 19))
        assert "camera_parameters.json" in source.note
    path.write_text(json.dumps(values | {"image_width": 7}))
    with open_source(f"mvtec3d:{root}") as source, pytest.raises(ConfigError, match="7x40"):
        source.read()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff_claiming(9000, 9000, 32, 3, True), "above 64 Mpixel"),
        (tiff_claiming(WIDTH, HEIGHT, 16, 3, False, WIDTH * HEIGHT * 6), "float32 TIFF of 3 channels"),
        (tiff_claiming(8, 8, 32, 3, True, 768), "points are 8x8, colour is 30x40"),
    ],
)
def test_wrong_clouds_cost_one_frame(tmp_path: Path, data: bytes, words: str) -> None:
    """A huge, integer or misaligned cloud raises FrameError before it is decoded; the next frame is read."""
    root = write(tmp_path)
    (root / "lid/test/cut/xyz/000.tiff").write_bytes(data)
    with open_source(f"mvtec3d:{root}") as source:
        with pytest.raises(FrameError, match=words):
            source.read()
        assert source.read().name == "lid/test/good/000"


@given(
    st.floats(20, 5000), st.floats(20, 5000), st.floats(-50, 200), st.floats(-50, 200), st.integers(0, 5),
)
def test_fit_recovers_any_pinhole(fx: float, fy: float, cx: float, cy: float, seed: int) -> None:
    """The least-squares fit reprojects a float32 cloud to within a thousandth of a pixel."""
    points = cloud(fx, fy, cx, cy, 30, 36, seed)
    camera = fit_intrinsics(points)
    assert camera is not None
    v, u = np.nonzero(points[..., 2])
    x, y, z = points[v, u].astype(np.float64).T
    assert np.abs(camera.fx * x / z + camera.cx - u).max() < 2e-3
    assert np.abs(camera.fy * y / z + camera.cy - v).max() < 2e-3


def test_fit_declines_without_points() -> None:
    """An empty cloud, or one on a single line of sight, gives no camera."""
    assert fit_intrinsics(np.zeros((20, 20, 3), np.float32)) is None
    assert fit_intrinsics(np.full((20, 20, 3), 0.5, np.float32)) is None


@pytest.mark.captures
def test_real_images_without_clouds(captures: Path) -> None:
    """The real tire images read with their masks (values 253 to 255) and the focal length of their calibration file."""
    with open_source(f"mvtec3d:{captures / 'mvtec3d_tire_rgb_gt'}") as source:
        frames = list(source)
    assert len(frames) == 15 and all(frame.depth is None for frame in frames)
    for frame in frames:
        assert frame.sample is not None and frame.sample.truth is not None
        assert frame.sample.truth.any() == frame.sample.defective
        assert frame.intrinsics.fx == pytest.approx(0.0103431 / 3.74983e-06)
