# SPDX-License-Identifier: Apache-2.0
"""Farthest points and nearest neighbours: bit-equal to the numpy twin for any cloud, mask and device."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.sample import farthest_points, nearest_neighbours
from reference import sample as twin

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ["surface", "lattice", "line", "one place", "clusters", "huge", "hostile"]


def cloud(kind: str, count: int, seed: int) -> np.ndarray:
    """(count, 3) float32. On the lattice most distances are equal; huge ones overflow; hostile holds NaN and inf."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.05, 0.05, (count, 3))
    points[:, 2] = 0.5 + 3 * (points[:, 0] ** 2 + points[:, 1] ** 2) + rng.normal(0, 1e-4, count)
    if kind == "lattice":
        points = rng.integers(-3, 4, (count, 3)) * 0.25
    elif kind == "line":
        points = np.outer(rng.normal(0, 1, count), [1.0, -2.0, 0.5])
    elif kind == "one place":
        points = np.tile(rng.normal(0, 1, 3), (count, 1))
    elif kind == "clusters":
        points = rng.normal(0, 1, (4, 3))[rng.integers(0, 4, count)] + rng.normal(0, 1e-4, (count, 3))
    elif kind == "huge":
        points = rng.normal(0, 1, (count, 3)) * 10.0 ** rng.integers(-30, 38, (count, 1))
    elif kind == "hostile":
        points.flat[rng.random(points.size) < 0.2] = np.nan
        points.flat[rng.random(points.size) < 0.1] = np.inf
    return points.astype(np.float32)


def mask(count: int, seed: int, share: float) -> np.ndarray | None:
    """None, or so large a share of True."""
    return None if share == 1.0 else np.random.default_rng(seed + 1).random(count) < share


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 300), SEEDS, st.sampled_from([1.0, 0.5, 0.02, 0.0]), st.data())
def test_farthest_points_equal_the_twin(kind: str, count: int, seed: int, share: float, data: st.DataObject) -> None:
    """Any cloud, mask, start and number of centres, more than there are points too."""
    points, valid = cloud(kind, count, seed), mask(count, seed, share)
    start, wanted = data.draw(st.integers(0, count - 1)), data.draw(st.integers(1, count + 5))
    picked = farthest_points(points, wanted, valid=valid, start=start)
    assert picked.tolist() == twin.farthest_points(points, wanted, valid, start).tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(1, 400), st.integers(1, 20), SEEDS, st.sampled_from([1.0, 0.5, 0.02, 0.0]),
    st.sampled_from([1, 2, 3, 16, 17, 40, 128, 600, 1024]), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_neighbours_equal_the_twin(
    kind: str, count: int, queries: int, seed: int, share: float, k: int, threads: int
) -> None:
    """Any cloud, mask, k and number of threads: the same indices and the same bits of distance."""
    points, valid = cloud(kind, count, seed), mask(count, seed, share)
    near = points[np.random.default_rng(seed).integers(0, count, queries)]
    asked = np.where(np.arange(queries)[:, None] % 2, near, cloud(kind, queries, seed + 2))
    indices, squared = nearest_neighbours(asked, points, k, valid=valid, threads=threads)
    expected = twin.nearest_neighbours(asked, points, k, valid)
    assert indices.tolist() == expected[0].tolist()
    assert squared.tobytes() == expected[1].tobytes()


def test_many_points() -> None:
    """5,000 points of a surface with noise: hundreds of blocks, and still the twin's answer."""
    points = cloud("surface", 5000, 7)
    picked = farthest_points(points, 200, start=17)
    assert picked.tolist() == twin.farthest_points(points, 200, start=17).tolist()
    for k in (1, 12, 100):
        indices, squared = nearest_neighbours(points[picked], points, k, threads=2)
        expected = twin.nearest_neighbours(points[picked], points, k)
        assert indices.tolist() == expected[0].tolist() and squared.tobytes() == expected[1].tobytes()


def test_centres_cover_the_cloud() -> None:
    """Each pick is as far from those before it as any point; the distances never grow."""
    points = cloud("surface", 1000, 3)
    picked = farthest_points(points, 50)
    gaps = [twin.squared_distances(points[picked[n : n + 1]], points[picked[:n]]).min() for n in range(1, 50)]
    assert picked[0] == 0 and all(a >= b for a, b in itertools.pairwise(gaps))
    assert nearest_neighbours(points, points[picked], 1)[1].max() <= gaps[-1]


def test_every_point_is_picked_once() -> None:
    """With as many centres as points the result is a permutation, coinciding points at its end in index order."""
    points = np.zeros((40, 3), np.float32)
    points[10], points[20] = 1.0, 3.0
    rest = [i for i in range(40) if i not in (0, 10, 20)]
    assert farthest_points(points, 45).tolist() == [0, 20, 10, *rest, *[-1] * 5]


@pytest.mark.captures
def test_a_real_depth_image(captures: Path) -> None:
    """A sensor frame with holes as a cloud of fixed capacity: centres are valid, neighbours equal the twin's."""
    images = (cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in sorted((captures / "pcl_mosd_kinect").rglob("*.png")))
    depth = next(image for image in images if image is not None and image.dtype == np.uint16)[::6, ::6]
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points = (np.stack([u * depth / 90.0, v * depth / 90.0, depth], -1) * 0.001).astype(np.float32).reshape(-1, 3)
    valid = points[:, 2] > 0
    picked = farthest_points(points, 64, valid=valid)
    assert valid[picked].all() and len(set(picked.tolist())) == 64
    indices, squared = nearest_neighbours(points[picked], points, 32, valid=valid)
    expected = twin.nearest_neighbours(points[picked], points, 32, valid)
    assert indices.tolist() == expected[0].tolist() and squared.tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 31, 33, 150])
def test_emulator_equals_cpu(kind: str, count: int, seed: int) -> None:
    """The kernels give the bits of the CPU in every order of threads, with and without a mask."""
    points, asked = cloud(kind, count, seed), cloud(kind, 3, seed + 9)
    for valid in (None, np.arange(count) % 3 != 0):
        there, there_valid = put(points), None if valid is None else put(valid)
        with order(seed):
            picked = farthest_points(there, count + 2, valid=there_valid, start=count // 2, device="emu")
            expected = farthest_points(points, count + 2, valid=valid, start=count // 2)
            assert get(picked).tolist() == expected.tolist()
            for k in (1, 40):
                indices, squared = nearest_neighbours(put(asked), there, k, valid=there_valid, device="emu")
                cpu = nearest_neighbours(asked, points, k, valid=valid)
                assert get(indices).tolist() == cpu[0].tolist() and get(squared).tobytes() == cpu[1].tobytes()


def test_results_go_to_the_callers_buffers() -> None:
    """out is written and returned."""
    points = cloud("surface", 50, 0)
    out, indices, squared = np.empty(5, np.int32), np.empty((50, 2), np.int32), np.empty((50, 2), np.float32)
    assert farthest_points(points, 5, out=out) is out
    result = nearest_neighbours(points, points, 2, out_indices=indices, out_squared=squared)
    assert result[0] is indices and result[1] is squared and (indices[:, 0] == np.arange(50)).all()


def test_wrong_calls_are_refused() -> None:
    """Counts, start, k, shapes, dtypes and overlap: a typed error that names the argument."""
    points = cloud("surface", 20, 0)
    for count in (0, -3):
        with pytest.raises(ConfigError, match="count"):
            farthest_points(points, count)
    for start in (-1, 20):
        with pytest.raises(ConfigError, match="start"):
            farthest_points(points, 3, start=start)
    for k in (0, 1025):
        with pytest.raises(ConfigError, match="k must be"):
            nearest_neighbours(points, points, k)
    with pytest.raises(ShapeError, match="out must be"):
        farthest_points(points, 3, out=np.empty(4, np.int32))
    with pytest.raises(ShapeError, match="out_indices"):
        nearest_neighbours(points, points, 3, out_indices=np.empty((20, 4), np.int32))
    with pytest.raises(ShapeError, match="points must have shape"):
        farthest_points(points[:, :2].copy(), 3)
    with pytest.raises(ShapeError, match="contiguous"):
        nearest_neighbours(points[::2], points, 3)
    with pytest.raises(ShapeError, match="valid must have shape"):
        farthest_points(points, 3, valid=np.ones(19, np.bool_))
    with pytest.raises(DtypeError, match="valid must be bool"):
        farthest_points(points, 3, valid=np.ones(20, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="float32"):
        nearest_neighbours(points.astype(np.float64), points, 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares memory"):
        farthest_points(points, 3, out=points.view(np.int32).reshape(-1)[:3])
