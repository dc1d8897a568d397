# SPDX-License-Identifier: Apache-2.0
"""Boards on paper: the right markers, true to scale, in all three forms."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant import ConfigError
from rasant_calibration.board import parse_board
from rasant_calibration.board_page import PAGES, write_board

SCALE = 4
BOARD = "charuco:9x7:0.02:0.014"


def drawn(rectangles: list[tuple[float, float, float, float]], size: tuple[float, float]) -> np.ndarray:
    """A page of rectangles in millimetres, 4 pixels a millimetre."""
    page = np.full((round(SCALE * size[1]), round(SCALE * size[0])), 255, np.uint8)
    for x, y, w, h in rectangles:
        page[round(SCALE * y) : round(SCALE * (y + h)), round(SCALE * x) : round(SCALE * (x + w))] = 0
    return page


def parsed(path: Path) -> np.ndarray:
    """The page as its own numbers say, 4 pixels a millimetre."""
    data = path.read_bytes()
    if path.suffix == ".png":
        per_metre = struct.unpack(">I", data[data.index(b"pHYs") + 4 :][:4])[0]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert image.shape[1] / per_metre == pytest.approx(0.297, rel=1e-3)
        step = 1e3 * SCALE / per_metre
        return cv2.resize(image, None, fx=step, fy=step, interpolation=cv2.INTER_AREA)
    number = r"(-?[\d.]+)"
    if path.suffix == ".svg":
        assert b'width="297mm" height="210mm"' in data
        found = re.findall(rf"M{number} {number}h{number}v{number}", data.decode())
        return drawn([tuple(map(float, one)) for one in found], PAGES["A4"])
    box = re.search(rf"MediaBox\[0 0 {number} {number}\]", data.decode("latin-1"))
    assert box is not None and float(box[1]) * 25.4 / 72 == pytest.approx(297.0, abs=1e-3)
    found = re.findall(rf"{number} {number} {number} {number} re", data.decode("latin-1"))
    rows = [[float(value) * 25.4 / 72 for value in one] for one in found]
    return drawn([(x, 210.0 - y - h, w, h) for x, y, w, h in rows], PAGES["A4"])


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
@pytest.mark.parametrize("text", [BOARD, "chessboard:10x8:0.02"])
def test_a_printed_board_is_the_board(tmp_path: Path, text: str, suffix: str) -> None:
    """Every corner is found on the page with its number, at its millimetre, and the ruler is 100 mm long."""
    path, board = tmp_path / f"board{suffix}", parse_board(text)
    write_board(path, board)
    page = parsed(path)
    view = board.detect(page)
    assert view.ids.tolist() == list(range(len(board.points)))
    millimetres = (view.pixels + 0.5) / SCALE
    expected = 1e3 * board.points[:, :2]
    assert np.allclose(millimetres - millimetres.mean(axis=0), expected - expected.mean(axis=0), atol=0.03)
    ruler = np.flatnonzero((page[round(SCALE * 200.9) :] < 128).any(axis=0)[: SCALE * 109])
    assert (ruler[-1] - ruler[0] + 1) / SCALE == pytest.approx(100.0, abs=0.3)


def test_a_pdf_is_whole(tmp_path: Path) -> None:
    """The cross-reference table names the byte at which each object begins."""
    write_board(tmp_path / "board.pdf", parse_board(BOARD))
    data = (tmp_path / "board.pdf").read_bytes()
    start = int(data[data.rindex(b"startxref") + 9 :].split()[0])
    table = data[start:].splitlines()[3:8]
    assert [data[int(line.split()[0]) :].split(b" ")[0] for line in table] == [b"1", b"2", b"3", b"4", b"5"]
    assert b"/PrintScaling/None" in data


def test_what_cannot_be_printed_is_refused(tmp_path: Path) -> None:
    """Too large a board, another page, another kind of file."""
    with pytest.raises(ConfigError, match="room for"):
        write_board(tmp_path / "board.pdf", parse_board("charuco:20x15:0.02:0.014"))
    with pytest.raises(ConfigError, match="A4, A3"):
        write_board(tmp_path / "board.pdf", parse_board(BOARD), "Letter")
    with pytest.raises(ConfigError, match=r"\.svg, \.pdf or \.png"):
        write_board(tmp_path / "board.bmp", parse_board(BOARD))
