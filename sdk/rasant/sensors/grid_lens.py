# SPDX-License-Identifier: Apache-2.0
"""The lens behind an organised point cloud: which camera sees point (x, y, z) at pixel (u, v)?

Structured-light cameras keep the order of their sensor's pixels, so their points lie on the rays of one lens, which can
be fitted once and checked in each frame. Profile scanners and rectified maps have parallel rays instead: such a grid is
placed far before a long lens, `standoff_m` away, where a point is displaced sideways by at most height / standoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.types import Intrinsics

__all__ = ["GridLens", "fit_lens"]

TOLERANCE_PX = 0.5  # root mean square at fitting, median in each frame
IDEAL_PX = 0.1  # below this no distortion is fitted
SAMPLES = 20_000
LEAST = 200  # points, over at least half of the rows and columns
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GridLens:
    """A lens, and how far away the grid was placed (0: it is a lens of its own, and depth is measured from it)."""

    intrinsics: Intrinsics
    standoff_m: float = 0.0

    def misfit_px(
        self, x: npt.NDArray[Any], y: npt.NDArray[Any], depth: npt.NDArray[Any], depth_scale: float = 1.0
    ) -> float:
        """Median distance of points from where this lens sees them, on a sample; NaN without points."""
        sample = _sampled(x, y, depth, 2000)
        u, v, px, py, pz = (array[sample[4] > 0] for array in sample)
        pz = pz * depth_scale
        if u.size == 0:
            return float("nan")
        if self.standoff_m:
            pz = np.full_like(pz, self.standoff_m)
        lens = self.intrinsics
        dx, dy = _distorted(px / pz, py / pz, np.array(lens.distortion or (0.0,) * 5))
        return float(np.median(np.hypot(lens.fx * dx + lens.cx - u, lens.fy * dy + lens.cy - v)))


def fit_lens(x: npt.NDArray[Any], y: npt.NDArray[Any], depth: npt.NDArray[Any], standoff_m: float = 0.0) -> GridLens:
    """The lens of a grid of points, (H, W) each, in metres; invalid ones are NaN in x and y, 0 in depth.

    A pinhole by least squares; where that leaves more than a tenth of a pixel, with Brown-Conrady distortion (OpenCV's
    order k1 k2 p1 p2 k3), by Gauss-Newton. Raises ConfigError where no lens explains the grid, and says what it is.
    """
    rows, cols = depth.shape
    u, v, px, py, pz = _sampled(x, y, depth, SAMPLES)
    if u.size < LEAST or np.ptp(u) < cols / 2 or np.ptp(v) < rows / 2:
        raise ConfigError(
            f"{u.size} valid points are too few, or too close together, to see the lens in them; open the camera while "
            "a surface fills most of its picture, or give its calibration file"
        )
    ((step_x, first_x), (step_y, first_y)), parallel_px = _parallel(u, v, px, py)
    if standoff_m:
        if parallel_px > TOLERANCE_PX:
            raise ConfigError(f"standoff is for grids of parallel rays, this one is {parallel_px:.1f} px off: omit it")
        fx, fy = standoff_m / abs(step_x), standoff_m / abs(step_y)
        return GridLens(Intrinsics(cols, rows, fx, fy, -first_x / step_x, -first_y / step_y), standoff_m)
    ahead = pz > 0
    numbers, pinhole_px = np.zeros(9), float("inf")
    if ahead.sum() >= LEAST:
        u, v, px, py, pz = (array[ahead] for array in (u, v, px, py, pz))
        numbers, pinhole_px = _pinhole(u, v, px / pz, py / pz)
    if pinhole_px > TOLERANCE_PX or numbers[0] <= 0 or numbers[2] <= 0:
        what = "its points lie in another frame than the camera's, or in no order of pixels"
        if parallel_px <= TOLERANCE_PX:
            what = (
                f"it has parallel rays {1e3 * abs(step_x):.4g} x {1e3 * abs(step_y):.4g} mm apart; open it with "
                "standoff=METRES (about twenty times its width), and c_axis=towards where C is a height"
            )
        raise ConfigError(f"no lens explains the grid of points ({pinhole_px:.1f} px off): {what}")
    fx, cx, fy, cy, *rest = (float(number) for number in numbers)
    if not any(rest):
        return GridLens(Intrinsics(cols, rows, fx, fy, cx, cy))
    return GridLens(Intrinsics(cols, rows, fx, fy, cx, cy, "brown_conrady", tuple(rest)))


def _sampled(x: npt.NDArray[Any], y: npt.NDArray[Any], depth: npt.NDArray[Any], count: int) -> tuple[Vector, ...]:
    """(u, v, x, y, z) of about `count` pixels that were measured, evenly spread; z is 0 where it is no depth."""
    step = max(1, int(np.sqrt(depth.size / count)))
    v, u = np.mgrid[0 : depth.shape[0] : step, 0 : depth.shape[1] : step]
    points = [np.asarray(image[::step, ::step], np.float64) for image in (x, y, depth)]
    usable = np.isfinite(points[0]) & np.isfinite(points[1])
    return tuple(np.asarray(array[usable], np.float64) for array in (u, v, *points))


def _line(at: Vector, value: Vector) -> tuple[tuple[float, float], Vector]:
    """(slope, value at 0) and the residuals."""
    matrix = np.column_stack([at, np.ones_like(at)])
    solution = np.linalg.lstsq(matrix, value, rcond=None)[0]
    return (float(solution[0]), float(solution[1])), value - matrix @ solution


def _parallel(
    u: Vector, v: Vector, x: Vector, y: Vector
) -> tuple[tuple[tuple[float, float], tuple[float, float]], float]:
    """(Step, first) along x and y of a grid of parallel rays, and how far it is from being one, in pixels."""
    (along, rest_x), (down, rest_y) = _line(u, x), _line(v, y)
    if not (along[0] and down[0]):
        return (along, down), float("inf")
    return (along, down), float(np.sqrt(np.mean((rest_x / along[0]) ** 2 + (rest_y / down[0]) ** 2)))


def _distorted(x: Vector, y: Vector, k: Vector) -> tuple[Vector, Vector]:
    """Brown-Conrady: normalised coordinates as the lens bends them."""
    r = x * x + y * y
    radial = 1 + r * (k[0] + r * (k[1] + r * k[4]))
    return (
        x * radial + 2 * k[2] * x * y + k[3] * (r + 2 * x * x),
        y * radial + k[2] * (r + 2 * y * y) + 2 * k[3] * x * y,
    )


def _pinhole(u: Vector, v: Vector, x: Vector, y: Vector) -> tuple[Vector, float]:
    """(fx, cx, fy, cy, k1, k2, p1, p2, k3) and the root mean square that is left, in pixels."""
    (fx, cx), rest_u = _line(x, u)
    (fy, cy), rest_v = _line(y, v)
    numbers = np.array([fx, cx, fy, cy, 0, 0, 0, 0, 0])
    left = float(np.sqrt(np.mean(rest_u**2 + rest_v**2)))
    if left <= IDEAL_PX:
        return numbers, left
    r, zero, one = x * x + y * y, np.zeros_like(x), np.ones_like(x)
    for _ in range(8):
        fx, cx, fy, cy = numbers[:4]
        bent_x, bent_y = _distorted(x, y, numbers[4:])
        by_u = [bent_x, one, zero, zero, fx * x * r, fx * x * r**2, 2 * fx * x * y, fx * (r + 2 * x * x), fx * x * r**3]
        by_v = [zero, zero, bent_y, one, fy * y * r, fy * y * r**2, fy * (r + 2 * y * y), 2 * fy * x * y, fy * y * r**3]
        rest = np.concatenate([u - fx * bent_x - cx, v - fy * bent_y - cy])
        left = float(np.sqrt(2 * np.mean(rest**2)))
        jacobian = np.column_stack([np.concatenate(pair) for pair in zip(by_u, by_v, strict=True)])
        numbers = numbers + np.linalg.lstsq(jacobian, rest, rcond=None)[0]
    return numbers, left
