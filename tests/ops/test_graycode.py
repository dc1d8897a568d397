# SPDX-License-Identifier: Apache-2.0
"""Gray code: every position comes back, finer than a stripe; what is dark or lit by others is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.graycode import decode_gray
from reference import graycode as twin


def _captures(seed: int, bits: int, shape: tuple[int, int], noise: float = 3.0) -> np.ndarray:
    """A blurred code with noise, shadows and clipped pixels: (2 bits, H, W) uint8."""
    rng = np.random.default_rng(seed)
    lines = twin.patterns(1 << bits, 1, bits).astype(np.float64) / 255
    at = rng.uniform(0, (1 << bits) - 1, shape)
    low = np.floor(at).astype(int)
    light = lines[:, low] * (1 - at + low) + lines[:, np.minimum(low + 1, (1 << bits) - 1)] * (at - low)
    albedo = rng.choice([0.0, 20.0, 150.0, 300.0], shape, p=[0.2, 0.2, 0.5, 0.1])
    levels = np.round(20 + albedo * light + rng.normal(0, noise, light.shape))
    return np.clip(levels, 0, 255).astype(np.uint8, order="C")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 11), st.integers(1, 9), st.integers(1, 40), st.integers(1, 5),
    st.integers(1, 40), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_equals_the_definition(
    seed: int, bits: int, rows: int, cols: int, stripe: int, min_step: int, threads: int
) -> None:
    """Any number of bits, size, noise and threads: positions and confidences are those of the definition."""
    captures = _captures(seed, bits, (rows, cols))
    size = max(1, (stripe << bits) * 3 // 4)
    position, confidence = decode_gray(captures, size=size, stripe=stripe, min_step=min_step, threads=threads)
    wanted, sure = twin.decode_gray(captures, size, stripe, min_step)
    assert np.array_equal(confidence, sure) and np.array_equal(np.isnan(position), sure == 0)
    np.testing.assert_allclose(position, wanted, rtol=1e-7, atol=2e-4)


@pytest.mark.parametrize(("size", "stripe"), [(1, 1), (2, 1), (800, 1), (1280, 1), (1920, 8), (1025, 4)])
def test_every_column_comes_back(size: int, stripe: int) -> None:
    """Sharp patterns give the middle of each stripe, for sizes that are no power of two as well."""
    bits = max(1, (-(-size // stripe) - 1).bit_length())
    captures = twin.patterns(size, stripe, bits)[:, None, :]
    position, confidence = decode_gray(captures, size=size, stripe=stripe)
    assert np.array_equal(position[0], (np.arange(size) // stripe + 0.5) * stripe - 0.5) and (confidence == 255).all()


def test_a_pixel_between_two_columns_lies_between_them() -> None:
    """Linear blur between columns: the position is within 0.13 of a column, where codes alone are off by up to 0.5."""
    at = np.linspace(1, 1021, 4001)
    low = np.floor(at).astype(int)
    lines = twin.patterns(1024, 1, 10).astype(np.float64)
    light = lines[:, low] * (1 - at + low) + lines[:, low + 1] * (at - low)
    captures = np.ascontiguousarray(np.round(20 + 0.6 * light).astype(np.uint8)[:, None, :])
    error = np.abs(decode_gray(captures, size=1024)[0][0] - at)
    assert error.max() < 0.13 and error.mean() < 0.08


@pytest.mark.parametrize("bit", [0, 3, 5])
def test_one_unsure_bit_that_matters_is_refused(bit: int) -> None:
    """A bit that tells nothing refuses every pixel but those at its own borders, where either value is right."""
    captures = np.repeat(twin.patterns(256, 1, 8)[:, None, :], 2, axis=1) // 2 + 30
    captures[2 * bit : 2 * bit + 2, 1] = 90
    confidence = decode_gray(captures, size=256)[1]
    codes, others = _flipped(bit)
    at_border = np.abs(codes - others) == 1
    assert (confidence[0] > 0).all() and np.array_equal(confidence[1] > 0, at_border)
    assert 0 < at_border.sum() <= 64


def _flipped(bit: int) -> tuple[np.ndarray, np.ndarray]:
    """Each code of 8 bits, and the code that it becomes when that bit is read wrongly."""
    codes = np.arange(256)
    back = np.argsort(twin.encode(codes))
    return codes, back[twin.encode(codes) ^ (1 << (7 - bit))]


def test_shadow_has_no_position() -> None:
    """Noise without light, even much of it, never becomes a position."""
    captures = np.clip(np.random.default_rng(0).normal(20, 4, (22, 200, 300)), 0, 255).astype(np.uint8, order="C")
    position, confidence = decode_gray(captures, size=1280)
    assert np.isnan(position).mean() > 0.9999 and (confidence > 0).mean() < 1e-4


def test_wrong_calls_are_refused() -> None:
    """Stack, size, stripe, threshold, dtypes and order: a typed error that names the argument."""
    captures = np.zeros((8, 4, 6), np.uint8)
    with pytest.raises(ShapeError, match="captures"):
        decode_gray(captures[0], size=16)
    with pytest.raises(ShapeError, match="inverse"):
        decode_gray(captures[:7], size=16)
    with pytest.raises(ShapeError, match="inverse"):
        decode_gray(np.zeros((32, 1, 1), np.uint8), size=16)
    for size in (0, 17, -1):
        with pytest.raises(ConfigError, match="size"):
            decode_gray(captures, size=size)
    with pytest.raises(ConfigError, match="stripe"):
        decode_gray(captures, size=16, stripe=0)
    for step in (0, 256):
        with pytest.raises(ConfigError, match="min_step"):
            decode_gray(captures, size=16, min_step=step)
    with pytest.raises(DtypeError, match="captures"):
        decode_gray(captures.astype(np.float32), size=16)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="contiguous"):
        decode_gray(captures[:, :, ::2], size=16)
    with pytest.raises(ShapeError, match="out_confidence"):
        decode_gray(captures, size=16, out_confidence=np.empty((4, 5), np.uint8))


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (16, 16), (33, 65)])
def test_emulator_equals_cpu(shape: tuple[int, int], seed: int) -> None:
    """The kernel gives the same bits as the CPU, in any order of threads."""
    captures = _captures(1, 9, shape)
    with order(seed):
        emulated = decode_gray(put(captures), size=500, device="emu")
    for ours, wanted in zip(map(get, emulated), decode_gray(captures, size=500), strict=True):
        assert ours.tobytes() == wanted.tobytes()
