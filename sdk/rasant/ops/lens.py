# SPDX-License-Identifier: Apache-2.0
"""Lenses and rigid motions as the native operations take them, and the rays of a camera's pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasant import _native
from rasant.errors import ConfigError, ShapeError
from rasant.types import Intrinsics

__all__ = ["lens_numbers", "lens_rays", "rigid_motion"]

Numbers = tuple[float, ...]


def lens_numbers(camera: Intrinsics) -> Numbers:
    """A lens as numbers. Raises ConfigError for a model, coefficients or a focal length that cannot be."""
    center = camera.fx, camera.fy, camera.cx, camera.cy
    return tuple(_native.lens_numbers(camera.distortion_model, center, camera.distortion))


def lens_rays(intrinsics: Intrinsics, *, threads: int = 1) -> npt.NDArray[np.float32]:
    """The rays of a camera's pixels on the host, (2, H, W) float32: x then y of the ray (x, y, 1); NaN without a ray.

    A point at depth z is z (x, y, 1), whatever the lens. Raises ConfigError for a lens model that is not known.
    """
    rays: npt.NDArray[np.float32] = np.empty((2, intrinsics.height, intrinsics.width), np.float32)
    _native.lens_rays(lens_numbers(intrinsics), rays, threads)
    return rays


def rigid_motion(motion: npt.ArrayLike, name: str) -> Numbers:
    """[R | t] row by row, once R is known to be a rotation. `name` is what messages call it."""
    matrix = np.asarray(motion, np.float64)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise ShapeError(f"{name} must be (3, 4) or (4, 4), got {matrix.shape}; pass [R | t]")
    rotation = matrix[:3, :3]
    proper = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) and np.linalg.det(rotation) > 0
    if not (np.isfinite(matrix).all() and proper):
        raise ConfigError(f"{name} must be a finite rigid motion [R | t] with R a rotation; check its layout")
    return tuple(float(value) for value in matrix[:3].ravel())
