# SPDX-License-Identifier: Apache-2.0
"""Normals from depth: exact on planes and spheres, equal to a fit of each window, none where the surface breaks off."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.depth import to_metres
from rasant.ops.normals import surface_normals
from rasant.types import Intrinsics
from reference import normals as twin

SIZES = (3, 5, 7, 9)


def _camera(height: int, width: int) -> Intrinsics:
    f = 1.1 * max(height, width, 20)
    return Intrinsics(width, height, f, 0.97 * f, (width - 1) / 2 + 0.4, (height - 1) / 2 - 0.3)


def _numbers(camera: Intrinsics) -> tuple[float, float, float, float]:
    return camera.fx, camera.fy, camera.cx, camera.cy


def _image(height: int, width: int, seed: int, holes: float) -> np.ndarray:
    """A wavy surface with noise, a step, and every kind of hole."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    depth = 0.5 + 0.02 * np.sin(x / 5) * np.cos(y / 7) + rng.normal(0, 2e-4, (height, width))
    depth[:, 2 * width // 3 :] += 0.02
    missing = rng.random(depth.shape) < holes
    depth[missing] = rng.choice([0.0, np.nan, -0.2, np.inf], int(missing.sum()))
    return depth.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 24), st.integers(1, 50), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.1, 1.0]),
    st.sampled_from(SIZES), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_equals_a_fit_of_each_window(height: int, width: int, seed: int, holes: float, size: int, threads: int) -> None:
    """Any image size, window, holes and threads: the same pixels have a normal, and it is the twin's within 1e-3."""
    camera, depth = _camera(height, width), _image(height, width, seed, holes)
    normals = surface_normals(depth, camera, size=size, threads=threads)
    expected = twin.surface_normals(depth, _numbers(camera), size, 0.006)
    assert np.array_equal(normals.any(axis=-1), expected.any(axis=-1))
    assert np.abs(normals - expected).max() < 1e-3
    assert normals.tobytes() == surface_normals(depth, camera, size=size).tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("normal", [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (-0.5, 0.5, -0.7071), (0.0, -0.95, -0.3122)])
def test_a_plane_has_one_normal(size: int, normal: tuple[float, float, float]) -> None:
    """Planes of any slope up to 72 degrees have their own normal, towards the camera, everywhere but at the border."""
    camera = Intrinsics(80, 60, 200.0, 190.0, 40.2, 29.5)
    n = np.array(normal) / np.linalg.norm(normal)
    v, u = np.mgrid[:60, :80]
    rays = np.dstack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)])
    depth = (-0.5 / (rays @ n)).astype(np.float32)
    normals = surface_normals(depth, camera, size=size, step_m=0.2)
    r = size // 2
    inner = normals[r:-r, r:-r]
    assert np.abs(inner - n).max() < 2e-4
    assert not normals[:r].any() and not normals[-r:].any() and not normals[:, :r].any() and not normals[:, -r:].any()
    assert (np.einsum("hwc,hwc->hw", inner, rays[r:-r, r:-r]) < 0).all()


def test_a_sphere_points_away_from_its_centre() -> None:
    """On a ball of 10 cm at 0.6 m the normal is the direction from the centre, within 0.5 degrees where it faces us."""
    camera = Intrinsics(160, 120, 300.0, 300.0, 79.5, 59.5)
    v, u = np.mgrid[:120, :160]
    rays = np.dstack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)])
    centre, radius = np.array([0.0, 0.0, 0.6]), 0.1
    b, square = rays @ centre, (rays**2).sum(-1)
    root = b * b - square * (centre @ centre - radius * radius)
    z = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / square, 0.0)
    normals = surface_normals(z.astype(np.float32), camera, size=3)
    truth = (rays * z[..., None] - centre) / radius
    facing = (np.einsum("hwc,hwc->hw", truth, -rays / np.sqrt(square)[..., None]) > 0.6) & normals.any(axis=-1)
    angle = np.degrees(np.arccos(np.clip((normals * truth).sum(-1)[facing], -1, 1)))
    assert facing.sum() > 3000 and angle.max() < 0.5


def test_no_normal_across_a_step_or_a_hole() -> None:
    """One invalid pixel takes the window around it, a step of 1 cm the columns whose window spans it; no more."""
    camera = _camera(21, 41)
    depth = np.full((21, 41), 0.5, np.float32)
    depth[10, 8] = np.nan
    depth[:, 25:] = 0.51
    found = surface_normals(depth, camera, size=5).any(axis=-1)
    expected = np.zeros((21, 41), bool)
    expected[2:-2, 2:-2] = True
    expected[8:13, 6:11] = False
    expected[:, 23:27] = False
    assert np.array_equal(found, expected)
    assert surface_normals(depth, camera, size=5, step_m=0.02).any(axis=-1)[2:-2, 20:30].all()


@pytest.mark.captures
def test_normals_of_a_real_capture(captures: Path) -> None:
    """Sensor depth: unit length wherever there is a normal, towards the camera, and equal for any number of threads."""
    files = sorted((captures / "pcl_mosd_kinect").rglob("*.png"))
    images = [image for f in files if (image := cv2.imread(str(f), cv2.IMREAD_UNCHANGED)) is not None]
    counts = next(image for image in images if image.dtype == np.uint16)
    depth = to_metres(np.ascontiguousarray(counts), 0.001)
    camera = Intrinsics(depth.shape[1], depth.shape[0], 525.0, 525.0, depth.shape[1] / 2, depth.shape[0] / 2)
    normals = surface_normals(depth, camera, size=7, step_m=0.03, threads=2)
    length = np.linalg.norm(normals, axis=-1)
    found = length > 0
    assert found.mean() > 0.2 and np.allclose(length[found], 1, atol=1e-6)
    assert normals.tobytes() == surface_normals(depth, camera, size=7, step_m=0.03, threads=5).tobytes()


def test_wrong_calls_are_refused() -> None:
    """Window, step, camera, shapes, dtypes and order: a typed error that names the argument."""
    depth, camera = np.ones((20, 30), np.float32), _camera(20, 30)
    for size in (1, 4, 11):
        with pytest.raises(ConfigError, match="size"):
            surface_normals(depth, camera, size=size)
    for step in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="step_m"):
            surface_normals(depth, camera, step_m=step)
    with pytest.raises(ConfigError, match="fx"):
        surface_normals(depth, Intrinsics(30, 20, 0.0, 1.0, 0.0, 0.0))
    with pytest.raises(ShapeError, match="intrinsics"):
        surface_normals(depth[:10], camera)
    with pytest.raises(ShapeError, match="contiguous"):
        surface_normals(np.ones((20, 60), np.float32)[:, ::2], camera)
    with pytest.raises(ShapeError, match="out must"):
        surface_normals(depth, camera, out=np.empty((20, 30, 2), np.float32))
    with pytest.raises(DtypeError, match="float32"):
        surface_normals(depth.astype(np.float64), camera)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (16, 16), (33, 65), (41, 18)])
def test_emulator_equals_cpu(shape: tuple[int, int], seed: int) -> None:
    """The kernel gives the same bits as the CPU for every window, in any order of threads."""
    depth, camera = _image(*shape, 1, 0.01), _camera(*shape)
    for size in SIZES:
        with order(seed):
            emulated = get(surface_normals(put(depth), camera, size=size, device="emu"))
        assert emulated.tobytes() == surface_normals(depth, camera, size=size).tobytes()
