# SPDX-License-Identifier: Apache-2.0
"""Calibration boards: what they are, and where their corners lie in a picture.

A ChArUco board is a chessboard with a marker in each white square, so that every corner has a number and a part of the
board is enough. A plain chessboard must be seen whole, and cannot tell which way round it lies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, DtypeError

__all__ = ["DICTIONARY", "Board", "View", "parse_board"]

Grey = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

DICTIONARY = "5X5_250"
MIN_CORNERS = 8  # of a view: fewer fix a pose badly
_NUMBER = r"(\d+(?:\.\d+)?)"
_TEXT = re.compile(rf"(charuco|chessboard):(\d+)x(\d+):{_NUMBER}(?::{_NUMBER}(?::(\w+))?)?")


@dataclass(frozen=True, slots=True)
class View:
    """The corners of a board in one picture: ids (N,) int, ascending; pixels (N, 2), integer = pixel centre."""

    name: str
    ids: npt.NDArray[np.int64]
    pixels: Points

    @property
    def usable(self) -> bool:
        """Enough corners, and not on one line."""
        if len(self.ids) < MIN_CORNERS:
            return False
        spread = np.linalg.svd(self.pixels - self.pixels.mean(axis=0), compute_uv=False)
        return bool(spread[1] > 0.05 * spread[0])


@dataclass(frozen=True)
class Board:
    """columns, rows: squares; square_m: side of a square; marker_m: side of a marker, None for a plain chessboard.

    The board's frame has its origin at the outer corner of the first square, x along the columns, y along the rows,
    z into the board. Raises ConfigError for a board that cannot be.
    """

    columns: int
    rows: int
    square_m: float
    marker_m: float | None = None
    dictionary: str = DICTIONARY

    def __post_init__(self) -> None:
        if not 3 <= min(self.columns, self.rows) <= max(self.columns, self.rows) <= 64:
            raise ConfigError(f"a board has 3 to 64 squares a side, got {self.columns}x{self.rows}")
        if not 0.0 < self.square_m < 10.0:
            raise ConfigError(f"the side of a square must be in metres, 0 to 10, got {self.square_m}")
        if self.marker_m is not None:
            if not 0.0 < self.marker_m < self.square_m:
                raise ConfigError(f"a marker ({self.marker_m} m) must fit into its square ({self.square_m} m)")
            self.aruco  # noqa: B018  (raises where the dictionary does not exist or is too small)

    @cached_property
    def aruco(self) -> Any:
        """OpenCV's `CharucoBoard`. Raises ConfigError for a plain chessboard or an unknown dictionary."""
        kind = getattr(cv2.aruco, f"DICT_{self.dictionary}", None)
        if self.marker_m is None or kind is None:
            known = ", ".join(sorted(name[5:] for name in dir(cv2.aruco) if re.match(r"DICT_\dX", name)))
            raise ConfigError(f"{self}: the dictionary of its markers must be one of {known}")
        words = cv2.aruco.getPredefinedDictionary(kind)
        markers = self.columns * self.rows // 2
        if len(words.bytesList) < markers:
            raise ConfigError(f"{self}: needs {markers} markers, the dictionary has {len(words.bytesList)}")
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, words)

    @property
    def points(self) -> Points:
        """(N, 3) metres: the inner corners, row by row; a corner's id is its row here."""
        y, x = np.mgrid[1 : self.rows, 1 : self.columns].reshape(2, -1)
        return np.stack([x * self.square_m, y * self.square_m, np.zeros(len(x))], axis=1)

    @property
    def symmetric(self) -> bool:
        """A plain chessboard that looks the same after half a turn."""
        return self.marker_m is None and (self.columns + self.rows) % 2 == 0

    def __str__(self) -> str:
        size = f"{self.columns}x{self.rows}:{self.square_m:g}"
        return f"chessboard:{size}" if self.marker_m is None else f"charuco:{size}:{self.marker_m:g}:{self.dictionary}"

    def detect(self, image: npt.NDArray[np.uint8], name: str = "") -> View:
        """The corners in an (H, W) or (H, W, 3) uint8 picture; no corner at all is an empty view."""
        if image.dtype != np.uint8:
            raise DtypeError(f"a picture of a board must be uint8, got {image.dtype}")
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        ids, pixels = self._charuco(grey) if self.marker_m is not None else self._chessboard(grey)
        order = np.argsort(ids)
        return View(name, ids[order].astype(np.int64), pixels[order].astype(np.float64))

    def spacing(self, pixels: npt.NDArray[Any], ids: npt.NDArray[Any]) -> float:
        """Median side of a square in pixels, from neighbours among the corners; 20 where none are neighbours."""
        across = self.columns - 1
        place = {int(number): pixel for number, pixel in zip(ids, pixels, strict=True)}
        sides = [
            float(np.linalg.norm(pixel - place[number + step]))
            for number, pixel in place.items()
            for step in (1, across)
            if number + step in place and (step != 1 or (number + 1) % across)
        ]
        return float(np.median(sides)) if sides else 20.0

    def _charuco(self, grey: Grey) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        pixels, ids, _, _ = cv2.aruco.CharucoDetector(self.aruco).detectBoard(grey)
        if ids is None or len(ids) == 0:
            return np.empty(0, np.int64), np.empty((0, 2))
        return np.asarray(ids).ravel(), self._refined(grey, np.asarray(pixels, np.float32).reshape(-1, 2), ids.ravel())

    def _refined(self, grey: Grey, pixels: npt.NDArray[Any], ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Saddle points again, in windows that stay clear of the markers: a quarter of the gap around a corner."""
        side = self.spacing(pixels, ids)
        gap = 1.0 if self.marker_m is None else 0.5 * (1.0 - self.marker_m / self.square_m)
        reach = round(max(2.0, 0.8 * gap * side))
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
        return np.asarray(cv2.cornerSubPix(grey, pixels[:, None].copy(), (reach, reach), (-1, -1), stop)).reshape(-1, 2)

    def _chessboard(self, grey: Grey) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        size = self.columns - 1, self.rows - 1
        found, corners = cv2.findChessboardCornersSB(grey, size, flags=cv2.CALIB_CB_EXHAUSTIVE + cv2.CALIB_CB_ACCURACY)
        if not found:
            return np.empty(0, np.int64), np.empty((0, 2))
        pixels = np.asarray(corners).reshape(-1, 2)
        if self.symmetric and pixels[0].sum() > pixels[-1].sum():  # as it stands upright in the picture
            pixels = pixels[::-1]
        return np.arange(len(pixels)), pixels


def parse_board(text: str) -> Board:
    """`charuco:COLUMNSxROWS:SQUARE:MARKER[:DICTIONARY]` or `chessboard:COLUMNSxROWS:SQUARE`; squares, metres.

    Raises ConfigError.
    """
    match = _TEXT.fullmatch(text)
    if match is None or (match[1] == "charuco") != (match[5] is not None):
        raise ConfigError(
            f"a board is charuco:COLUMNSxROWS:SQUARE_M:MARKER_M[:DICTIONARY] or chessboard:COLUMNSxROWS:SQUARE_M, with "
            f"squares counted, e.g. charuco:11x8:0.020:0.015, got {text!r}"
        )
    marker = None if match[5] is None else float(match[5])
    return Board(int(match[2]), int(match[3]), float(match[4]), marker, match[6] or DICTIONARY)
