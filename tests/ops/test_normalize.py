# SPDX-License-Identifier: Apache-2.0
"""Depth normalisation: every rule equals its definition, stays finite, and does not depend on the thread count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant import _native
from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.device import native_for
from rasant.ops.normalize import RULES, normalize_depth
from reference import normalize as twin

GIVEN = {
    "transfusion": (0.3, 0.7), "class_range": (0.35, 0.6), "height_range": (-0.01, 0.05), "percentile": (2.0, 90.0),
}  # fmt: skip


def _scene(height: int, width: int, seed: int, missing: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random((height, width)) < 0.6, rng.normal(0.42, 0.01, (height, width)), 0.5).astype(np.float32)
    lost = rng.random(depth.shape) < missing
    depth[lost] = rng.choice(np.array([0.0, np.nan, np.inf], np.float32), int(lost.sum()))
    return depth, rng.random(depth.shape) < 0.7


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 70), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    st.booleans(), st.sampled_from([1, 2, 4]),
)
def test_every_rule_equals_its_definition(
    rule: str, height: int, width: int, seed: int, missing: float, masked: bool, threads: int
) -> None:
    """Any size, holes, with and without a mask, any threads: within float rounding of the float64 twin, and finite."""
    depth, foreground = _scene(height, width, seed, missing)
    low, high = GIVEN.get(rule, (None, None))
    mask = foreground if masked else None
    normal = normalize_depth(depth, mask, rule=rule, low=low, high=high, threads=threads)
    assert normal.dtype == np.float32 and np.isfinite(normal).all()
    expected = twin.normalize_depth(depth, mask, rule, low, high)
    if rule == "easynet_legacy_u8":
        assert (np.abs(normal - expected) < 1.001 / 255).all()  # rounding moves a value on a step by one grey level
        assert np.mean(np.abs(normal - expected) < 1e-6) > 0.9
    else:
        used = depth[np.isfinite(depth) & (depth > 0)]
        span = max(float(np.ptp(used)), 1e-4) if len(used) else 1.0
        # means are taken in steps of 2^-20 m: AST shows centimetres of them, DBRN shares of a span that may be small
        atol = {"ast": 3e-4, "dbrn": 2e-5 + 1e-6 / span}.get(rule, 2e-5)
        np.testing.assert_allclose(normal, expected, rtol=1e-5, atol=atol)
    alone = normalize_depth(depth, mask, rule=rule, low=low, high=high)
    assert alone.tobytes() == normal.tobytes()


def test_ends_of_the_range_are_met_exactly() -> None:
    """The nearest and farthest pixel give exactly both ends: 255 of 255 grey levels, 0 and 1, 0.1 and 0.9."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        depth = rng.uniform(0.2, 0.9, (5, 7)).astype(np.float32)
        for rule, low, span in (("threedsr", 0.1, 0.8), ("easynet_foreground", 0, 1), ("easynet_legacy_u8", 0, 1)):
            normal = normalize_depth(depth, None, rule=rule)
            assert (normal.min(), normal.max()) == (np.float32(low), np.float32(low) + np.float32(span))


def test_easynets_rule_destroys_relief_and_ours_does_not() -> None:
    """3 cm of relief at 0.45 m: fewer than 20 grey levels where removed pixels count as 0, all of 0..1 where not."""
    depth = np.linspace(0.42, 0.45, 64 * 64, dtype=np.float32).reshape(64, 64)
    foreground = np.ones(depth.shape, bool)
    foreground[0] = False
    assert len(np.unique(normalize_depth(depth, foreground, rule="easynet_legacy_u8")[1:])) < 20
    assert len(np.unique(normalize_depth(depth, foreground, rule="easynet_foreground")[1:])) > 4000


def test_percentiles_shrug_off_a_flying_pixel() -> None:
    """One pixel far off rescales the per-image rule and leaves the robust one where it was."""
    depth = np.random.default_rng(0).uniform(0.4, 0.5, (80, 80)).astype(np.float32)
    flying = depth.copy()
    flying[3, 3] = 4.0
    change = {r: np.abs(normalize_depth(depth, None, rule=r) - normalize_depth(flying, None, rule=r)).mean()
              for r in ("threedsr", "percentile")}
    assert change["threedsr"] > 0.2 and change["percentile"] < 0.005


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 49), st.floats(50, 100))
def test_percentiles_are_exact_order_statistics(seed: int, low: float, high: float) -> None:
    """Negative, tiny and equal values included: numpy's "lower" percentile of the used pixels, exactly."""
    rng = np.random.default_rng(seed)
    values = rng.choice(np.array([-3.5, -1e-30, 1e-40, 0.1, 0.25, 7.0, 0.0, np.nan], np.float32), (9, 31))
    values += np.where(rng.random(values.shape) < 0.5, rng.normal(0, 0.1, values.shape), 0).astype(np.float32)
    used = values[np.isfinite(values) & (values != 0)]
    expected = tuple(np.percentile(used, [low, high], method="lower")) if len(used) else None
    assert _native.percentiles(values, None, low, high) == expected


def test_flat_empty_and_single_pixel_images() -> None:
    """One value maps to the low end, no pixel at all to the fill value, 1x1 works; never a NaN."""
    flat, empty = np.full((6, 6), 0.5, np.float32), np.zeros((6, 6), np.float32)
    assert (normalize_depth(flat, None, rule="threedsr") == np.float32(0.1)).all()
    fills = {"das3d": 1.0, "dbrn": 0.8}
    for rule in RULES:
        low, high = GIVEN.get(rule, (None, None))
        normal = normalize_depth(empty, None, rule=rule, low=low, high=high)
        assert (normal == np.float32(fills.get(rule, 0.0))).all(), rule
        assert np.isfinite(normalize_depth(flat[:1, :1].copy(), None, rule=rule, low=low, high=high)).all()


def test_wrong_calls_are_refused() -> None:
    """Rule, range, percents, dtype, shape, overlap and device: a typed error that names the argument."""
    depth, mask = np.full((4, 4), 0.5, np.float32), np.ones((4, 4), bool)
    with pytest.raises(ConfigError, match="rule"):
        normalize_depth(depth, mask, rule="minmax")
    for rule in ("transfusion", "class_range", "height_range"):
        for low, high in ((None, None), (0.5, 0.5), (0.6, 0.5), (0.0, float("nan")), (float("-inf"), 1.0)):
            with pytest.raises(ConfigError, match="low < high"):
                normalize_depth(depth, mask, rule=rule, low=low, high=high)
    with pytest.raises(ConfigError, match="percents"):
        normalize_depth(depth, mask, rule="percentile", low=60.0, high=40.0)
    with pytest.raises(DtypeError, match="foreground"):
        normalize_depth(depth, mask.astype(np.uint8), rule="metric")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="foreground"):
        normalize_depth(depth, mask[:2], rule="metric")
    with pytest.raises(DtypeError, match="float32"):
        normalize_depth(depth.astype(np.float64), mask, rule="metric")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares memory"):
        normalize_depth(depth, mask, rule="metric", out=depth)
    with pytest.raises(DeviceUnavailable):
        normalize_depth(depth, mask, rule="metric", device="cuda")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (33, 1), (33, 65), (130, 67)])
def test_the_device_gives_the_bits_of_the_cpu(rule: str, shape: tuple[int, int]) -> None:
    """Every rule, with and without a mask, with holes and without any pixel, in every order of threads and blocks."""
    low, high = GIVEN.get(rule, (None, None))
    for seed, missing in zip(ORDERS, (0.1, 0.9, 1.0), strict=True):
        depth, foreground = _scene(*shape, seed, missing)
        for mask in (None, foreground):
            expected = normalize_depth(depth, mask, rule=rule, low=low, high=high)
            with order(seed):
                on_device = None if mask is None else put(mask)
                normal = normalize_depth(put(depth), on_device, rule=rule, low=low, high=high, device="emu")
            assert get(normal).tobytes() == expected.tobytes()


@pytest.mark.parametrize("seed", ORDERS)
def test_the_devices_reductions_are_those_of_the_cpu(seed: int) -> None:
    """Measures, percentiles and 2-means of signed, tiny, huge, equal and missing values: the same numbers."""
    rng = np.random.default_rng(seed)
    choice = np.array([-3.5, -1e-30, 1e-40, 0.1, 0.25, 7.0, 3e38, -3e38, 0.0, np.nan, np.inf], np.float32)
    emulator, cpu = native_for("emu"), native_for("cpu")
    noise, flat = rng.normal(0.5, 0.1, (90, 77)).astype(np.float32), np.full((3, 4), 0.5, np.float32)
    for value in (rng.choice(choice, (9, 31)), noise, flat):
        mask = rng.random(value.shape) < 0.6
        with order(seed):
            for given_mask in (None, mask):
                there = None if given_mask is None else put(given_mask)
                assert emulator.measure(put(value), there, 1) == cpu.measure(value, given_mask, 1)
                for ends in ((0.0, 100.0), (0.5, 99.5), (30.0, 30.1)):
                    assert emulator.percentiles(put(value), there, *ends) == cpu.percentiles(value, given_mask, *ends)
            assert emulator.two_means(put(value), 1) == cpu.two_means(value, 1)
