# SPDX-License-Identifier: Apache-2.0
"""The overlay against its numpy twin, on the CPU and the emulator; where it writes, and what it refuses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.overlay import blend_map, glow_colors
from reference import overlay as twin

BAD = [np.nan, np.inf, -np.inf, -1.0, 1e38]


def _affine(step: tuple[float, float], shift: tuple[float, float]) -> np.ndarray:
    """(2, 3) of (down, across) numbers."""
    return np.array([[step[1], 0.0, shift[1]], [0.0, step[0], shift[0]]])


def _fitting(values: np.ndarray, picture: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Step and shift of a map that covers the whole picture."""
    step = (picture.shape[0] / values.shape[0], picture.shape[1] / values.shape[1])
    return step, (0.5 * step[0] - 0.5, 0.5 * step[1] - 0.5)


def _scene(size: tuple[int, int], map_size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, a map with a few bad values, and any colour table."""
    random = np.random.default_rng(seed)
    values = random.uniform(-0.1, 1.2, map_size).astype(np.float32)
    values.flat[random.integers(0, values.size, 3)] = random.choice(BAD, 3)
    return (
        random.integers(0, 256, (*size, 3), dtype=np.uint8), values,
        random.integers(0, 256, (256, 4), dtype=np.uint8),
    )  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 600)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.integers(1, 9),
)
def test_equals_the_twin_byte_for_byte(
    size: tuple[int, int], map_size: tuple[int, int], seed: int, fits: bool, threads: int
) -> None:
    """Any sizes, table, scale and shift, also far outside the picture, and any number of threads."""
    random = np.random.default_rng(seed)
    picture, values, colors = _scene(size, map_size, seed)
    step, shift = _fitting(values, picture)
    if not fits:
        step = tuple(10.0 ** random.uniform(-2, 2, 2))
        shift = tuple(random.uniform(-1.2, 1.2, 2) * size)
    top = 10.0 ** random.uniform(-2, 1)
    before = picture.copy()
    blended = blend_map(picture, values, picture_from_map=_affine(step, shift), top=top, colors=colors, threads=threads)
    assert np.array_equal(blended, twin.blend_map(picture, values, step, shift, 255.0 / top, colors))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("map_size", [(1, 1), (5, 1), (9, 16), (40, 70)])
@pytest.mark.parametrize("size", [(1, 1), (1, 333), (70, 1), (33, 65), (64, 160)])
def test_emulator_equals_cpu(size: tuple[int, int], map_size: tuple[int, int], seed: int) -> None:
    """The kernel gives the bytes of the CPU, over the whole picture and over a part of it, and in place."""
    picture, values, colors = _scene(size, map_size, seed)
    for step, shift in (_fitting(values, picture), ((1.7, 2.3), (3.0, -2.6))):
        affine = _affine(step, shift)
        here = blend_map(picture, values, picture_from_map=affine, top=1.0, colors=colors)
        target = put(picture)
        with order(seed):
            there = blend_map(put(picture), put(values), picture_from_map=affine, top=1.0, colors=colors, device="emu")
            blend_map(target, put(values), picture_from_map=affine, top=1.0, colors=colors, out=target, device="emu")
        assert get(there).tobytes() == here.tobytes() == get(target).tobytes()


def test_a_map_is_laid_where_its_affine_says() -> None:
    """One bright map pixel becomes one bright block of the picture; what reaches beyond the picture is cut off."""
    values = np.zeros((4, 4), np.float32)
    values[3, 3] = 1.0
    for size, shift, rows, columns in (((40, 40), 3.5, (24, 32), (24, 32)), ((20, 14), -12.5, (8, 16), (8, 14))):
        black = np.zeros((*size, 3), np.uint8)
        picture = blend_map(black, values, picture_from_map=_affine((8.0, 8.0), (shift, shift)), top=1.0)
        y, x = np.unravel_index(picture.sum(axis=2).argmax(), size)
        assert rows[0] <= y < rows[1] and columns[0] <= x < columns[1]
        assert not picture[rows[1] :].any() and not picture[:, columns[1] :].any()


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.6])
def test_blending_in_bytes_is_blending(scale: float) -> None:
    """Within 3 of 256 levels of the same picture enlarged by OpenCV and blended in floats, at any scale."""
    random = np.random.default_rng(1)
    values = cv2.GaussianBlur(random.random((60, 80), np.float32), (0, 0), 4.0)
    values = np.clip(4.0 * (values - 0.4), 0.0, 1.0).astype(np.float32)
    size = (round(60 * scale), round(80 * scale))
    canvas = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    level = (255 * cv2.resize(values, size[::-1])).astype(np.uint8)
    colors = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = np.clip(1.4 * (level / 255.0) - 0.15, 0.0, 0.75)[..., None]
    affine = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, 0.5 * scale - 0.5]])
    picture = blend_map(canvas, values, picture_from_map=affine, top=1.0)
    assert np.abs(picture - (canvas * (1 - alpha) + colors * alpha)).max() <= 3


def test_in_place_and_into_a_buffer_are_the_same() -> None:
    """`out` may be the picture itself or any other array, never one that overlaps it by a part."""
    picture, values, colors = _scene((50, 70), (10, 14), 1)
    affine = _affine(*_fitting(values, picture))
    blended = blend_map(picture, values, picture_from_map=affine, top=1.0, colors=colors)
    buffer, target = np.zeros_like(picture), picture.copy()
    for out, source in ((buffer, picture), (target, target)):
        assert blend_map(source, values, picture_from_map=affine, top=1.0, colors=colors, out=out) is out
        assert np.array_equal(out, blended)
    tall = np.zeros((51, 70, 3), np.uint8)
    with pytest.raises(ConfigError, match="shares memory"):
        blend_map(tall[:50], values, picture_from_map=affine, top=1.0, colors=colors, out=tall[1:])


def test_a_clear_table_changes_nothing() -> None:
    """Where nothing is added and all of the picture is left, every byte stays, at every level."""
    picture, values, _ = _scene((64, 300), (20, 30), 2)
    clear = np.zeros((256, 4), np.uint8)
    clear[:, 3] = 255
    affine = _affine(*_fitting(values, picture))
    assert np.array_equal(blend_map(picture, values, picture_from_map=affine, top=1.0, colors=clear), picture)


def test_the_glow_starts_clear_and_never_overflows() -> None:
    """The default table: clear at a tenth of `top`, three quarters at its end, never more than white in sum."""
    table = glow_colors().astype(int)
    assert (table[:27] == (0, 0, 0, 255)).all() and table[28, 3] < 255
    assert table[255, 3] == 64 and (table[:, :3].max(axis=1) + table[:, 3] <= 255).all()
    picture = np.full((8, 8, 3), 200, np.uint8)
    for value in (0.1, np.nan):
        values = np.full((4, 4), value, np.float32)
        assert np.array_equal(blend_map(picture, values, picture_from_map=np.eye(2, 3), top=1.0), picture)


def test_what_is_no_place_and_wrong_arrays_are_refused() -> None:
    """A typed error for each: an affine that turns or mirrors, a top of NaN, wrong dtype, shape, order and table."""
    picture, values, colors = _scene((20, 30), (4, 6), 3)
    affine = _affine(*_fitting(values, picture))
    for wrong in (
        np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0]]), _affine((-1.0, 1.0), (0.0, 0.0)),
        _affine((0.0, 1.0), (0.0, 0.0)), _affine((1.0, 1.0), (np.nan, 0.0)), _affine((1.0, np.inf), (0.0, 0.0)),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="map"):
            blend_map(picture, values, picture_from_map=wrong, top=1.0)
    for top in (np.nan, np.inf):
        with pytest.raises(ConfigError, match="top"):
            blend_map(picture, values, picture_from_map=affine, top=top)
    with pytest.raises(DtypeError, match="picture must be uint8"):
        blend_map(picture.astype(np.float32), values, picture_from_map=affine, top=1.0)
    with pytest.raises(ShapeError, match=r"\(H, W, 3\)"):
        blend_map(np.zeros((20, 30, 4), np.uint8), values, picture_from_map=affine, top=1.0)
    with pytest.raises(ShapeError, match="C-contiguous"):
        blend_map(picture, values.T, picture_from_map=affine, top=1.0)
    with pytest.raises(ShapeError, match="colors must have shape"):
        blend_map(picture, values, picture_from_map=affine, top=1.0, colors=colors[:255])
    with pytest.raises(ShapeError, match="out must have shape"):
        blend_map(picture, values, picture_from_map=affine, top=1.0, out=np.empty((20, 31, 3), np.uint8))
