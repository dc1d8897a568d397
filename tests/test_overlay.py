# SPDX-License-Identifier: Apache-2.0
"""Overlays: where the map glows, where the boxes are, and that any frame can be drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant.overlay import EDGE_COLORS, draw_overlay, grey_depth, write_png
from rasant.types import Verdict
from stub_engine import StubEngine, stub_inspector
from tiny_bundle import plate_frame


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


def test_a_frame_is_drawn_into_a_buffer() -> None:
    """`out` gets the picture, with a map and without one, and the frame's own colour stays as it is."""
    inspector = stub_inspector(StubEngine())
    for frame in (plate_frame(), replace(plate_frame(index=1), depth=None)):
        answer, color = inspector(frame), np.array(frame.color)
        canvas = np.zeros((96, 128, 3), np.uint8)
        assert draw_overlay(frame, answer, out=canvas) is canvas
        assert np.array_equal(canvas, draw_overlay(frame, answer)) and np.array_equal(frame.color, color)


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
