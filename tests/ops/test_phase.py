# SPDX-License-Identifier: Apache-2.0
"""Phase shifting: exact on sinusoids, blind to even light, nearest to the Gray code, never sure of clipped pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.phase import decode_phase
from reference import phase as twin


def _scene(seed: int, shape: tuple[int, int], period: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(captures uint8, coarse float32): noise, dark and clipped pixels, and coarse positions off or unknown."""
    rng = np.random.default_rng(seed)
    position = rng.uniform(-0.5, 500, shape)
    levels = twin.captures_of(position, period, steps, 120.0, 1.0) - 120
    bright = rng.choice([0.0, 6.0, 90.0, 150.0], shape, p=[0.1, 0.1, 0.7, 0.1])
    captures = np.clip(np.round(120 + bright * levels + rng.normal(0, 1.5, levels.shape)), 0, 255)
    coarse = position + rng.choice([0.3, -0.9, 1.9, 40.0, np.nan], shape, p=[0.4, 0.4, 0.1, 0.05, 0.05])
    return captures.astype(np.uint8), coarse.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 40), st.sampled_from([3, 4, 5, 8, 16, 32]),
    st.sampled_from([2.0, 8.0, 16.0, 32.5]), st.booleans(), st.sampled_from([254, 255]), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_equals_the_transform(
    seed: int, rows: int, cols: int, steps: int, period: float, hybrid: bool, max_level: int, threads: int
) -> None:
    """Any steps, period, noise and threads: positions are the Fourier transform's within 0.001 of a period."""
    captures, coarse = _scene(seed, (rows, cols), period, steps)
    near = coarse if hybrid else None
    position, confidence = decode_phase(captures, near, period=period, max_level=max_level, threads=threads)
    wanted, sure = twin.decode_phase(captures, near, period, 5.0, max_level, 2.0)
    off = np.abs(position - wanted)
    wrapped = np.minimum(off, np.abs(off - period))  # at the seam of a period or of the limit, rounding decides
    assert np.count_nonzero((confidence > 0) != (sure > 0)) <= 1 + 0.002 * sure.size
    both = (confidence > 0) & (sure > 0)
    assert np.abs(confidence.astype(int) - sure)[both].max(initial=0) <= 1
    assert wrapped[both].max(initial=0) <= 1e-3 * period and np.isnan(position[confidence == 0]).all()


def test_even_light_and_gamma_change_nothing() -> None:
    """Ambient light moves no position at all; a gamma of 1.2 moves none by more than 0.01 px with 8 steps."""
    at = np.linspace(0, 63.9, 640)[None]
    coarse = at.astype(np.float32)
    plain = np.round(twin.captures_of(at, 16.0, 8, 100, 90)).astype(np.uint8)
    position = decode_phase(plain, coarse, period=16.0)[0]
    assert np.abs(position - at).max() < 0.02
    assert np.abs(decode_phase(plain + np.uint8(40), coarse, period=16.0)[0] - position).max() < 1e-3
    bent = np.round(230 * (twin.captures_of(at, 16.0, 8, 0.5, 0.5)) ** 1.2).astype(np.uint8)
    assert np.abs(decode_phase(bent, coarse, period=16.0)[0] - at).max() < 0.02


def test_the_nearest_period_is_taken() -> None:
    """A coarse position off by less than half a period costs no period; one off by more than max_gap is refused."""
    at = np.full((1, 200), 403.25)
    captures = np.round(twin.captures_of(at, 16.0, 8)).astype(np.uint8)
    off = np.linspace(-7.9, 7.9, 200)[None]
    coarse = (at + off).astype(np.float32)
    assert np.abs(decode_phase(captures, coarse, period=16.0, max_gap=8.0)[0] - at).max() < 0.02
    confidence = decode_phase(captures, coarse, period=16.0, max_gap=3.0)[1]
    assert np.count_nonzero((confidence > 0) != (np.abs(off) <= 3.0)) <= 2


def test_clipped_pixels_are_not_believed() -> None:
    """One capture at full scale refuses the pixel, unless it is asked to pass."""
    captures = np.round(twin.captures_of(np.zeros((1, 4)), 16.0, 4)).astype(np.uint8)
    captures[2, 0, 1] = 255
    position, confidence = decode_phase(captures, period=16.0)
    assert np.isnan(position[0]).tolist() == [False, True, False, False] and confidence[0, 0] == 80
    assert (decode_phase(captures, period=16.0, max_level=255)[1] > 0).all()


def test_wrong_calls_are_refused() -> None:
    """Steps, period, limits, shapes, dtypes and order: a typed error that names the argument."""
    captures, coarse = np.zeros((4, 6, 8), np.uint8), np.zeros((6, 8), np.float32)
    for count in (2, 33):
        with pytest.raises(ShapeError, match="step"):
            decode_phase(np.zeros((count, 6, 8), np.uint8), period=16.0)
    bad = {
        "period": (1.0, 5000.0, float("nan")), "min_amplitude": (0.0, 128.0), "max_level": (0, 256),
        "max_gap": (0.0, float("inf")),
    }  # fmt: skip
    for name, values in bad.items():
        for value in values:
            with pytest.raises(ConfigError, match=name):
                decode_phase(captures, **{"period": 16.0, name: value})
    with pytest.raises(ShapeError, match="coarse"):
        decode_phase(captures, coarse[:5], period=16.0)
    with pytest.raises(DtypeError, match="coarse"):
        decode_phase(captures, coarse.astype(np.float64), period=16.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares memory"):
        decode_phase(captures, coarse, period=16.0, out=coarse)


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (16, 16), (33, 65)])
@pytest.mark.parametrize("hybrid", [False, True])
def test_emulator_equals_cpu(shape: tuple[int, int], seed: int, hybrid: bool) -> None:
    """The kernel gives the same bits as the CPU, in any order of threads."""
    captures, coarse = _scene(1, shape, 16.0, 8)
    with order(seed):
        emulated = decode_phase(put(captures), put(coarse) if hybrid else None, period=16.0, device="emu")
    for ours, wanted in zip(
        map(get, emulated), decode_phase(captures, coarse if hybrid else None, period=16.0), strict=True
    ):
        assert ours.tobytes() == wanted.tobytes()
