# SPDX-License-Identifier: Apache-2.0
"""Synthetic defects: bit-equal to the numpy twin and on every device, for all sources, rules and missing images."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DeviceUnavailable, DtypeError, ShapeError
from rasant.ops.defect import MAX_SIGMA, DefectParams, apply_defect, skew_kernel
from reference import defect as twin

SOURCES = ("field", "range", "hills", "relief", "spread")
RULES = ("positive", "absolute", "everywhere")
SIZES = ((1, 1), (1, 40), (37, 1), (33, 65), (48, 129))


def images(h: int, w: int, seed: int, holes: float = 0.05) -> dict[str, Any]:
    """All images of a call; the field holds NaN, as do depth and relief."""
    rng = np.random.default_rng(seed)
    names = ("field", "depth", "relief")
    made: dict[str, Any] = {name: rng.uniform(-1, 1, (h, w)).astype(np.float32) for name in names}
    for image in made.values():
        image[rng.random((h, w)) < holes] = np.nan
    smooth = np.sin(np.arange(h)[:, None] / 3 + seed) * np.cos(np.arange(w) / 5)
    if seed % 2:
        made["field"] = smooth.astype(np.float32)
    made |= {name: rng.random((h, w)) < 0.8 for name in ("support", "foreground")}
    made |= {name: rng.random((3, h, w), dtype=np.float32) for name in ("color", "texture")}
    return made


def parameters(source: str, rule: str, seed: int) -> DefectParams:
    """Random numbers within their ranges."""
    rng = np.random.default_rng(seed)
    return DefectParams(
        source=source, rule=rule, add=bool(rng.integers(2)), threshold=float(rng.uniform(0, 0.7)),  # type: ignore[arg-type]
        gain=float(rng.normal()), offset=float(rng.choice([0.0, rng.normal()])), kept=float(rng.random()),
        kept_color=float(rng.random()), low=-0.6, high=float(rng.choice([0.8, np.inf])), amplitude=float(rng.normal()),
        visible=float(rng.uniform(0.01, 0.4)), sigma=float(rng.uniform(0.1, 4)),
        skew=(float(rng.normal()), float(rng.normal())),
    )


def same(ours: Any, expected: Any) -> bool:
    """Equal values, NaN where NaN is expected."""
    return bool(np.array_equal(ours, expected, equal_nan=ours.dtype != np.bool_))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SOURCES), st.sampled_from(RULES), st.integers(1, 40), st.integers(1, 150), st.integers(0, 2**31),
    st.sets(st.sampled_from(["support", "foreground", "depth", "color", "texture"])), st.sampled_from([1, 2, 5]),
)
def test_equals_the_twin_bit_for_bit(
    source: str, rule: str, h: int, w: int, seed: int, absent: set[str], threads: int
) -> None:
    """Any source, rule, size and choice of images, for 1, 2 and 5 threads: the twin's value in every pixel."""
    given = {name: image for name, image in images(h, w, seed).items() if name not in absent}
    params = parameters(source, rule, seed)
    kernel = skew_kernel(params.sigma, params.skew).astype(np.int64)
    ours = apply_defect(params=params, threads=threads, **given)
    color, depth, mask = twin.apply_defect(params=params, kernel=kernel, **given)
    assert same(ours.mask, mask)
    assert (ours.depth is None) == ("depth" in absent) and (ours.depth is None or same(ours.depth, depth))
    assert (ours.color is None) == ("color" in absent) and (ours.color is None or same(ours.color, color))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", ORDERS)
def test_emulator_equals_cpu(source: str, size: tuple[int, int], seed: int) -> None:
    """The CUDA kernels, run in three orders of threads and blocks, give the CPU's bits for every rule."""
    given = images(*size, seed + 1)
    there = {name: put(image) for name, image in given.items()}
    for number, rule in enumerate(RULES):
        params = parameters(source, rule, 10 * seed + number)
        here = apply_defect(params=params, **given)
        with order(seed):
            drawn = apply_defect(params=params, device="emu", **there)
        assert same(get(drawn.mask), here.mask)
        assert same(get(drawn.depth), here.depth) and same(get(drawn.color), here.color)


def test_emulator_with_images_left_out() -> None:
    """Depth alone, colour alone and the mask alone, without support, foreground and texture."""
    given = images(20, 50, 3)
    params = DefectParams(source="hills", rule="absolute", add=True, threshold=0.2, gain=0.1)
    for names in (["field"], ["field", "depth"], ["field", "color"]):
        here = apply_defect(params=params, **{name: given[name] for name in names})
        there = apply_defect(params=params, device="emu", **{name: put(given[name]) for name in names})
        assert same(get(there.mask), here.mask)
        for name in names[1:]:
            assert same(get(getattr(there, name)), getattr(here, name))
        assert (there.depth is None, there.color is None) == (here.depth is None, here.color is None)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.0, 5.0, MAX_SIGMA])
@pytest.mark.parametrize("skew", [(0.0, 0.0), (0.3, -0.2), (-0.5, 0.5), (40.0, 7.0)])
def test_the_kernel_is_the_sampled_density_over_its_sum(sigma: float, skew: tuple[float, float]) -> None:
    """2 phi2(x; 0, s^2 I) Phi(a . x) on an odd grid of 3 sigma, each entry within 1e-8 of it."""
    kernel = skew_kernel(sigma, skew)
    expected = twin.skew_kernel(sigma, skew)
    assert kernel.shape == expected.shape and kernel.dtype == np.int32
    assert np.abs(kernel * twin.UNIT - expected).max() < 1e-8
    assert kernel.sum() == pytest.approx(2**30, abs=kernel.size / 2 + 20)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.6, 10.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 1000))
def test_the_spread_is_the_correlation_in_double_precision(sigma: float, ay: float, ax: float, seed: int) -> None:
    """Against a correlation with the exact density: within 2e-7 of a plateau's height, for ternary masks."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(-1, 2, (31, 47)).astype(np.float32)
    kernel = twin.skew_kernel(sigma, (ay, ax))
    params = DefectParams(source="spread", rule="absolute", add=True, threshold=0.5, low=-2, high=2, sigma=sigma,
                          skew=(ay, ax))  # fmt: skip
    drawn = apply_defect(signs, params, depth=np.zeros_like(signs)).depth
    assert drawn is not None
    np.testing.assert_allclose(drawn, correlate2d(signs, kernel, mode="same"), atol=2e-7, rtol=0)


def test_outputs_may_be_their_own_inputs() -> None:
    """Drawing into the arrays themselves gives what fresh arrays get; any other overlap is refused."""
    made = images(30, 44, 5)
    params = parameters("spread", "absolute", 1)
    fresh = apply_defect(params=params, **made)
    depth, color = made["depth"].copy(), made["color"].copy()
    made |= {"depth": depth, "color": color}
    again = apply_defect(params=params, out_depth=depth, out_color=color, **made)
    assert again.depth is depth and same(depth, fresh.depth) and same(color, fresh.color)
    for out in ("out_depth", "out_mask", "out_color"):
        taken = {"out_depth": made["field"], "out_mask": made["support"], "out_color": made["texture"]}[out]
        with pytest.raises(ConfigError, match="shares memory"):
            apply_defect(params=params, **made, **{out: taken})


def test_an_empty_mask_changes_nothing() -> None:
    """Without support, or with a field of NaN, every source leaves depth and colour as they were, to the bit."""
    made = images(19, 70, 2)
    for source in SOURCES:
        for change in ({"support": np.zeros((19, 70), bool)}, {"field": np.full((19, 70), np.nan, np.float32)}):
            given = made | change
            params = replace(parameters(source, "absolute", 4), add=source in ("hills", "spread"), offset=0.0)
            drawn = apply_defect(params=params, **given)
            assert not drawn.mask.any() and drawn.depth is not None and drawn.color is not None
            assert drawn.depth.tobytes() == made["depth"].tobytes() and drawn.color.tobytes() == made["color"].tobytes()


def test_a_stack_of_one_field_is_a_field() -> None:
    """What perlin_field gives for one sample is taken as it is; a stack of two is refused."""
    made = images(12, 20, 8)
    flat = apply_defect(params=DefectParams(), **made)
    field = made.pop("field")
    assert same(apply_defect(field[None], DefectParams(), **made).mask, flat.mask)
    with pytest.raises(ShapeError, match="field must have shape"):
        apply_defect(np.stack([field, field]), DefectParams(), **made)


def test_hills_begin_at_zero_and_end_at_the_gain() -> None:
    """On each side the change rises from 0 at the rim to exactly the gain at the extreme of the field."""
    field = np.linspace(-0.9, 0.8, 171, dtype=np.float32)[None]
    params = DefectParams(source="hills", rule="absolute", add=True, threshold=0.5, gain=0.1, low=-1, high=1)
    change = apply_defect(field, params, depth=np.zeros_like(field)).depth
    assert change is not None
    assert change.max() == np.float32(0.1) and change.min() == np.float32(-0.1)
    assert np.abs(change[0, 40:131]).max() < 0.003 and np.all(np.diff(change[0]) >= 0)


def test_wrong_calls_are_refused() -> None:
    """Numbers out of range, images of another size, dtype or order, a missing relief, another device."""
    made = images(8, 9, 1)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("threshold", {"threshold": -0.1}), ("threshold", {"threshold": float("nan")}), ("kept", {"kept": 1.5}),
        ("kept_color", {"kept_color": -1.0}), ("low", {"low": 2.0}), ("finite", {"gain": float("inf")}),
        ("visible", {"visible": 0.0}), ("sigma", {"sigma": 0.0}), ("sigma", {"sigma": 33.0}),
        ("skew", {"skew": (float("nan"), 0.0)}), ("source", {"source": "clouds"}), ("rule", {"rule": "most"}),
    ]  # fmt: skip
    for match, change in wrong:
        params = DefectParams(**(asdict(DefectParams(source="spread")) | change))
        with pytest.raises(ConfigError, match=match):
            apply_defect(params=params, **made)
    with pytest.raises(ConfigError, match="relief"):
        apply_defect(made["field"], DefectParams(source="relief"))
    with pytest.raises(ShapeError, match="depth must have shape"):
        apply_defect(made["field"], DefectParams(), depth=made["depth"][:, :-1].copy())
    with pytest.raises(ShapeError, match="contiguous"):
        apply_defect(made["field"].T, DefectParams())
    with pytest.raises(DtypeError, match="support must be bool"):
        apply_defect(made["field"], DefectParams(), support=made["support"].astype(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="color must have shape"):
        apply_defect(made["field"], DefectParams(), color=np.zeros((8, 9, 3), np.float32))
    with pytest.raises(DeviceUnavailable, match="tpu"):
        apply_defect(made["field"], DefectParams(), device="tpu")
