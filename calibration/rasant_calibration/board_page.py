# SPDX-License-Identifier: Apache-2.0
"""A board on a page, true to scale: SVG and PDF are exact, PNG states its resolution.

Everything is rectangles in millimetres, drawn once and written in three forms. A line of 100 mm at the foot tells
whether the printer kept the scale, which is where most wrong calibrations come from.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant_calibration.board import Board

__all__ = ["PAGES", "board_rectangles", "page_pdf", "page_png", "page_svg", "write_board"]

Rectangle = tuple[float, float, float, float]  # x, y, width, height in mm

PAGES = {"A4": (297.0, 210.0), "A3": (420.0, 297.0), "A2": (594.0, 420.0), "A1": (841.0, 594.0), "A0": (1189.0, 841.0)}
"""Landscape pages, millimetres."""

_MARGIN_MM = 8.0
_FOOT_MM = 12.0
_RULER_MM = 100.0
_POINT_MM = 25.4 / 72.0


def board_rectangles(board: Board) -> list[Rectangle]:
    """The black rectangles of a board, millimetres from its outer corner: squares, and rows of the markers' modules."""
    side = 1e3 * board.square_m
    found = [
        (x * side, y * side, side, side) for y in range(board.rows) for x in range(board.columns) if (x + y) % 2 == 0
    ]
    if board.marker_m is None:
        return found
    words = board.aruco.getDictionary()
    modules = words.markerSize + 2
    step = 1e3 * board.marker_m / modules
    for number, outline in zip(board.aruco.getIds().ravel(), board.aruco.getObjPoints(), strict=True):
        left, top = (1e3 * float(value) for value in np.asarray(outline)[0, :2])
        black = cv2.aruco.generateImageMarker(words, int(number), modules) == 0
        for row in range(modules):
            y = top + row * step
            found += [(left + first * step, y, (last - first) * step, step) for first, last in _runs(black[row])]
    return found


def write_board(path: Path, board: Board, page: str = "A4", *, dpi: int = 600) -> None:
    """Write a page of one of PAGES by its suffix: .svg, .pdf or .png.

    Raises ConfigError for another suffix or page, or a board that does not fit.
    """
    if page not in PAGES:
        raise ConfigError(f"the page must be one of {', '.join(PAGES)}, got {page!r}")
    writers = {".svg": page_svg, ".pdf": page_pdf, ".png": lambda *laid: page_png(*laid, dpi=dpi)}
    if path.suffix not in writers:
        raise ConfigError(f"{path}: a board is written as .svg, .pdf or .png")
    rectangles, text = _laid_out(board, PAGES[page])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(writers[path.suffix](rectangles, PAGES[page], text))


def page_svg(rectangles: Sequence[Rectangle], size: tuple[float, float], text: str) -> bytes:
    """A page whose unit is the millimetre."""
    width, height = size
    path = "".join(f"M{x:.4f} {y:.4f}h{w:.4f}v{h:.4f}h{-w:.4f}z" for x, y, w, h in rectangles)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path d="{path}" shape-rendering="crispEdges"/>'
        f'<text x="{_MARGIN_MM + _RULER_MM + 4:g}" y="{height - _MARGIN_MM:g}" font-family="sans-serif" '
        f'font-size="3">{text}</text></svg>\n'
    ).encode()


def page_pdf(rectangles: Sequence[Rectangle], size: tuple[float, float], text: str) -> bytes:
    """A PDF 1.4 page of filled rectangles and one line of Helvetica; points are 1/72 inch, y runs up."""
    width, height = (side / _POINT_MM for side in size)
    draw = [
        f"{x / _POINT_MM:.4f} {height - (y + h) / _POINT_MM:.4f} {w / _POINT_MM:.4f} {h / _POINT_MM:.4f} re"
        for x, y, w, h in rectangles
    ]
    foot = (_MARGIN_MM + _RULER_MM + 4) / _POINT_MM, _MARGIN_MM / _POINT_MM
    stream = "\n".join([*draw, "f", f"BT /F1 8.5 Tf {foot[0]:.2f} {foot[1]:.2f} Td ({text}) Tj ET"]).encode("latin-1")
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R/ViewerPreferences<</PrintScaling/None>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width:.4f} {height:.4f}]/Contents 4 0 R"
        "/Resources<</Font<</F1 5 0 R>>>>>>".encode(),
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, start))


def page_png(rectangles: Sequence[Rectangle], size: tuple[float, float], text: str, *, dpi: int = 600) -> bytes:
    """A grey page; edges lie on whole pixels (0.04 mm at 600 dpi), and a pHYs chunk states the resolution."""
    scale = dpi / 25.4
    picture: npt.NDArray[np.uint8] = np.full((round(size[1] * scale), round(size[0] * scale)), 255, np.uint8)
    for x, y, w, h in rectangles:
        picture[round(y * scale) : round((y + h) * scale), round(x * scale) : round((x + w) * scale)] = 0
    at = round((_MARGIN_MM + _RULER_MM + 4) * scale), picture.shape[0] - round(_MARGIN_MM * scale)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.1 * scale, 0, max(1, round(0.2 * scale)), cv2.LINE_AA)
    written, data = cv2.imencode(".png", picture)
    if not written:
        raise ConfigError(f"a page of {picture.shape[1]}x{picture.shape[0]} pixels cannot be written; lower dpi")
    plain = data.tobytes()
    per_metre = round(dpi / 0.0254)
    chunk = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    head = 8 + 12 + 13  # signature and IHDR
    return plain[:head] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + plain[head:]


def _laid_out(board: Board, size: tuple[float, float]) -> tuple[list[Rectangle], str]:
    """Board in the middle above the foot, and the ruler with its ticks."""
    width, height = 1e3 * board.square_m * board.columns, 1e3 * board.square_m * board.rows
    room = size[0] - 2 * _MARGIN_MM, size[1] - 2 * _MARGIN_MM - _FOOT_MM
    if width > room[0] or height > room[1]:
        raise ConfigError(
            f"{board} is {width:.0f}x{height:.0f} mm and the page has room for {room[0]:.0f}x{room[1]:.0f}; choose "
            "smaller squares or a larger page"
        )
    left, top = (size[0] - width) / 2, _MARGIN_MM + (room[1] - height) / 2
    found = [(x + left, y + top, w, h) for x, y, w, h in board_rectangles(board)]
    foot = size[1] - _MARGIN_MM
    found.append((_MARGIN_MM, foot - 1.2, _RULER_MM, 0.25))
    found += [(_MARGIN_MM + place, foot - 3.2, 0.25, 4.0) for place in (0.0, _RULER_MM - 0.25)]
    return found, f"{board}   the line is {_RULER_MM:g} mm: print at 100 %, then measure it"


def _runs(row: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, last) of each run of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in steps.reshape(-1, 2)]
