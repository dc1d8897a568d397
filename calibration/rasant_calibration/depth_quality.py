# SPDX-License-Identifier: Apache-2.0
"""How good a depth camera's depth is, from pictures of a plane, by the definitions of the vendors.

Those of librealsense's depth-quality tool, which Basler and Orbbec state alike. In a region of interest, with the plane
fitted to it by total least squares after 0.5 % of the points were cut off at each end:

    fill rate       share of pixels with depth
    plane RMS       sqrt(mean (z_i - z_plane,i)^2), in metres and as a share of the distance
    sub-pixel RMS   the same of disparities d = baseline f / z: pixels of a stereo camera, equal at every distance
    Z error         median of (z_i - z_true,i) / z_true,i; positive is too far. The truth is a plane parallel to the
                    fitted one at a measured distance, or the plane of a board in the colour picture
    temporal noise  median over pixels of the standard deviation over frames / median depth; frames without depth at a
                    pixel are left out
    tilt            angle between the plane's normal and the optical axis

Figures of single frames are put together by their median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import BackgroundError, ConfigError
from rasant.ops.align import lens_rays
from rasant.types import Intrinsics
from rasant_calibration.board import Board, View
from rasant_calibration.limits import Check, DepthLimits, within
from rasant_calibration.pair import without_lens

__all__ = [
    "Box", "DepthQuality", "FittedPlane", "central", "fit_plane", "measure_depth", "temporal_noise", "true_plane",
]  # fmt: skip

Depth = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]
_CUT = 0.005  # of the points, at each end
_MIN_POINTS = 64


@dataclass(frozen=True, slots=True)
class FittedPlane:
    """normal . p = distance_m: unit normal away from the camera; rms_m, rms_px: of z and, with a baseline, disparity.

    depth_m: distance along the optical axis at the middle of the points. residual_m: (h, w) z minus plane, NaN where
    nothing was measured.
    """

    normal: Vector
    distance_m: float
    depth_m: float
    rms_m: float
    rms_px: float | None
    residual_m: Depth

    @property
    def tilt_deg(self) -> float:
        """Angle to the optical axis."""
        return float(np.degrees(np.arccos(np.clip(self.normal[2], -1.0, 1.0))))


@dataclass(frozen=True, slots=True)
class DepthQuality:
    """The figures. z_error, subpixel_rms_px and temporal_noise are None where their truth, baseline or frames lack.

    plane_rms: share of the distance. tilt_error_deg: between the fitted and the true plane, None without a board.
    """

    frames: int
    roi: Box
    fill_rate: float
    depth_m: float
    plane_rms_m: float
    plane_rms: float
    subpixel_rms_px: float | None
    z_error: float | None
    temporal_noise: float | None
    tilt_deg: float
    tilt_error_deg: float | None

    def checks(self, limits: DepthLimits) -> list[Check]:
        """The figures that decide; those that could not be measured are for information."""
        size = None if self.z_error is None else abs(self.z_error)
        found = [
            within("fill rate", self.fill_rate, limits, "min_fill_rate", "%"),
            within("plane RMS / distance", self.plane_rms, limits, "max_plane_rms", "%"),
            within("sub-pixel RMS", self.subpixel_rms_px, limits, "max_subpixel_rms_px", "px"),
            within("size of the Z error", size, limits, "max_z_error", "%"),
            within("temporal noise", self.temporal_noise, limits, "max_temporal_noise", "%"),
            within("tilt", self.tilt_deg, limits, "max_tilt_deg", "deg"),
        ]
        return [check if check.value is not None else Check(check.name, None, check.unit) for check in found]

    def as_numbers(self) -> dict[str, float]:
        """What the calibration file keeps."""
        names = ("fill_rate", "depth_m", "plane_rms_m", "subpixel_rms_px", "z_error", "temporal_noise", "tilt_deg",
                 "tilt_error_deg")  # fmt: skip
        return {name: float(getattr(self, name)) for name in names if getattr(self, name) is not None}


def measure_depth(
    frames: Sequence[Depth], camera: Intrinsics, *, roi: Box | None = None,
    truth: float | tuple[Vector, float] | None = None, baseline_m: float | None = None,
) -> tuple[DepthQuality, FittedPlane]:
    """The figures of a plane in (H, W) float32 metres, and the plane of the last frame for pictures.

    camera: of these depth images, any lens; roi: (x, y, width, height), by default the middle 40 % of either side;
    truth: distance of the plane from the camera's centre along its normal, or (normal, distance) of `true_plane`;
    baseline_m: of a stereo camera. Raises ConfigError for no frame or a region outside the image, BackgroundError for a
    frame with hardly any depth in it.
    """
    if not frames:
        raise ConfigError("no frame was measured; the source must give at least one")
    roi = central(camera) if roi is None else roi
    window, rays = _window(roi, camera), lens_rays(camera)
    inside = [frame[window] for frame in frames]
    towards = rays[:, window[0], window[1]]
    planes = [fit_plane(part, towards, camera.fx, baseline_m) for part in inside]
    errors = [] if truth is None else [_z_error(part, towards, plane, truth)
                                       for part, plane in zip(inside, planes, strict=True)]  # fmt: skip
    tilts = [] if truth is None or isinstance(truth, float | int) else [
        np.degrees(np.arccos(np.clip(plane.normal @ truth[0], -1.0, 1.0))) for plane in planes
    ]  # fmt: skip
    depth = _median([plane.depth_m for plane in planes])
    rms = _median([plane.rms_m for plane in planes])
    found = DepthQuality(
        frames=len(frames), roi=roi, fill_rate=float(np.mean([_valid(part).mean() for part in inside])), depth_m=depth,
        plane_rms_m=rms, plane_rms=rms / depth,
        subpixel_rms_px=None if baseline_m is None else _median([plane.rms_px for plane in planes]),
        z_error=_median(errors) if errors else None, temporal_noise=temporal_noise(inside),
        tilt_deg=_median([plane.tilt_deg for plane in planes]), tilt_error_deg=_median(tilts) if tilts else None,
    )  # fmt: skip
    return found, planes[-1]


def fit_plane(depth: Depth, rays: Depth, focal: float, baseline_m: float | None = None) -> FittedPlane:
    """The plane of a depth image (h, w) in metres; rays: (2, h, w) of its pixels, as `rasant.ops.align.lens_rays`.

    Raises BackgroundError for fewer than 64 pixels with depth.
    """
    valid = _valid(depth) & np.isfinite(rays[0])
    if np.count_nonzero(valid) < _MIN_POINTS:
        raise BackgroundError(f"a plane needs {_MIN_POINTS} pixels with depth, got {np.count_nonzero(valid)}")
    z = depth[valid].astype(np.float64)
    towards = np.stack([rays[0][valid], rays[1][valid], np.ones(len(z))], axis=1).astype(np.float64)
    points = towards * z[:, None]
    normal, distance = _least_squares(points)
    off = points @ normal - distance
    low, high = np.quantile(off, [_CUT, 1.0 - _CUT])
    kept = (off >= low) & (off <= high)
    normal, distance = _least_squares(points[kept])
    on_plane = distance / (towards @ normal)
    residual = np.full(depth.shape, np.nan, np.float32)
    residual[valid] = z - on_plane
    rms_px = None
    if baseline_m is not None:
        rms_px = _rms(baseline_m * focal * (1.0 / z - 1.0 / on_plane)[kept])
    return FittedPlane(normal, distance, float(points[:, 2].mean()), _rms((z - on_plane)[kept]), rms_px, residual)


def temporal_noise(frames: Sequence[Depth]) -> float | None:
    """Median over pixels of (standard deviation over frames / median depth); None for a single frame."""
    if len(frames) < 2:
        return None
    stack = np.stack(frames).astype(np.float64)
    stack[~_valid(stack)] = np.nan
    often = np.isfinite(stack).sum(axis=0) >= 2
    if not often.any():
        return None
    seen = stack[:, often]
    return float(np.median(np.nanstd(seen, axis=0, ddof=1) / np.nanmedian(seen, axis=0)))


def true_plane(view: View, board: Board, camera: Intrinsics) -> tuple[Vector, float]:
    """(normal, distance) of the board's plane, from its corners in the colour picture that lies over the depth.

    Raises ConfigError where too few corners are seen.
    """
    if not view.usable:
        raise ConfigError(f"{view.name}: too few corners of {board} are seen to say where the plane is")
    ideal = without_lens(view.pixels, camera)
    matrix = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    _, turn, shift = cv2.solvePnP(board.points[view.ids], ideal, matrix, np.zeros(5))
    normal = cv2.Rodrigues(turn)[0][:, 2]
    normal = normal * np.sign(normal @ shift.ravel())
    return normal, float(normal @ shift.ravel())


def central(camera: Intrinsics, share: float = 0.4) -> Box:
    """The middle of the image, `share` of either side: (x, y, width, height)."""
    width, height = round(share * camera.width), round(share * camera.height)
    return (camera.width - width) // 2, (camera.height - height) // 2, max(1, width), max(1, height)


def _window(box: Box, camera: Intrinsics) -> tuple[slice, slice]:
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1 or x + width > camera.width or y + height > camera.height:
        raise ConfigError(f"the region {box} (x, y, width, height) must lie in {camera.width}x{camera.height} pixels")
    return slice(y, y + height), slice(x, x + width)


def _z_error(depth: Depth, rays: Depth, plane: FittedPlane, truth: float | tuple[Vector, float]) -> float:
    normal, distance = (plane.normal, float(truth)) if isinstance(truth, float | int) else truth
    expected = distance / (normal[0] * rays[0] + normal[1] * rays[1] + normal[2])
    valid = _valid(depth)
    return float(np.median(depth[valid] / expected[valid] - 1.0))


def _least_squares(points: Vector) -> tuple[Vector, float]:
    middle = points.mean(axis=0)
    _, axes = np.linalg.eigh((points - middle).T @ (points - middle))
    normal = axes[:, 0] * (1.0 if axes[2, 0] > 0 else -1.0)
    return normal, float(middle @ normal)


def _valid(depth: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(depth) & (depth > 0))


def _rms(values: Vector) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _median(values: Sequence[Any]) -> float:
    return float(np.median(values))
