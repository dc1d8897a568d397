# SPDX-License-Identifier: Apache-2.0
"""A projector as a camera in reverse, from structured light on a board (Moreno and Taubin, "Simple, accurate, and
robust projector-camera calibration", 3DIMPVT 2012).

The decoded patterns say which projector pixel lights each camera pixel, in whole numbers or with fractions. Around a
corner of the board a homography takes the camera's pixels to the projector's: many pixels vote, so the corner is found
in the projector to a fraction of a pixel, though no camera pixel need lie on it. From there on a projector is
calibrated like a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from rasant.calibration_file import FittedLens
from rasant.errors import ConfigError, ShapeError
from rasant_calibration.board import Board, View
from rasant_calibration.camera import CameraFit, calibrate_camera
from rasant_calibration.limits import Check, Limits
from rasant_calibration.pair import PairFit, calibrate_pair

__all__ = ["LitView", "ProjectorFit", "calibrate_projector", "projector_view"]

Points = npt.NDArray[np.float64]

_REACH = 0.5  # of a square's side: how far around a corner pixels vote
_MIN_REACH = 4
_MIN_SHARE = 0.25  # of the pixels around a corner that must be decoded, and of those that must agree
_INLIER_PX = 2.0  # projector pixels; a Gray code has steps of 1, a wrong bit is off by far more


@dataclass(frozen=True, slots=True)
class LitView:
    """A pose of the board under structured light.

    view: its corners in the camera; column, row: (H, W) float32 projector coordinates of each camera pixel, an integer
    is a pixel centre; valid: (H, W) bool, where they were decoded.
    """

    view: View
    column: npt.NDArray[np.float32]
    row: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ProjectorFit:
    """Lens of the projector and motion from the camera, and the camera's own fit where it was fitted here."""

    camera: CameraFit | None
    projector: CameraFit
    pair: PairFit

    def checks(self, limits: Limits) -> list[Check]:
        """The figures that decide."""
        named = [] if self.camera is None else [("camera", self.camera)]
        named.append(("projector", self.projector))
        found = [
            Check(f"{name}: {c.name}", c.value, c.unit, c.limit, c.at_least)
            for name, fit in named
            for c in fit.checks(limits.camera)
        ]
        return found + self.pair.checks(limits.pair)


def calibrate_projector(
    lit: Sequence[LitView], board: Board, size: tuple[int, int], *, camera: FittedLens | None = None,
    model: str = "auto", reject: bool = True,
) -> ProjectorFit:
    """Lens of a projector and where it stands, from 4 or more poses of a board under structured light.

    Corners and poses that one fit rejects are left out of those that follow: it is the board that was bent there.

    size: (rows, cols) of the projector. camera: the camera's lens where it is known; else it is fitted to these views.
    model, reject: as `calibrate_camera` takes them, for both lenses.
    Raises ConfigError for too few views, ShapeError for images that do not fit together.
    """
    if not lit:
        raise ConfigError("no pose of the board is given")
    shape = lit[0].column.shape
    for one in lit:
        if not one.column.shape == one.row.shape == one.valid.shape == shape:
            raise ShapeError(f"{one.view.name}: decoded images differ in size: {one.column.shape}, expected {shape}")
    views = [one.view for one in lit]
    fitted = calibrate_camera(views, board, shape, model=model, reject=reject) if camera is None else None
    lens = fitted.lens if fitted is not None else camera
    assert lens is not None
    if (lens.height, lens.width) != shape:
        raise ShapeError(f"the camera's lens is for {lens.width}x{lens.height}, its pictures are {shape[1]}x{shape[0]}")
    if fitted is not None:
        good = {view.name: view for view in fitted.views}
        lit = [replace(one, view=good[one.view.name]) for one in lit if one.view.name in good]
    lighted = [projector_view(one, board, size) for one in lit]
    projector = calibrate_camera(lighted, board, size, model=model, reject=reject)
    pair = calibrate_pair(views, projector.views, board, lens.intrinsics, projector.lens.intrinsics, reject=reject)
    return ProjectorFit(fitted, projector, pair)


def projector_view(lit: LitView, board: Board, size: tuple[int, int]) -> View:
    """The board's corners as the projector would see them; corners without enough light are left out."""
    reach = max(_MIN_REACH, round(_REACH * board.spacing(lit.view.pixels, lit.view.ids)))
    found = [_mapped(lit, pixel, reach) for pixel in lit.view.pixels]
    kept = [place for place, at in enumerate(found) if at is not None and _inside(at, size)]
    pixels = np.array([found[place] for place in kept], np.float64).reshape(-1, 2)
    return View(lit.view.name, lit.view.ids[kept], pixels)


def _mapped(lit: LitView, pixel: Points, reach: int) -> Points | None:
    """A camera pixel through the homography of its surroundings; None where too little was decoded or agrees."""
    x, y = np.rint(pixel).astype(int)
    top, left = max(y - reach, 0), max(x - reach, 0)
    window = slice(top, y + reach + 1), slice(left, x + reach + 1)
    valid = lit.valid[window]
    if valid.size == 0 or np.count_nonzero(valid) < max(12, _MIN_SHARE * (2 * reach + 1) ** 2):
        return None
    rows, cols = np.nonzero(valid)
    here = np.stack([cols + left, rows + top], axis=1) - pixel
    there = np.stack([lit.column[window][valid], lit.row[window][valid]], axis=1).astype(np.float64)
    middle = np.median(there, axis=0)
    homography, agree = cv2.findHomography(here, there - middle, cv2.RANSAC, _INLIER_PX)
    if homography is None or np.count_nonzero(agree) < _MIN_SHARE * len(here) or not homography[2, 2]:
        return None
    return np.asarray(homography[:2, 2] / homography[2, 2] + middle, np.float64)


def _inside(at: Points, size: tuple[int, int]) -> bool:
    """Not further than a pixel outside the projector's picture."""
    return bool(-1.0 <= at[0] <= size[1] and -1.0 <= at[1] <= size[0])
