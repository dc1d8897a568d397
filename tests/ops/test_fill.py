# SPDX-License-Identifier: Apache-2.0
"""Hole filling and metres: bit-equal to the numpy twin, for any threads, size and kind of hole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.depth import to_metres
from rasant.ops.fill import fill_holes
from reference import fill as twin


def _image(height: int, width: int, seed: int, holes: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.3, 0.6, (height, width)).astype(np.float32)
    missing = rng.random(depth.shape) < holes
    depth[missing] = rng.choice(np.array([0.0, np.nan, -0.2, np.inf, -np.inf], np.float32), int(missing.sum()))
    return depth


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 24), st.integers(1, 150), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 0.97, 1.0]),
    st.integers(0, 5), st.booleans(), st.sampled_from([1, 2, 5]),
)
def test_equals_the_twin_bit_for_bit(
    height: int, width: int, seed: int, holes: float, passes: int, clamp: bool, threads: int
) -> None:
    """Any size, share and kind of hole, number of passes and threads, both border rules."""
    depth = _image(height, width, seed, holes)
    filled = fill_holes(depth, passes=passes, clamp=clamp, threads=threads)
    assert filled.tobytes() == twin.fill_holes(depth, passes, clamp).tobytes()


def test_a_hole_closes_by_one_ring_a_pass() -> None:
    """A 5x5 hole keeps 9, 1 and 0 missing pixels after 1, 2 and 3 passes, and measured pixels never change."""
    depth = np.full((15, 15), 0.5, np.float32)
    depth[5:10, 5:10] = 0.0
    assert [int((fill_holes(depth, passes=k) == 0).sum()) for k in (0, 1, 2, 3)] == [25, 9, 1, 0]
    assert np.array_equal(fill_holes(depth, passes=3), np.full_like(depth, 0.5))


def test_border_rules() -> None:
    """The clamped window fills a corner; the reference rule leaves row 0 and column 0 alone."""
    depth = np.full((4, 4), 2.0, np.float32)
    depth[0, 2] = depth[2, 0] = depth[3, 3] = 0.0
    assert (fill_holes(depth, passes=1) == 2.0).all()
    quirk = fill_holes(depth, passes=1, clamp=False)
    assert quirk[0, 2] == 0.0 and quirk[2, 0] == 0.0 and quirk[3, 3] == 2.0


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 77), (65, 1), (31, 33), (32, 32), (40, 100)])
def test_emulator_equals_cpu(size: tuple[int, int], seed: int) -> None:
    """The kernels give the bits of the CPU: within a tile, across tiles, no pass, one launch, several (above 4 passes),
    both border rules, any kind of hole; and metres of counts and of floats."""
    for passes, clamp, holes in [(0, True, 0.5), (1, True, 0.97), (2, True, 0.3), (3, False, 0.9), (4, True, 0.97),
                                 (5, False, 0.97), (9, True, 0.99)]:  # fmt: skip
        depth = _image(*size, passes, holes)
        with order(seed):
            filled = fill_holes(put(depth), passes=passes, clamp=clamp, device="emu")
        assert get(filled).tobytes() == fill_holes(depth, passes=passes, clamp=clamp).tobytes()
    counts = np.random.default_rng(seed).integers(0, 65536, size, dtype=np.uint16)
    with order(seed):
        metres, again = to_metres(put(counts), 0.001, device="emu"), to_metres(put(depth), 0.5, device="emu")
    assert get(metres).tobytes() == to_metres(counts, 0.001).tobytes()
    assert get(again).tobytes() == to_metres(depth, 0.5).tobytes()


def test_passes_beyond_one_launch_keep_the_bits_of_huge_values() -> None:
    """Sums that overflow between two launches stay infinite, as within one; an all-invalid image stays 0."""
    depth = np.full((40, 40), 3e38, np.float32)
    depth[4:30, 5:33] = np.nan
    assert get(fill_holes(put(depth), passes=9, device="emu")).tobytes() == fill_holes(depth, passes=9).tobytes()
    nothing = np.full((33, 9), -np.inf, np.float32)
    assert not get(fill_holes(put(nothing), passes=3, device="emu")).any()


@pytest.mark.captures
def test_real_captures_with_large_holes(captures: Path) -> None:
    """Sensor frames with real shadows: equal to the twin, and only holes change."""
    files = sorted((captures / "pcl_mosd_kinect").rglob("*.png"))
    images = [image for f in files if (image := cv2.imread(str(f), cv2.IMREAD_UNCHANGED)) is not None]
    depths = [image for image in images if image.dtype == np.uint16][:3]
    assert depths
    for counts in depths:
        depth = to_metres(np.ascontiguousarray(counts), 0.001)
        filled = fill_holes(depth, passes=3, threads=2)
        assert np.array_equal(filled, twin.fill_holes(depth, 3))
        assert np.array_equal(filled[depth > 0], depth[depth > 0]) and (filled > 0).sum() > (depth > 0).sum()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.00025, 1.0]))
def test_metres_of_counts_and_floats(seed: int, scale: float) -> None:
    """Counts scale in float32; NaN and infinity become 0, a negative value survives for the range check."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 65536, (7, 33), dtype=np.uint16)
    assert np.array_equal(to_metres(counts, scale, threads=3), counts.astype(np.float32) * np.float32(scale))
    values = _image(7, 33, seed, 0.4)
    expected = np.where(np.isfinite(values), values, np.float32(0)) * np.float32(scale)
    assert np.array_equal(to_metres(values, scale), expected.astype(np.float32))


def test_wrong_calls_are_refused() -> None:
    """Passes, scale, overlap, dtype, shape, order and device: a typed error that names the argument."""
    depth = np.ones((6, 6), np.float32)
    for passes in (-1, 65):
        with pytest.raises(ConfigError, match="passes"):
            fill_holes(depth, passes=passes)
    with pytest.raises(ConfigError, match="shares memory"):
        fill_holes(depth, passes=1, out=depth)
    with pytest.raises(DtypeError, match="float32"):
        fill_holes(depth.astype(np.float64), passes=1)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="2 dimensions"):
        fill_holes(depth[None], passes=1)
    with pytest.raises(ShapeError, match="contiguous"):
        fill_holes(depth[:, ::2], passes=1)
    with pytest.raises(ShapeError, match="out must have shape"):
        fill_holes(depth, passes=1, out=np.empty((6, 5), np.float32))
    with pytest.raises(ConfigError, match="numpy array"):
        fill_holes(depth, passes=1, out=[1.0])  # type: ignore[arg-type]
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="scale"):
            to_metres(depth, scale)
    with pytest.raises(DtypeError, match="uint16"):
        to_metres(depth.astype(np.int32), 0.001)  # type: ignore[arg-type]
    with pytest.raises(DeviceUnavailable, match="cpu"):
        fill_holes(depth, passes=1, device="tpu")
    with pytest.raises(ConfigError, match="to_device"):
        fill_holes(put(depth), passes=1, out=depth.copy(), device="emu")
