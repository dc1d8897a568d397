# SPDX-License-Identifier: Apache-2.0
"""The score operation: bit-equal to its twin, true to the formula, and blind to no non-finite value."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.device import empty
from rasant.ops.score import (
    MAX_KERNEL,
    RESULT_BYTES,
    ScoreResult,
    read_result,
    score_map,
    score_map_from_probability,
)
from reference import score as twin

BAD = [np.nan, np.inf, -np.inf]


def _maps(size: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"out_raw": np.full(size, -1, np.float32), "out_pooled": np.full(size, -1, np.float32)}


def _logits(height: int, width: int, seed: int, spread: float = 6.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (2, height, width)).astype(np.float32)


@settings(max_examples=250, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 90), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 7, 11, 21, 45, 127]),
    st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0, 0, 2]), st.integers(1, 9),
)
def test_equals_the_twin_bit_for_bit(
    height: int, width: int, seed: int, kernel: int, ignored: float, bad: int, threads: int
) -> None:
    """Any size, kernel, ignore mask, number of threads and share of non-finite logits."""
    rng = np.random.default_rng(seed)
    logits = _logits(height, width, seed, 10.0 ** rng.uniform(-1, 2))
    logits.flat[rng.integers(0, logits.size, bad)] = rng.choice(BAD, bad)
    ignore = rng.random((height, width)) < ignored if ignored else None
    out = _maps((height, width))
    result = score_map(logits, kernel=kernel, ignore=ignore, threads=threads, **out)
    raw, pooled, expected = twin.score_map(logits, kernel, ignore)
    assert out["out_raw"].tobytes() == raw.tobytes() and out["out_pooled"].tobytes() == pooled.tobytes()
    assert np.array_equal([result.score, result.y, result.x, result.nonfinite], expected, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 21]))
def test_probability_map_equals_the_twin(height: int, width: int, seed: int, kernel: int) -> None:
    """A map of probabilities follows the same path; values outside [0, 1] are clipped and counted."""
    rng = np.random.default_rng(seed)
    probability = rng.uniform(-0.2, 1.2, (height, width)).astype(np.float32)
    out = _maps((height, width))
    result = score_map_from_probability(probability, kernel=kernel, threads=2, **out)
    raw, pooled, expected = twin.score_probability(probability, kernel)
    assert np.array_equal(out["out_raw"], raw) and np.array_equal(out["out_pooled"], pooled)
    assert (result.score, result.y, result.x) == expected[:3]
    assert result.clipped == np.count_nonzero((probability < 0) | (probability > 1))


def _device_maps(size: tuple[int, int]) -> dict[str, Any]:
    return {name: put(array) for name, array in _maps(size).items()}


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("kernel", [1, 3, 21, 45, 127])
@pytest.mark.parametrize("size", [(1, 1), (1, 333), (70, 1), (33, 65), (64, 160), (40, 161)])
def test_emulator_equals_cpu(size: tuple[int, int], kernel: int, seed: int) -> None:
    """The kernels give the bits of the CPU in both maps and all numbers, with and without ignored and bad pixels, for
    logits and probabilities."""
    rng = np.random.default_rng(seed)
    logits, ignore = _logits(*size, seed), rng.random(size) < 0.3
    spoilt = logits.copy()
    spoilt.flat[rng.integers(0, spoilt.size, 3)] = BAD
    values = rng.uniform(-0.2, 1.2, size).astype(np.float32)
    for call, source, mask in [
        (score_map, logits, None), (score_map, logits, ignore), (score_map, spoilt, ignore),
        (score_map, logits, np.ones(size, bool)), (score_map_from_probability, values, ignore),
    ]:  # fmt: skip
        there, here = _device_maps(size), _maps(size)
        with order(seed):
            hidden = None if mask is None else put(mask)
            found = call(put(source), kernel=kernel, ignore=hidden, device="emu", **there)
        expected = call(source, kernel=kernel, ignore=mask, **here)
        assert np.array_equal(list(astuple(found)), list(astuple(expected)), equal_nan=True)
        for name, array in here.items():
            assert get(there[name]).tobytes() == array.tobytes(), name


def test_numbers_stay_on_the_device_when_a_place_is_given() -> None:
    """With result= the call returns a score that passes nothing, and the numbers are read when they are wanted."""
    logits = np.zeros((2, 30, 30), np.float32)
    place = empty((RESULT_BYTES,), np.uint8, device="emu")
    unread = score_map(put(logits), kernel=3, result=place, device="emu")
    assert np.isnan(unread.score)
    assert read_result(place) == ScoreResult(0.5, 1, 1, 0) == score_map(put(logits), kernel=3, device="emu")
    for wrong in (empty((8,), np.uint8, device="emu"), empty((RESULT_BYTES,), np.int8, device="emu")):
        with pytest.raises((ShapeError, DtypeError), match="result"):
            score_map(put(logits), kernel=3, result=wrong, device="emu")
    with pytest.raises(ConfigError, match="result is for arrays in device memory"):
        score_map(logits, kernel=3, result=np.empty(RESULT_BYTES, np.uint8))


def test_sigmoid_is_within_4_ulp() -> None:
    """raw is within 4 ULP of 1 / (1 + exp(-d)) in float64 for every |d| <= 87."""
    d = np.linspace(-87, 87, 1 << 18, dtype=np.float32).reshape(512, 512)
    out = _maps(d.shape)
    score_map(np.stack([np.zeros_like(d), d]), kernel=1, **out)
    exact = 1 / (1 + np.exp(-d.astype(np.float64)))
    assert (np.abs(out["out_raw"] - exact) / np.spacing(exact.astype(np.float32))).max() <= 4


@pytest.mark.parametrize(("kernel", "bound"), [(1, 2.0e-7), (21, 2.4e-7), (45, 6.0e-7), (127, 4.0e-6)])
def test_pooled_is_the_zero_padded_mean_within_its_bound(kernel: int, bound: float) -> None:
    """pooled equals the float64 box filter with constant divisor and zero border within the documented bound."""
    logits = _logits(150, 200, 3)
    out = _maps((150, 200))
    score_map(logits, kernel=kernel, **out)
    raw = out["out_raw"].astype(np.float64)
    exact = cv2.blur(np.pad(raw, 64), (kernel, kernel), borderType=cv2.BORDER_CONSTANT)[64:-64, 64:-64]
    assert np.abs(out["out_pooled"] - exact).max() <= bound


def test_a_single_bad_logit_is_counted_at_every_one_of_4096_positions() -> None:
    """A NaN or infinity anywhere makes nonfinite 1 and the score NaN, and leaves every other pixel of raw as it was."""
    logits = _logits(64, 64, 1)
    clean, out = _maps((64, 64)), _maps((64, 64))
    score_map(logits, kernel=21, **clean)
    for place in range(4096):
        y, x, channel = place // 64, place % 64, place % 2
        kept = logits[channel, y, x]
        logits[channel, y, x] = BAD[place % 3]
        result = score_map(logits, kernel=21, **out)
        logits[channel, y, x] = kept
        assert result.nonfinite == 1 and np.isnan(result.score) and (result.y, result.x) == (-1, -1)
        assert np.isnan(out["out_raw"][y, x]) and np.isfinite(out["out_pooled"]).all()
        out["out_raw"][y, x] = clean["out_raw"][y, x]
        assert np.array_equal(out["out_raw"], clean["out_raw"])


def test_a_bad_logit_under_the_ignore_mask_is_counted_too() -> None:
    """Ignoring a pixel hides a defect, not a broken network."""
    logits = np.zeros((2, 5, 5), np.float32)
    logits[0, 2, 2] = np.nan
    assert score_map(logits, kernel=3, ignore=np.ones((5, 5), bool)).nonfinite == 1


def test_extreme_finite_logits_have_their_limit_values() -> None:
    """A difference that overflows to infinity is probability 1 or (nearly) 0; it is not counted as non-finite."""
    huge = np.float32(3e38)
    logits = np.array([[[-huge, huge, 0]], [[huge, -huge, 0]]], np.float32)
    out = _maps((1, 3))
    result = score_map(logits, kernel=1, **out)
    assert result.nonfinite == 0 and result.score == 1.0
    assert out["out_raw"][0, 0] == 1.0 and 0 < out["out_raw"][0, 1] < 2e-38 and out["out_raw"][0, 2] == 0.5


def test_ignored_pixels_are_zero_and_never_the_maximum() -> None:
    """A defect under the mask leaves no trace in either map; with everything ignored there is no score."""
    logits = np.zeros((2, 40, 40), np.float32)
    logits[0] = 20
    logits[1, 10:16, 10:16] = 40
    ignore = np.zeros((40, 40), bool)
    ignore[8:18, 8:18] = True
    out = _maps((40, 40))
    result = score_map(logits, kernel=5, ignore=ignore, **out)
    assert result.score < 1e-7 and not ignore[result.y, result.x]
    assert not out["out_raw"][ignore].any() and not out["out_pooled"][ignore].any()
    nothing = score_map(logits, kernel=5, ignore=np.ones((40, 40), bool))
    assert np.isnan(nothing.score) and (nothing.y, nothing.x, nothing.nonfinite) == (-1, -1, 0)


def test_the_maximum_is_the_first_in_row_order() -> None:
    """Of equal maxima the topmost, then leftmost one is named, for any number of threads."""
    logits = np.zeros((2, 30, 30), np.float32)
    for threads in (1, 2, 3, 30, 99):
        assert score_map(logits, kernel=3, threads=threads) == ScoreResult(0.5, 1, 1, 0)


def test_one_pixel_and_kernels_larger_than_the_map() -> None:
    """The divisor stays kernel squared however little of the window lies inside."""
    result = score_map(np.zeros((2, 1, 1), np.float32), kernel=21)
    assert result.score == pytest.approx(0.5 / 441, abs=1e-9) and (result.y, result.x) == (0, 0)


@pytest.mark.parametrize("kernel", [0, 2, -3, MAX_KERNEL + 2])
def test_wrong_kernels_are_refused(kernel: int) -> None:
    """Even, non-positive and too large kernels name the allowed ones."""
    with pytest.raises(ConfigError, match=r"odd and in 1 \.\. 127"):
        score_map(np.zeros((2, 4, 4), np.float32), kernel=kernel)


def test_wrong_arrays_are_refused() -> None:
    """Wrong dtype, shape, order, size of a mask or buffer, and another device: a typed error each, no conversion."""
    good = np.zeros((2, 4, 6), np.float32)
    with pytest.raises(DtypeError, match="logits must be float32"):
        score_map(good.astype(np.float64), kernel=3)
    with pytest.raises(ShapeError, match=r"\(2, h, w\)"):
        score_map(np.zeros((3, 4, 6), np.float32), kernel=3)
    with pytest.raises(ShapeError, match="C-contiguous"):
        score_map(good.transpose(0, 2, 1), kernel=3)
    with pytest.raises(ShapeError, match="ignore must have shape"):
        score_map(good, kernel=3, ignore=np.zeros((6, 4), bool))
    with pytest.raises(ShapeError, match="out_raw must have shape"):
        score_map(good, kernel=3, out_raw=np.zeros((4, 5), np.float32))
    with pytest.raises(ConfigError, match="same array"):
        score_map(good, kernel=3, out_raw=(same := np.zeros((4, 6), np.float32)), out_pooled=same)
    with pytest.raises(DeviceUnavailable):
        score_map(good, kernel=3, device="tpu")
