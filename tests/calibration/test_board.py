# SPDX-License-Identifier: Apache-2.0
"""Boards: what their text means, and that their corners are found where they are."""

from __future__ import annotations

import numpy as np
import pytest

from board_rig import COLOR, COLOR_FROM_DEPTH, Rig
from rasant import ConfigError
from rasant.types import Intrinsics
from rasant_calibration.board import parse_board
from reference.boards import corners_of, picture, pose


def test_corners_are_found_to_a_twentieth_of_a_pixel(rig: Rig) -> None:
    """Nearly all corners, each with its own number, 0.05 px RMS from where the lens puts them, without a bias."""
    errors = [
        view.pixels - corners_of(rig.board.points[view.ids], COLOR, COLOR_FROM_DEPTH @ place)
        for view, place in zip(rig.color, rig.poses, strict=True)
    ]
    every = np.concatenate(errors)
    assert len(every) > 0.8 * len(rig.poses) * len(rig.board.points)
    assert np.sqrt((every**2).sum(axis=1).mean()) < 0.05
    assert np.abs(every.mean(axis=0)).max() < 0.01


def test_a_part_of_the_board_is_enough(rig: Rig) -> None:
    """Half of a picture gives half of the corners with the same numbers; an empty one gives none."""
    half = rig.pictures[0].copy()
    half[:, half.shape[1] // 2 :] = 128
    view = rig.board.detect(half)
    assert 8 < len(view.ids) < len(rig.color[0].ids)
    whole = dict(zip(rig.color[0].ids.tolist(), rig.color[0].pixels, strict=True))
    assert np.allclose([whole[number] for number in view.ids.tolist()], view.pixels, atol=0.2)
    assert not rig.board.detect(np.full((400, 640), 128, np.uint8)).usable


def test_a_chessboard_lies_as_it_stands() -> None:
    """A plain chessboard that looks alike after half a turn has its first corner at the upper left."""
    board = parse_board("chessboard:10x8:0.02")
    y, x = np.mgrid[: 8 * 30, : 10 * 30] // 30
    image = np.pad(np.where((x + y) % 2 == 0, 0, 255).astype(np.uint8), 30, constant_values=255)
    lens = Intrinsics(640, 400, 600.0, 600.0, 320.0, 200.0)
    for spin in (0.1, np.pi + 0.1):
        place = pose((0.2, -0.1, spin), (0.0, 0.0, 0.35), (0.12, 0.1, 0.0))
        view = board.detect(picture(image, 30 / 0.02, lens, place))
        assert len(view.ids) == 63
        truth = corners_of(board.points + np.array([0.02, 0.02, 0.0]), lens, place)
        truth = truth if spin < 1 else truth[::-1]
        assert np.sqrt(((view.pixels - truth) ** 2).sum(axis=1).mean()) < 0.08


@pytest.mark.parametrize("text", ["charuco:9x7:0.02:0.014:5X5_250", "chessboard:10x8:0.075"])
def test_a_board_is_its_text(text: str) -> None:
    """What a report says of a board makes the same board again."""
    assert str(parse_board(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("charuco:9x7:0.02", "charuco:COLUMNS"),
        ("chessboard:9x7:0.02:0.01", "chessboard:COLUMNS"),
        ("charuco:9x7:0.02:0.03", "must fit into its square"),
        ("charuco:9x7:20:14", "metres"),
        ("charuco:2x7:0.02:0.01", "3 to 64"),
        ("charuco:60x60:0.02:0.01", "1800 markers"),
        ("charuco:9x7:0.02:0.01:LATIN", "dictionary"),
    ],
)
def test_what_is_no_board_is_refused(text: str, words: str) -> None:
    """Millimetres for metres, markers larger than squares, too few markers: refused with what would be right."""
    with pytest.raises(ConfigError, match=words):
        parse_board(text)
