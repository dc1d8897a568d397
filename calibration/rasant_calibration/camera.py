# SPDX-License-Identifier: Apache-2.0
"""The lens of a camera, or of a projector, from views of a board (Zhang, "A flexible new technique for camera
calibration", PAMI 2000, as OpenCV solves it), with what makes it trustworthy.

Corners that lie off by far (glare, a board that is not flat at its edge) are left out, and views in which many do are
rejected one by one. The lens model is the simplest one that predicts views it has not seen as
well as the best does: a richer model always fits its own views better. How well the focal length is known is its
standard deviation by the fit's covariance, which is large where all views stand square to the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Fit, FittedLens
from rasant.errors import ConfigError
from rasant_calibration.board import Board, View
from rasant_calibration.limits import CameraLimits, Check, within

__all__ = ["CELLS", "MODELS", "CameraFit", "calibrate_camera", "worst_view"]

Points = npt.NDArray[np.float64]

MODELS = {
    "none": cv2.CALIB_FIX_K1 | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST,
    "radial1": cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST,
    "radial2": cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST,
    "brown4": cv2.CALIB_FIX_K3,
    "brown5": 0,
    "rational": cv2.CALIB_RATIONAL_MODEL,
}
"""Lens models from the simplest to the richest, with OpenCV's flags. All but the first and the last are stored as
Brown-Conrady with zeros."""

CELLS = 8, 6  # of the coverage map, across and down
MIN_VIEWS = 4
_FREE = {"none": [], "radial1": [0], "radial2": [0, 1], "brown4": [0, 1, 2, 3], "brown5": [0, 1, 2, 3, 4]}
_ALL = list(range(8))  # coefficients of the rational model
_FOLDS = 5
_SIMPLER = 1.02  # a simpler model may predict so much worse than the best
_OUTLIER = 2.5  # times the median of the other views ...
_HARMLESS_PX = 0.1  # ... and at least so much more
_FAR = 5.0  # deviations of a corner
_MOST_CORNERS = 0.2  # of a view that are left out; beyond, the view itself disagrees


@dataclass(frozen=True, slots=True)
class CameraFit:
    """A lens with its evidence.

    model: key of MODELS; predicted_px: RMS of each model on views that it was not fitted to; views: those used, with
    residuals (N, 2) measured minus predicted pixels and poses (4, 4) camera from board; rejected: views that disagree;
    skipped: names of pictures with too few corners; coverage: (down, across) corners in each cell of the image.
    """

    lens: FittedLens
    model: str
    predicted_px: dict[str, float]
    views: tuple[View, ...]
    residuals: tuple[Points, ...]
    poses: tuple[Points, ...]
    rejected: tuple[View, ...]
    skipped: tuple[str, ...]
    coverage: npt.NDArray[np.int64]

    def checks(self, limits: CameraLimits) -> list[Check]:
        """The figures that decide."""
        fit = self.lens.fit
        assert fit is not None and fit.focal_std_px is not None
        spread = max(fit.focal_std_px[0] / self.lens.fx, fit.focal_std_px[1] / self.lens.fy)
        return [
            within("reprojection RMS", fit.rms_px, limits, "max_rms_px", "px"),
            within("image covered", fit.coverage, limits, "min_coverage", "%"),
            within("focal length known to", spread, limits, "max_focal_std", "%"),
        ]


@dataclass(frozen=True, slots=True)
class _Solved:
    """One fit: matrix (3, 3), coefficients, poses, residuals."""

    matrix: Points
    distortion: Points
    poses: tuple[Points, ...]
    residuals: tuple[Points, ...]


def calibrate_camera(
    views: Sequence[View], board: Board, size: tuple[int, int], *, model: str = "auto", reject: bool = True
) -> CameraFit:
    """Fit a lens to views of a board; size is (rows, cols) of the pictures.

    model: a key of MODELS, or "auto". reject: leave out corners and views (a third at most) that disagree.
    Raises ConfigError for an unknown model, and for fewer than 4 usable views.
    """
    if model != "auto" and model not in MODELS:
        raise ConfigError(f"the lens model must be auto or one of {', '.join(MODELS)}, got {model!r}")
    used = [view for view in views if view.usable]
    if len(used) < MIN_VIEWS:
        raise ConfigError(
            f"a lens needs at least {MIN_VIEWS} views of the board, 15 are better; of {len(views)} pictures "
            f"{len(used)} show enough of {board}: check its size, its light and its focus"
        )
    shown = sum(len(view.ids) for view in used)
    rejected = _reject(used, board, size, "brown4" if model == "auto" else model) if reject else []
    lost = shown - sum(len(view.ids) for view in (*used, *rejected))
    predicted: dict[str, float] = {}
    if model == "auto":
        predicted = {name: _predicted(used, board, size, name) for name in MODELS}
        best = min(predicted.values())
        model = next(name for name, error in predicted.items() if error <= _SIMPLER * best)
    solved = _solve(used, board, size, model)
    coverage, spread = _coverage(used, size), _spread(solved, used, board, model)
    fit = Fit(
        rms_px=rms_of(solved.residuals), views=len(used), views_rejected=len(rejected), corners_rejected=lost,
        corners=sum(len(view.ids) for view in used), coverage=float((coverage > 0).mean()),
        focal_std_px=_pair(spread[:2]), center_std_px=_pair(spread[2:]),
        view_rms_px=tuple(rms_of([part]) for part in solved.residuals),
    )  # fmt: skip
    skipped = tuple(view.name for view in views if not view.usable)
    return CameraFit(
        _lens(solved, size, model, fit), model, predicted, tuple(used), solved.residuals, solved.poses,
        tuple(rejected), skipped, coverage,
    )  # fmt: skip


def _reject(used: list[View], board: Board, size: tuple[int, int], model: str) -> list[View]:
    """Take from `used` the corners that lie off by far, then the views that disagree, until none does; the views."""
    rejected: list[View] = []
    least = {view.name: (1.0 - _MOST_CORNERS) * len(view.ids) for view in used}
    while True:
        residuals = _solve(used, board, size, model).residuals
        kept = [_without_outliers(*pair, least) for pair in zip(used, _outliers(residuals), strict=True)]
        if any(len(one.ids) < len(other.ids) for one, other in zip(kept, used, strict=True)):
            used[:] = kept
            continue
        worst = worst_view([rms_of([part]) for part in residuals])
        if worst is None or len(used) <= max(MIN_VIEWS, 2 * len(rejected) + 2):
            return rejected
        rejected.append(used.pop(worst))


def _outliers(residuals: Sequence[Points]) -> list[npt.NDArray[np.bool_]]:
    """Corners of each view that are five robust deviations off, more than 0.1 px, and half as far as its worst one.

    The last because corners that are far off pull the others with them, until they are gone.
    """
    lengths = [np.linalg.norm(part, axis=1) for part in residuals]
    deviation = float(np.median(np.concatenate(lengths))) / 1.1774  # of a coordinate, were they normal
    return [part > max(_FAR * deviation, _HARMLESS_PX, 0.5 * part.max()) for part in lengths]


def _without_outliers(view: View, far: npt.NDArray[np.bool_], least: dict[str, float]) -> View:
    """The view without these corners, or as it is where too few would be left."""
    if len(view.ids) - np.count_nonzero(far) < least[view.name]:
        return view
    return View(view.name, view.ids[~far], view.pixels[~far])


def worst_view(rms: Sequence[float]) -> int | None:
    """The view that disagrees with the others: 2.5 times their median and 0.1 px more than it; None without one."""
    worst = int(np.argmax(rms))
    others = float(np.median([*rms[:worst], *rms[worst + 1 :]]))
    return worst if rms[worst] > max(_OUTLIER * others, others + _HARMLESS_PX) else None


def rms_of(residuals: Sequence[Points]) -> float:
    """Root mean square length of (N, 2) residuals."""
    squares = np.concatenate([np.sum(part**2, axis=1) for part in residuals])
    return float(np.sqrt(squares.mean()))


def _solve(views: Sequence[View], board: Board, size: tuple[int, int], model: str) -> _Solved:
    there = [board.points[view.ids].astype(np.float32) for view in views]
    here = [view.pixels.astype(np.float32) for view in views]
    found = cv2.calibrateCameraExtended(there, here, size[::-1], np.eye(3), np.zeros(5), flags=MODELS[model])
    matrix, distortion = np.asarray(found[1], np.float64), np.asarray(found[2], np.float64).ravel()
    poses = tuple(_pose(turn, shift) for turn, shift in zip(found[3], found[4], strict=True))
    residuals = tuple(
        view.pixels - _project(board, view, pose, matrix, distortion) for view, pose in zip(views, poses, strict=True)
    )
    return _Solved(matrix, distortion, poses, residuals)


def _spread(solved: _Solved, views: Sequence[View], board: Board, model: str) -> Points:
    """Standard deviations of fx, fy, cx, cy: the normal equations with every pose eliminated (Schur complement).

    OpenCV's own come from a pseudo-inverse, which calls what the views do not determine at all well known.
    """
    lens = [6, 7, 8, 9, *(10 + place for place in _FREE.get(model, _ALL))]
    normal, squares, count = np.zeros((len(lens), len(lens))), 0.0, 0
    for view, pose, residual in zip(views, solved.poses, solved.residuals, strict=True):
        turn = cv2.Rodrigues(pose[:3, :3])[0]
        jacobian = cv2.projectPoints(board.points[view.ids], turn, pose[:3, 3], solved.matrix, solved.distortion)[1]
        by_lens, by_pose = jacobian[:, lens], jacobian[:, :6]
        mixed = by_pose.T @ by_lens
        normal += by_lens.T @ by_lens - mixed.T @ np.linalg.solve(by_pose.T @ by_pose, mixed)
        squares, count = squares + float((residual**2).sum()), count + residual.size
    scale = np.sqrt(np.diag(normal))
    values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
    variance = (vectors[:4] ** 2 / np.maximum(values, 1e-15)).sum(axis=1) / scale[:4] ** 2
    variance *= squares / max(1, count - len(lens) - 6 * len(views))
    return np.asarray(np.minimum(np.sqrt(variance), solved.matrix[0, 0]), np.float64)


def _predicted(views: Sequence[View], board: Board, size: tuple[int, int], model: str) -> float:
    """RMS on held-out views, of which only the pose is fitted."""
    errors: list[Points] = []
    folds = min(_FOLDS, len(views))
    for fold in range(folds):
        rest = [view for place, view in enumerate(views) if place % folds != fold]
        solved = _solve(rest, board, size, model)
        for view in views[fold::folds]:
            _, turn, shift = cv2.solvePnP(board.points[view.ids], view.pixels, solved.matrix, solved.distortion)
            pose = _pose(turn, shift)
            errors.append(view.pixels - _project(board, view, pose, solved.matrix, solved.distortion))
    return rms_of(errors)


def _pose(turn: npt.ArrayLike, shift: npt.ArrayLike) -> Points:
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.asarray(turn, np.float64))[0]
    pose[:3, 3] = np.asarray(shift, np.float64).ravel()
    return pose


def _project(board: Board, view: View, pose: Points, matrix: Points, distortion: Points) -> Points:
    points = board.points[view.ids] @ pose[:3, :3].T + pose[:3, 3]
    pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, distortion)
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def _coverage(views: Sequence[View], size: tuple[int, int]) -> npt.NDArray[np.int64]:
    pixels = np.concatenate([view.pixels for view in views])
    reach = [[-0.5, size[0] - 0.5], [-0.5, size[1] - 0.5]]
    counts, _, _ = np.histogram2d(pixels[:, 1], pixels[:, 0], bins=CELLS[::-1], range=reach)
    return np.asarray(counts, np.int64)


def _lens(solved: _Solved, size: tuple[int, int], model: str, fit: Fit) -> FittedLens:
    kind = {"none": "none", "rational": "rational"}.get(model, "brown_conrady")
    kept = {"none": 0, "rational": 8}.get(model, 5)
    matrix = solved.matrix
    return FittedLens(
        width=size[1], height=size[0], fx=float(matrix[0, 0]), fy=float(matrix[1, 1]), cx=float(matrix[0, 2]),
        cy=float(matrix[1, 2]), distortion_model=kind, distortion=tuple(solved.distortion[:kept].tolist()), fit=fit,
    )  # fmt: skip


def _pair(values: Points) -> tuple[float, float]:
    return float(values[0]), float(values[1])
