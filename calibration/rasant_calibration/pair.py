# SPDX-License-Identifier: Apache-2.0
"""The motion between two devices that see the same board at the same moment: depth and colour, or camera and projector.

Both lenses are known and stay as they are. Corners are first freed of either lens, whatever its model, so one solver
(OpenCV's stereoCalibrate) serves all models; residuals are pixels of those ideal cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Motion
from rasant.errors import ConfigError
from rasant.ops.align import lens_rays
from rasant.types import Intrinsics
from rasant_calibration.board import Board, View
from rasant_calibration.camera import worst_view
from rasant_calibration.limits import Check, PairLimits, within

__all__ = ["PairFit", "calibrate_pair", "without_lens"]

Points = npt.NDArray[np.float64]
MIN_VIEWS = 3


@dataclass(frozen=True, slots=True)
class PairFit:
    """There from here, with its evidence.

    names: the views that were used; view_rms_px: (N, 2) of each view, here and there; rejected: those that disagree;
    skipped: views in which too few corners were seen by both.
    """

    motion: Motion
    names: tuple[str, ...]
    view_rms_px: Points
    rejected: tuple[str, ...]
    skipped: tuple[str, ...]
    corners: int

    def checks(self, limits: PairLimits) -> list[Check]:
        """The figures that decide."""
        return [
            within("reprojection RMS of both", self.motion.rms_px, limits, "max_rms_px", "px"),
            Check("baseline", 1e3 * float(np.linalg.norm(self.motion.translation_m)), "mm"),
            Check("angle between the axes", _angle(self.motion), "deg"),
        ]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A view from both sides: points on the board, and ideal pixels here and there."""

    name: str
    board: npt.NDArray[np.float32]
    here: npt.NDArray[np.float32]
    there: npt.NDArray[np.float32]


def calibrate_pair(
    here: Sequence[View], there: Sequence[View], board: Board, lens_here: Intrinsics, lens_there: Intrinsics, *,
    reject: bool = True,
) -> PairFit:
    """The rigid motion from one device's frame to the other's, from views of the same name.

    reject: leave out views that disagree with the others, a third at most. Raises ConfigError for fewer than 3 views
    with 8 common corners each.
    """
    others = {view.name: view for view in there}
    pairs = [(view, others[view.name]) for view in here if view.name in others]
    seen = [_common(one, other, board, lens_here, lens_there) for one, other in pairs]
    used = [view for view in seen if view is not None]
    if len(used) < MIN_VIEWS:
        raise ConfigError(
            f"at least {MIN_VIEWS} views must show 8 corners to both devices, 10 are better; got {len(used)} of "
            f"{len(here)} and {len(there)} pictures, paired by name"
        )
    names = {view.name for view in used}
    skipped = tuple(dict.fromkeys(view.name for view in (*here, *there) if view.name not in names))
    rejected: list[str] = []
    while True:
        rms, motion, errors = _solve(used, lens_here, lens_there)
        worst = worst_view(np.sqrt((errors**2).mean(axis=1)).tolist()) if reject else None
        if worst is None or len(used) <= max(MIN_VIEWS, 2 * len(rejected) + 2):
            break
        rejected.append(used.pop(worst).name)
    return PairFit(
        Motion.from_matrix(motion, rms), tuple(view.name for view in used), errors, tuple(rejected), skipped,
        sum(len(view.board) for view in used),
    )  # fmt: skip


def without_lens(pixels: Points, lens: Intrinsics) -> Points:
    """(N, 2) pixels where a camera of the same matrix without distortion would see them, for any lens model.

    The rays of the four pixels around each are blended, and continued beyond the rim of the image.
    """
    rays = lens_rays(lens).astype(np.float64)
    left, top = (np.clip(np.floor(pixels[:, axis]).astype(int), 0, side - 2)
                 for axis, side in enumerate((lens.width, lens.height)))  # fmt: skip
    across, down = pixels[:, 0] - left, pixels[:, 1] - top
    upper = rays[:, top, left] * (1.0 - across) + rays[:, top, left + 1] * across
    lower = rays[:, top + 1, left] * (1.0 - across) + rays[:, top + 1, left + 1] * across
    x, y = upper * (1.0 - down) + lower * down
    return np.stack([x * lens.fx + lens.cx, y * lens.fy + lens.cy], axis=1)


def _common(one: View, other: View, board: Board, lens_one: Intrinsics, lens_other: Intrinsics) -> _Seen | None:
    """The corners that both see; None for too few."""
    ids, first, second = np.intersect1d(one.ids, other.ids, return_indices=True)
    here, there = View(one.name, ids, one.pixels[first]), View(one.name, ids, other.pixels[second])
    if not (here.usable and there.usable):
        return None
    ideal = without_lens(here.pixels, lens_one), without_lens(there.pixels, lens_other)
    return _Seen(one.name, board.points[ids].astype(np.float32), *(pixels.astype(np.float32) for pixels in ideal))


def _solve(views: Sequence[_Seen], here: Intrinsics, there: Intrinsics) -> tuple[float, Points, Points]:
    """RMS over both, (4, 4) there from here, and (N, 2) RMS of each view."""
    straight = np.zeros(5)
    found = cv2.stereoCalibrateExtended(
        [view.board for view in views], [view.here for view in views], [view.there for view in views],
        _matrix(here), straight, _matrix(there), straight, (here.width, here.height), np.eye(3), np.zeros((3, 1)),
        flags=cv2.CALIB_FIX_INTRINSIC,
    )  # fmt: skip
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = _rotation(found[5]), found[6].ravel()
    return float(found[0]), motion, np.asarray(found[-1], np.float64)


def _rotation(matrix: npt.ArrayLike) -> Points:
    """The nearest rotation."""
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    return np.asarray(left @ right, np.float64)


def _matrix(lens: Intrinsics) -> Points:
    return np.array([[lens.fx, 0.0, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, 1.0]])


def _angle(motion: Motion) -> float:
    return float(np.degrees(np.arccos(np.clip(motion.rotation[2][2], -1.0, 1.0))))
