# SPDX-License-Identifier: Apache-2.0
"""Perlin noise: equal to the textbook, seeded per field, the same bits for any thread count and batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.perlin import perlin_field, perlin_mask
from reference import perlin as twin

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
SEEDS = st.integers(0, 2**64 - 1)


def test_the_twins_generator_gives_the_known_answers_of_random123() -> None:
    """Philox 4x32-10 equals the three known-answer vectors published with Random123."""
    ones = 0xFFFFFFFF
    assert twin.philox((0, 0), (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert twin.philox((ones, ones), (ones,) * 4) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi_counter, pi_key = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert twin.philox(pi_key, pi_counter) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@settings(max_examples=150, deadline=None)
@given(SIZES, st.data(), SEEDS, SEEDS)
def test_a_field_equals_the_textbook(size: tuple[int, int], data: st.DataObject, seed: int, sample: int) -> None:
    """Any size, lattice (dividing or not), 64-bit seed and counter: within 2e-6 of float64 on the known generator."""
    lattice = data.draw(st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    field = perlin_field(size, lattice, seed=seed, first=sample)
    assert field.shape == (1, *size) and field.dtype == np.float32
    np.testing.assert_allclose(field[0], twin.perlin_field(size, lattice, seed, sample), rtol=0, atol=2e-6)


@settings(max_examples=80, deadline=None)
@given(SIZES, st.data(), st.floats(-4.0, 4.0, width=32))
def test_a_rotated_field_equals_the_textbook(size: tuple[int, int], data: st.DataObject, angle: float) -> None:
    """Rotation about the centre with zero fill, within the bound that coordinates in float32 allow."""
    lattice = data.draw(st.tuples(st.integers(1, min(size[0], 8)), st.integers(1, min(size[1], 8))))
    field = perlin_field(size, lattice, seed=3, first=7, angle=angle)
    np.testing.assert_allclose(field[0], twin.perlin_field(size, lattice, 3, 7, angle), rtol=0, atol=5e-5)


def test_the_textbook_holds_at_full_size() -> None:
    """256 x 256 with a 64 x 32 lattice, turned and not: no block, chunk or vector border shows."""
    plain, turned = perlin_field((256, 256), [(64, 32), (64, 32)], seed=11, angle=[0.0, 0.6])
    np.testing.assert_allclose(plain, twin.perlin_field((256, 256), (64, 32), 11, 0), rtol=0, atol=2e-6)
    np.testing.assert_allclose(turned, twin.perlin_field((256, 256), (64, 32), 11, 1, 0.6), rtol=0, atol=2e-4)


def test_half_a_turn_mirrors_both_axes_and_keeps_the_sense_of_rotation() -> None:
    """Pi turns the field upside down; a quarter turn moves the right half to the bottom (clockwise on the screen)."""
    plain = perlin_field((33, 33), (4, 4), seed=5)[0]
    np.testing.assert_allclose(perlin_field((33, 33), (4, 4), seed=5, angle=np.pi)[0], plain[::-1, ::-1], atol=1e-4)
    quarter = perlin_field((33, 33), (4, 4), seed=5, angle=np.pi / 2)[0]
    np.testing.assert_allclose(quarter, np.rot90(plain, -1), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_bits_do_not_depend_on_threads_or_batch(threads: int) -> None:
    """Field k of a batch is field `first + k` of the seed, bit for bit, for any number of threads."""
    lattice = [(1, 1), (4, 8), (16, 2), (5, 7), (64, 64), (32, 1)]
    angle = [0.0, 0.3, -1.2, 0.0, 1.5, 2.9]
    batch = perlin_field((64, 80), lattice, seed=9, first=100, angle=angle, threads=threads)
    for k, (cells, turn) in enumerate(zip(lattice, angle, strict=True)):
        alone = perlin_field((64, 80), cells, seed=9, first=100 + k, angle=turn)
        assert alone.tobytes() == batch[k].tobytes()


def test_a_small_field_after_a_large_one_is_the_same() -> None:
    """Kept buffers of an earlier, larger field leave no trace."""
    before = perlin_field((20, 30), (4, 4), seed=1, angle=0.4).tobytes()
    perlin_field((200, 300), (40, 60), seed=2, angle=0.4)
    assert perlin_field((20, 30), (4, 4), seed=1, angle=0.4).tobytes() == before


def test_statistics_are_those_of_the_published_construction() -> None:
    """Zero on nodes, |field| <= 1, mean near 0, std 0.28-0.34, and 5 % (3.5-6.5) of P > 0.5 after rotation."""
    rng = np.random.default_rng(0)
    lattice = 2 ** rng.integers(0, 6, (400, 2))
    lattice = lattice[(lattice > 1).any(axis=1)]
    plain = perlin_field((256, 256), lattice, seed=4)
    assert np.abs(plain).max() <= 1.0
    assert abs(plain.mean()) < 0.01
    assert 0.28 < plain.std() < 0.34
    for field, (rows, cols) in zip(plain, lattice, strict=True):
        assert not field[:: 256 // rows, :: 256 // cols].any()
    turned = perlin_field((256, 256), lattice, seed=4, angle=rng.uniform(-np.pi / 2, np.pi / 2, len(lattice)))
    assert 0.035 < perlin_mask(turned, 0.5).mean() < 0.065


@pytest.mark.parametrize("mode", ["positive", "absolute", "ternary"])
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0, width=32))
def test_masks_are_bit_exact(mode: str, seed: int, threshold: float) -> None:
    """Every mode equals its definition, the value at the threshold included; NaN is no anomaly."""
    field = np.random.default_rng(seed).choice(
        np.array([-1, -0.5, 0, 0.5, 1, threshold, -threshold, np.nan], np.float32), (2, 9, 37)
    )
    expected = twin.perlin_mask(field, threshold, mode)
    assert np.array_equal(perlin_mask(field, threshold, mode=mode), expected)  # type: ignore[arg-type]
    assert np.array_equal(perlin_mask(field[1], [threshold], mode=mode), expected[1])  # type: ignore[arg-type]


def test_out_is_written_and_returned() -> None:
    """`out=` is the array that comes back, and it decides N when lattice and angle are single."""
    out = np.empty((3, 16, 16), np.float32)
    assert perlin_field((16, 16), (2, 2), seed=0, out=out) is out
    mask = np.empty(out.shape, np.int8)
    assert perlin_mask(out, [0.1, 0.2, 0.3], out=mask, threads=2) is mask
    assert np.array_equal(mask[2], twin.perlin_mask(out[2], 0.3, "positive"))


def test_wrong_calls_are_refused() -> None:
    """Lattice, angle, seed, dtype, shape, order, read-only, mode and device: a typed error, never a crash."""
    for lattice in ((0, 1), (1, 9), (-1, 2)):
        with pytest.raises(ConfigError, match="lattice"):
            perlin_field((8, 8), lattice, seed=0)
    with pytest.raises(ConfigError, match="angle"):
        perlin_field((8, 8), (1, 1), seed=0, angle=float("nan"))
    with pytest.raises(ConfigError, match="seed"):
        perlin_field((8, 8), (1, 1), seed=-1)
    with pytest.raises(ShapeError, match="size"):
        perlin_field((8, 8), (1, 1), seed=0, out=np.empty((1, 8, 9), np.float32))
    with pytest.raises(ShapeError, match="angle"):
        perlin_field((8, 8), [(1, 1)] * 3, seed=0, angle=[0.0, 1.0])
    with pytest.raises(DtypeError, match="float32"):
        perlin_field((8, 8), (1, 1), seed=0, out=np.empty((1, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="contiguous"):
        perlin_field((8, 8), (1, 1), seed=0, out=np.empty((1, 8, 16), np.float32)[..., ::2])
    locked = np.empty((1, 8, 8), np.float32)
    locked.flags.writeable = False
    with pytest.raises(ConfigError, match="read-only"):
        perlin_field((8, 8), (1, 1), seed=0, out=locked)
    with pytest.raises(ShapeError, match="empty"):
        perlin_field((0, 8), (1, 1), seed=0)
    with pytest.raises(ConfigError, match="mode"):
        perlin_mask(np.zeros((1, 8, 8), np.float32), 0.5, mode="both")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="threshold"):
        perlin_mask(np.zeros((1, 8, 8), np.float32), -0.5)
    with pytest.raises(DeviceUnavailable, match="cpu"):
        perlin_field((8, 8), (1, 1), seed=0, device="cuda")
