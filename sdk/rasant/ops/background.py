# SPDX-License-Identifier: Apache-2.0
"""The surface that a part lies on, the height above it, and the part's foreground mask.

Depth is (H, W) float32 metres, invalid 0 or NaN, of an undistorted pinhole camera: lens distortion is not undone here.
Height is along the optical axis, positive towards the camera.

On a device (see rasant.ops.device) arrays are device arrays, and all results have the bits of the CPU's. Fits return
numbers, so they wait for the device; heights and masks do not. `close_mask` takes numpy arrays only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import BackgroundError, ConfigError, ShapeError
from rasant.ops.device import native_for, output
from rasant.types import Intrinsics

__all__ = [
    "CornerSurface",
    "Plane",
    "close_mask",
    "fit_bilinear_corners",
    "fit_plane_corners",
    "fit_plane_ransac",
    "height_above",
    "keep_largest",
]

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
CORNERS = ("top left", "top right", "bottom left", "bottom right")
SEED_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Plane:
    """normal . p + offset = 0 in the camera frame.

    normal: unit vector towards the camera; offset: metres, the camera's distance to the plane.
    rms_m: root mean square distance of the inliers; inliers of total valid points. A plane through three corner patches
        has 3 of 3 and rms 0.
    note: what a person should know, or "".
    """

    normal: tuple[float, float, float]
    offset: float
    rms_m: float
    inliers: int
    total: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class CornerSurface:
    """Depth in metres at the corners (top left, top right, bottom left, bottom right), bilinear between them."""

    heights: tuple[float, float, float, float]
    note: str = ""


def fit_plane_ransac(
    depth: FloatImage,
    intrinsics: Intrinsics,
    *,
    border_px: int = 10,
    inlier_m: float = 0.004,
    sample: int = 50,
    hypotheses: int = 128,
    seed: int = 0,
    device: str = "cpu",
    stream: Any = None,
) -> Plane:
    """The plane that most points of the image border support (as in BTF, Horwitz and Hoshen, 2023; RANSAC is our own).

    border_px: width of the border; inlier_m: a point nearer than this supports a plane.
    sample: points of every second hypothesis (the others have 3); hypotheses: most planes tried, fewer where the best
        by MSAC is clear. That one is refitted to its inliers by total least squares. Equal input and seed, equal bits.
    device, stream: see rasant.ops.device; waits for the device.

    Raises BackgroundError where fewer than 1 % of the border is valid or on one plane that faces the camera,
    ConfigError for a parameter out of range, ShapeError and DtypeError for a wrong image.
    """
    native, camera = native_for(device), _camera(depth, intrinsics)
    answer = native.fit_plane_ransac(
        depth, camera, border_px, inlier_m, sample, hypotheses, seed & SEED_MASK, stream
    )
    fault, normal, offset, rms, inliers, total = answer
    if fault == "few_points":
        raise BackgroundError(
            f"the border of {border_px} px must show the background, got {total} valid depth pixels; check the scene"
        )
    if fault:
        raise BackgroundError(
            f"the border must lie on a plane that faces the camera, got at most {inliers} of {total} points within "
            f"{inlier_m} m of one; check the scene or widen border_px"
        )
    note = f"only {inliers} of {total} border points lie on the background plane" if 2 * inliers < total else ""
    return Plane(normal, offset, rms, inliers, total, note)


def fit_plane_corners(
    depth: FloatImage,
    intrinsics: Intrinsics,
    *,
    patch: int = 3,
    fallback: bool = True,
    device: str = "cpu",
    stream: Any = None,
) -> Plane:
    """The plane through the mean points of the top left, top right and bottom left patches (3DSR, TransFusion).

    patch: side of a patch in pixels. Where a patch is empty or the points span no plane, `fallback` fits the border by
    RANSAC instead and says so in `note`; without it BackgroundError is raised.
    device, stream: see rasant.ops.device; waits for the device. The plane is found on the host: three points.
    """
    native, camera = native_for(device), _camera(depth, intrinsics)
    points = native.corner_points(depth, camera, patch, stream)[:3]
    empty = [name for name, point in zip(CORNERS, points, strict=False) if point[3] == 0]
    if not empty:
        height, width = depth.shape
        corners = [point[:3] for point in points]
        fault, normal, offset, rms, inliers, total = native.plane_through(corners, camera, height, width)
        if not fault:
            return Plane(normal, offset, rms, inliers, total)
    reason = f"no valid depth in the corner {' and '.join(empty)}" if empty else "the corner points span no plane"
    if not fallback:
        raise BackgroundError(f"{reason}; enlarge patch, or allow the fallback to RANSAC on the border")
    plane = fit_plane_ransac(depth, intrinsics, device=device, stream=stream)
    return replace(plane, note="; ".join(filter(None, (f"{reason}: fitted to the border instead", plane.note))))


def fit_bilinear_corners(
    depth: FloatImage, *, patch: int = 2, device: str = "cpu", stream: Any = None
) -> CornerSurface:
    """Mean valid depth of the four corner patches (AST, Rudolph et al., WACV 2023). Needs no intrinsics.

    patch: side of a patch in pixels; an empty one is doubled up to a quarter of the image, and said so in `note`.
    device, stream: see rasant.ops.device; waits for the device, once for each size of the patches.

    Raises BackgroundError where a corner stays empty.
    """
    native = native_for(device)
    depths: dict[str, float] = {}
    grown: list[str] = []
    side = patch
    while True:
        corners = native.corner_points(depth, (1.0, 1.0, 0.0, 0.0), side, stream)
        for name, (_, _, z, count) in zip(CORNERS, corners, strict=True):
            if count and name not in depths:
                depths[name] = z
                if side > patch:
                    grown.append(f"{name} ({side} px)")
        if len(depths) == 4:
            break
        side *= 2
        if side > max(min(depth.shape) // 4, patch):
            missing = " and ".join(name for name in CORNERS if name not in depths)
            raise BackgroundError(f"each corner must show the background, got no depth in {missing}; check the scene")
    top_left, top_right, bottom_left, bottom_right = (depths[name] for name in CORNERS)
    note = f"enlarged corner patches: {', '.join(grown)}" if grown else ""
    return CornerSurface((top_left, top_right, bottom_left, bottom_right), note)


def height_above(
    depth: FloatImage,
    surface: Plane | CornerSurface,
    intrinsics: Intrinsics | None,
    *,
    threshold_m: float,
    out_height: FloatImage | None = None,
    out_foreground: Mask | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[FloatImage, Mask]:
    """(height, foreground) above the background, both (H, W).

    height: float32 metres, surface depth minus depth along the optical axis, 0 where depth is invalid.
    foreground: bool, valid and farther than `threshold_m` from the surface on either side: perpendicular distance to a
        plane, depth difference to a corner surface.
    device, stream: see rasant.ops.device.

    Raises ConfigError where the plane does not face this camera or intrinsics are missing for a plane, ShapeError and
    DtypeError for wrong arrays.
    """
    native = native_for(device)
    height: FloatImage = output(out_height, depth.shape, np.float32, device)
    foreground: Mask = output(out_foreground, depth.shape, np.bool_, device)
    if isinstance(surface, CornerSurface):
        native.height_above_corners(depth, surface.heights, threshold_m, height, foreground, threads, stream)
    elif intrinsics is None:
        raise ConfigError("intrinsics are needed for the height above a plane, got None; pass those of the depth image")
    else:
        camera = _camera(depth, intrinsics)
        native.height_above_plane(
            depth, surface.normal, surface.offset, camera, threshold_m, height, foreground, threads, stream
        )
    return height, foreground


def keep_largest(
    foreground: Mask,
    depth: FloatImage,
    *,
    step_m: float = 0.006,
    out: Mask | None = None,
    device: str = "cpu",
    stream: Any = None,
) -> Mask:
    """The largest connected part of the foreground, (H, W) bool: what DBSCAN is used for on unorganised points.

    Pixels are connected to their 8 neighbours where depths differ by less than `step_m`; a foreground pixel without
    valid depth connects to all of its neighbours. Of equal parts the one met first, row by row, is kept.
    out: (H, W) bool; may be `foreground` itself.
    device, stream: see rasant.ops.device.

    Raises ConfigError for a step that is not positive, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    kept: Mask = output(out, foreground.shape, np.bool_, device)
    native.keep_largest(foreground, depth, step_m, kept, stream)
    return kept


def close_mask(mask: Mask, *, size: int = 3, iterations: int = 3, out: Mask | None = None) -> Mask:
    """Morphological closing with a square of `size` pixels: `iterations` dilations, then as many erosions.

    mask, out: (H, W) bool. Pixels outside the image take no part. Raises ConfigError, ShapeError.
    """
    import cv2

    if size < 1 or size % 2 == 0 or iterations < 0:
        raise ConfigError(f"size must be odd and iterations >= 0, got {size} and {iterations}; 3 and 3 are usual")
    closed: Mask = output(out, mask.shape, np.bool_, "cpu")
    if mask.dtype != np.bool_ or closed.dtype != np.bool_ or mask.ndim != 2 or closed.shape != mask.shape:
        came = f"{mask.dtype} {mask.shape} and {closed.dtype} {closed.shape}"
        raise ShapeError(f"mask and out must be bool (H, W) of one shape, got {came}; convert with mask.astype(bool)")
    if iterations == 0:
        np.copyto(closed, mask)
        return closed
    square = np.ones((size, size), np.uint8)
    cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, square, dst=closed.view(np.uint8), iterations=iterations)
    return closed


def _camera(depth: FloatImage, intrinsics: Intrinsics) -> tuple[float, float, float, float]:
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise ShapeError(
            f"intrinsics are of an image {(intrinsics.height, intrinsics.width)}, got depth {depth.shape}; pass those "
            "of the depth image"
        )
    return intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
