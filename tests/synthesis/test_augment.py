# SPDX-License-Identifier: Apache-2.0
"""Texture operations: Pillow's rules, identity parameters, monotone tables, any size, one seed one result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.synthesis import augment
from rasant.synthesis.augment import OPERATIONS, augment_texture
from rasant.synthesis.texture import augmented
from reference import augment as twin

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
KINDS = ("noise", "narrow", "constant", "three values")
kinds = st.sampled_from(KINDS)
RAMP = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)


def _picture(height: int, width: int, seed: int, kind: str = "noise") -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = (height, width, 3)
    if kind == "narrow":
        return np.clip(rng.normal(rng.integers(256), 9, size), 0, 255).astype(np.uint8)
    if kind == "constant":
        return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), size).copy()
    values = [2, 190, 255] if kind == "three values" else range(256)
    return rng.choice(np.array(values, np.uint8), size)


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.float64) - second).max())


@settings(max_examples=80, deadline=None)
@given(sides, sides, seeds, kinds, st.sampled_from([0.0, 1.0, 7.5, 20.0, 49.0]))
def test_histogram_operations_equal_their_twins(height: int, width: int, seed: int, kind: str, cutoff: float) -> None:
    """equalize and autocontrast have Pillow's value in every pixel, and take a constant channel as it is."""
    picture = _picture(height, width, seed, kind)
    assert np.array_equal(augment.equalize(picture), twin.equalize(picture))
    assert np.array_equal(augment.autocontrast(picture, cutoff), twin.autocontrast(picture, cutoff))
    if kind == "constant":
        assert np.array_equal(augment.equalize(picture), picture)
        assert np.array_equal(augment.autocontrast(picture, cutoff), picture)


@settings(max_examples=60, deadline=None)
@given(sides, sides, seeds, kinds, st.floats(0, 3))
def test_sharpen_is_within_a_level_of_its_twin(height: int, width: int, seed: int, kind: str, factor: float) -> None:
    """smooth + factor (v - smooth) inside, the picture itself on the border and where it is smaller than 3 pixels."""
    picture = _picture(height, width, seed, kind)
    assert _apart(augment.sharpen(picture, factor), twin.sharpen(picture, factor)) <= 0.51


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), seeds, kinds, st.floats(-300, 300), st.floats(-255, 255))
def test_hue_and_saturation_follow_hsv(height: int, width: int, seed: int, kind: str, hue: float, sat: float) -> None:
    """Within a level of the standard library's HSV, any shift; the highest channel of a pixel never changes."""
    picture = _picture(height, width, seed, kind)
    shifted = augment.shift_hue_saturation(picture, hue, sat)
    assert _apart(shifted, twin.shift_hue_saturation(picture, hue, sat)) <= 0.6
    assert np.array_equal(shifted.max(axis=2), picture.max(axis=2))


@settings(max_examples=60, deadline=None)
@given(sides, sides, seeds, kinds, st.floats(0.8, 1.2), st.floats(-30, 30))
def test_brighten_moves_luma_and_keeps_color_differences(
    height: int, width: int, seed: int, kind: str, gain: float, offset: float
) -> None:
    """Luma is rounded before and after, so within 1.3 levels; where nothing clips all channels move alike."""
    picture = _picture(height, width, seed, kind)
    bright = augment.brighten(picture, gain, offset)
    assert _apart(bright, twin.brighten(picture, gain, offset)) <= 1.3
    change = bright.astype(int) - picture
    free = ((bright > 0) & (bright < 255)).all(axis=2)
    assert (change[free] == change[free][:, :1]).all()


@given(sides, sides, seeds, kinds)
def test_identity_parameters_change_nothing(height: int, width: int, seed: int, kind: str) -> None:
    """gamma 1, gain 1 with offset 0, factor 1, no shift or a whole turn, threshold 256, 8 bits, no angle, and twice
    inverted: every byte as before, in a new array."""
    picture = _picture(height, width, seed, kind)
    for same in (
        augment.gamma_contrast(picture, (1.0, 1.0, 1.0)), augment.brighten(picture, 1.0, 0.0),
        augment.sharpen(picture, 1.0), augment.shift_hue_saturation(picture, 0.0, 0.0),
        augment.shift_hue_saturation(picture, 255.0, 0.0), augment.solarize(picture, 256),
        augment.posterize(picture, 8), augment.rotate(picture, 0.0), augment.invert(augment.invert(picture)),
        augment_texture(picture, np.random.default_rng(seed), count=0),
    ):  # fmt: skip
        assert np.array_equal(same, picture)
        assert not np.shares_memory(same, picture)


@given(st.lists(st.floats(0.5, 2), min_size=3, max_size=3), st.integers(1, 8), st.floats(0, 256), st.floats(0.8, 1.2),
       st.floats(0, 49))  # fmt: skip
def test_tables_are_monotone(
    gamma: list[float], bits: int, threshold: float, gain: float, cutoff: float
) -> None:
    """Gamma, brightness, posterize, equalize and autocontrast never reverse two values, inversion always does;
    solarize does so above its threshold only. Gamma keeps 0 and 255, posterize the highest bits."""
    for rising in (
        augment.gamma_contrast(RAMP, gamma), augment.brighten(RAMP, gain, 0.0), augment.posterize(RAMP, bits),
        augment.equalize(RAMP), augment.autocontrast(RAMP, cutoff),
    ):  # fmt: skip
        assert (np.diff(rising.astype(int), axis=1) >= 0).all()
    assert (np.diff(augment.invert(RAMP).astype(int), axis=1) == -1).all()
    curve = augment.gamma_contrast(RAMP, gamma)
    assert not curve[0, 0].any()
    assert (curve[0, 255] == 255).all()
    kept = RAMP < threshold
    solarized = augment.solarize(RAMP, threshold)
    assert np.array_equal(solarized, np.where(kept, RAMP, 255 - RAMP))
    assert len(np.unique(augment.posterize(RAMP, bits))) == 2**bits
    assert (augment.posterize(RAMP, bits) <= RAMP).all()


def test_rotation_turns_about_the_centre() -> None:
    """Quarter and half turns move whole pixels; a constant stays constant at any angle, since no corner is black."""
    picture = _picture(31, 31, 5)
    assert np.array_equal(augment.rotate(picture, 90.0), np.rot90(picture))
    assert np.array_equal(augment.rotate(picture, 180.0), picture[::-1, ::-1])
    flat = np.full((20, 33, 3), 77, np.uint8)
    for angle in (-45.0, 13.0, 45.0):
        assert (augment.rotate(flat, angle) == 77).all()


@settings(deadline=None)
@given(sides, sides, seeds, kinds, st.sampled_from(sorted(OPERATIONS)))
def test_every_drawn_operation_keeps_the_form(height: int, width: int, seed: int, kind: str, name: str) -> None:
    """Any size from 1 x 1, strided or not: uint8 of the same shape, the input untouched, equal states equal bytes."""
    wide = _picture(height, 2 * width, seed, kind)
    picture, before = wide[:, ::2], wide.copy()
    first, again = (OPERATIONS[name](picture, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == (height, width, 3)
    assert np.array_equal(first, again)
    assert np.array_equal(wide, before)
    assert np.array_equal(first, OPERATIONS[name](np.ascontiguousarray(picture), np.random.default_rng(seed)))


def test_three_different_operations_in_drawn_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 600 draws: never one twice, every operation and both orders of a pair turn up, about equally often."""
    drawn: list[str] = []

    def record(name: str):
        return lambda picture, random: (drawn.append(name), picture)[1]

    monkeypatch.setattr(augment, "OPERATIONS", {name: record(name) for name in OPERATIONS})
    random, picture = np.random.default_rng(0), _picture(4, 4, 0)
    for _ in range(600):
        augment_texture(picture, random)
    triples = np.array(drawn).reshape(600, 3)
    assert all(len(set(triple)) == 3 for triple in triples.tolist())
    for position in range(3):
        counts = [int((triples[:, position] == name).sum()) for name in OPERATIONS]
        assert min(counts) >= 35
        assert max(counts) <= 90


def test_augmented_textures_follow_their_generator() -> None:
    """The float form for blending: (3, h, w) in [0, 1], one seed one texture, another seed another, input untouched."""
    texture = np.random.default_rng(1).random((3, 24, 32), dtype=np.float32)
    before = texture.copy()
    first, again, other = (augmented(texture, np.random.default_rng(s)) for s in (5, 5, 6))
    assert first.dtype == np.float32
    assert first.shape == texture.shape
    assert 0 <= first.min() and first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(texture, before)
    assert _apart(augmented(texture, np.random.default_rng(0), count=0), texture) <= 0.51 / 255


def test_wrong_arguments_are_refused() -> None:
    """Wrong dtype, shape, empty pictures and parameters out of range: a typed error each."""
    picture, random = _picture(4, 4, 1), np.random.default_rng(0)
    for operation in OPERATIONS.values():
        with pytest.raises(DtypeError, match="uint8"):
            operation(picture.astype(np.float32), random)
        for wrong in (picture[..., 0], picture[..., :2], picture[:0]):
            with pytest.raises(ShapeError, match=r"\(H, W, 3\)"):
                operation(np.ascontiguousarray(wrong), random)
    for count in (-1, 11):
        with pytest.raises(ConfigError, match="count"):
            augment_texture(picture, random, count=count)
    for call in (
        lambda: augment.gamma_contrast(picture, (1.0, 0.0, 1.0)), lambda: augment.gamma_contrast(picture, (1.0, 1.0)),
        lambda: augment.posterize(picture, 0), lambda: augment.posterize(picture, 9),
        lambda: augment.autocontrast(picture, 50.0), lambda: augment.autocontrast(picture, -1.0),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            call()
