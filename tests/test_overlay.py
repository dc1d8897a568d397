# SPDX-License-Identifier: Apache-2.0
"""Overlays: where the map glows, where the boxes are, and that any frame can be drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant.overlay import EDGE_COLORS, blend_map, draw_overlay, grey_depth, write_png
from rasant.types import Verdict
from stub_engine import StubEngine, stub_inspector
from tiny_bundle import plate_frame

EYE8 = np.array([[8.0, 0.0, 3.5], [0.0, 8.0, 3.5]])


def test_the_edge_says_the_verdict() -> None:
    """Green, red or grey all around; the picture has the frame's size."""
    engine = StubEngine()
    inspector = stub_inspector(engine)
    frames = {Verdict.PASS: plate_frame(), Verdict.UNKNOWN: replace(plate_frame(index=1), depth=None)}
    for verdict, frame in frames.items():
        picture = draw_overlay(frame, inspector(frame))
        assert picture.shape == (96, 128, 3) and picture.dtype == np.uint8
        assert tuple(picture[0, 50]) == tuple(picture[-1, 50]) == tuple(picture[40, 0]) == EDGE_COLORS[verdict]


def test_the_defect_glows_where_it_is() -> None:
    """The picture changes under the defect and its box, and nowhere else."""
    engine = StubEngine()
    engine.set_probability(1e-6)
    engine.set_probability(0.95, (slice(30, 36), slice(20, 26)))
    frame = plate_frame()
    answer = stub_inspector(engine)(frame)
    picture = draw_overlay(frame, answer)
    changed = np.abs(picture.astype(int) - frame.color).max(axis=2) > 20
    rows, cols = np.nonzero(changed[4:-4, 4:-4])
    assert answer.verdict is Verdict.REJECT
    assert 40 <= rows.min() + 4 and rows.max() + 4 <= 60 and 33 <= cols.min() + 4 and cols.max() + 4 <= 60
    assert changed[49, 45]


def test_a_map_is_laid_where_its_affine_says() -> None:
    """One bright map pixel becomes one bright block of the picture."""
    values = np.zeros((4, 4), np.float32)
    values[1, 2] = 1.0
    matrix = np.array([[8.0, 0.0, 3.5], [0.0, 8.0, 3.5]])
    picture = blend_map(np.zeros((32, 32, 3), np.uint8), values, matrix, 1.0)
    y, x = np.unravel_index(picture.sum(axis=2).argmax(), (32, 32))
    assert 8 <= y < 16 and 16 <= x < 24
    assert not picture[24:].any()


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.6])
def test_blending_in_bytes_is_blending(scale: float) -> None:
    """Within 5 of 256 levels of the same picture blended in floats at its own size, at any scale."""
    random = np.random.default_rng(1)
    values = cv2.GaussianBlur(random.random((60, 80), np.float32), (0, 0), 4.0)
    values = np.clip(4.0 * (values - 0.4), 0.0, 1.0).astype(np.float32)
    size = (round(60 * scale), round(80 * scale))
    matrix = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, 0.5 * scale - 0.5]])
    canvas = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    level = cv2.resize(values, size[::-1])
    colors = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = np.clip(1.4 * level - 0.15, 0.0, 0.75)[..., None]
    picture = blend_map(canvas.copy(), values, matrix, 1.0)
    assert np.abs(picture - (canvas * (1 - alpha) + colors * alpha)).max() <= 5


def test_a_map_may_reach_beyond_the_picture() -> None:
    """What lies outside is cut off; what lies inside stays where it is."""
    values = np.zeros((4, 4), np.float32)
    values[3, 3] = 1.0
    shifted = np.array([[8.0, 0.0, -12.5], [0.0, 8.0, -12.5]])  # map pixel (3, 3) covers 8..15
    picture = blend_map(np.zeros((20, 14, 3), np.uint8), values, shifted, 1.0)
    y, x = np.unravel_index(picture.sum(axis=2).argmax(), (20, 14))
    assert 8 <= y < 16 and 8 <= x < 14 and not picture[16:].any()


def test_a_dark_map_leaves_the_picture_alone() -> None:
    """Below the first glowing level, and with NaN, no pixel changes."""
    canvas = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for value in (0.1, np.nan):
        assert np.array_equal(blend_map(canvas.copy(), np.full((4, 4), value, np.float32), EYE8, 1.0), canvas)


@pytest.mark.parametrize(
    "change",
    [{"color": None}, {"color": None, "depth": None}, {"color": np.zeros((2, 2, 3), np.uint8)}, {"depth": None}],
)
def test_any_frame_can_be_drawn(change: dict[str, object]) -> None:
    """Without colour the depth is drawn, without both a grey field; wrong images are not trusted."""
    frame = replace(plate_frame(), **change)
    assert draw_overlay(frame, stub_inspector()(frame)).shape == (96, 128, 3)


def test_depth_is_drawn_near_bright() -> None:
    """Near is brighter than far, missing has its own colour, and all missing is drawn too."""
    depth = np.full((10, 10), 500, np.uint16)
    depth[:5], depth[9] = 400, 0
    picture = grey_depth(depth)
    assert picture[0, 0, 0] > picture[7, 0, 0] and tuple(picture[9, 0]) == (70, 70, 76)
    assert grey_depth(np.zeros((3, 3), np.float32)).shape == (3, 3, 3)


def test_png_keeps_every_pixel_as_rgb(tmp_path: Path) -> None:
    """What is written is what was drawn."""
    picture = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    write_png(tmp_path / "p.png", picture)
    assert np.array_equal(cv2.imread(str(tmp_path / "p.png"))[..., ::-1], picture)
