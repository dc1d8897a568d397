# SPDX-License-Identifier: Apache-2.0
"""Pictures show what is there, at the right place, in any frame."""

from __future__ import annotations

import base64
from dataclasses import replace

import cv2
import numpy as np

from labelled import labelled_frame, labelled_frames, oracle
from rasant.evaluate import Record, inspect_source
from rasant.report.pictures import (
    PictureBook,
    Thumbnail,
    data_uri,
    heat,
    overlay,
    overlay_strip,
    shade_depth,
    show_truth,
)
from rasant.types import Frame, Inspection


def thumbnail(frame: Frame, inspection: Inspection, longest: int = 64) -> Thumbnail:
    """The thumbnail that a book makes of one frame."""
    book = PictureBook(longest_px=longest)
    assert frame.sample is not None
    book(frame, Record(frame.sample, inspection, inspection.anomaly_map, None))
    return book.thumbnails[0]


def test_the_map_lies_over_the_defect() -> None:
    """After resizing, the brightest part of the heat picture and the truth mask coincide within a pixel."""
    frame = labelled_frame("dent", 0)
    inspection = oracle(frame)
    thumb = thumbnail(frame, inspection)
    assert thumb.size == (48, 64)
    assert inspection.anomaly_map is not None
    hot = heat(inspection.anomaly_map, thumb, 1.0).sum(axis=2) > 380
    assert thumb.truth is not None
    centres = [np.argwhere(mask).mean(axis=0) for mask in (hot, thumb.truth)]
    assert np.abs(centres[0] - centres[1]).max() < 1.0
    assert np.count_nonzero(hot ^ thumb.truth) < 0.35 * np.count_nonzero(thumb.truth)


def test_a_region_of_interest_stays_in_its_place() -> None:
    """A map that covers a quarter of the frame is drawn in that quarter only."""
    frame = labelled_frame("good", 0)
    matrix = np.array([[1.0, 0, 64.0], [0, 1.0, 48.0]])
    inspection = replace(oracle(frame), frame_from_map=matrix, pooled_map=np.ones((48, 64), np.float32))
    thumb = thumbnail(frame, inspection, 128)
    glow = heat(np.ones((48, 64), np.float32), thumb, 1.0).sum(axis=2) > 300
    assert glow[49:, 65:].all()
    assert not glow[:47].any()
    assert not glow[:, :63].any()


def test_missing_depth_is_grey_and_relief_is_lit() -> None:
    """Pixels without depth have one grey; a step is brighter on the side that faces the light."""
    frame = labelled_frame("bump", 0)
    picture = shade_depth(frame)
    assert (picture[np.asarray(frame.depth) == 0] == (70, 70, 76)).all()
    rows, cols = frame.size
    lit, dark = picture[rows // 2, cols // 2 - 9].sum(), picture[rows // 2, cols // 2 + 9].sum()
    assert int(lit) > int(dark)


def test_no_depth_at_all_is_still_a_picture() -> None:
    """An empty depth image is grey, not an error."""
    frame = labelled_frame("good", 0)
    empty = replace(frame, depth=np.zeros(frame.size, np.uint16))
    assert (shade_depth(empty) == (70, 70, 76)).all()


def test_metres_and_counts_look_the_same() -> None:
    """The picture does not depend on how depth is stored."""
    frame = labelled_frame("dent", 3)
    depth = np.asarray(frame.depth)
    metres = replace(frame, depth=(depth * frame.depth_scale).astype(np.float32), depth_scale=1.0)
    difference = shade_depth(frame).astype(int) - shade_depth(metres).astype(int)
    assert np.abs(difference).max() <= 2


def test_data_uris_are_png_of_the_same_picture() -> None:
    """What the page shows differs from the picture by less than 4 grey levels."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    uri = data_uri(picture)
    assert uri.startswith("data:image/png;base64,")
    data = np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert shown is not None
    assert np.abs(shown[..., ::-1].astype(int) - picture).max() < 4


def test_a_frame_without_colour_is_drawn_on_its_depth() -> None:
    """Depth-only frames have overlay and truth too."""
    frame = replace(labelled_frame("dent", 0), color=None)
    inspection = oracle(frame)
    thumb = thumbnail(frame, inspection)
    assert thumb.color is None
    assert overlay(inspection, thumb, 1.0).shape == (48, 64, 3)
    assert show_truth(thumb) is not None


def test_the_strip_frames_each_verdict_in_its_colour() -> None:
    """Twelve parts in rows of four: a green edge for PASS, a red one for REJECT."""
    frames = labelled_frames(["good"] * 6 + ["dent"] * 6)
    book = PictureBook(longest_px=32)
    records = inspect_source(oracle, frames, observer=book)
    sheet = overlay_strip(records, book.thumbnails, top=1.0, columns=4, rows=3)
    assert sheet.shape == (3 * (24 + 10 + 8) + 8, 4 * (32 + 10 + 8) + 8, 3)
    assert tuple(sheet[9, 9]) == (60, 165, 90)
    assert tuple(sheet[-10, -10]) == (225, 60, 45)


def test_a_long_recording_is_sampled_evenly() -> None:
    """More parts than places: first and last are shown."""
    frames = labelled_frames(["good"] * 9 + ["dent"])
    book = PictureBook(longest_px=32)
    records = inspect_source(oracle, frames, observer=book)
    sheet = overlay_strip(records, book.thumbnails, top=1.0, columns=3, rows=1)
    assert tuple(sheet[9, 9]) == (60, 165, 90)
    assert tuple(sheet[9, -10]) == (225, 60, 45)
