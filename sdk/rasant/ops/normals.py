# SPDX-License-Identifier: Apache-2.0
"""Surface normals from depth, by a plane fitted to the inverse depth of a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ShapeError
from rasant.ops.device import native_for, output
from rasant.types import Intrinsics

__all__ = ["surface_normals"]


def surface_normals(
    depth: npt.NDArray[np.float32],
    intrinsics: Intrinsics,
    *,
    size: int = 5,
    step_m: float = 0.006,
    out: npt.NDArray[np.float32] | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> npt.NDArray[np.float32]:
    """Unit normals in the camera frame, towards the camera, (H, W, 3) float32; (0, 0, 0) where there is none.

    depth: (H, W) float32 metres of a pinhole camera (lens distortion is not undone); 0, negative, NaN and infinite
        pixels are invalid.
    size: side of the window in pixels, 3, 5, 7 or 9: larger is smoother, and loses more at edges. The fit is least
        squares on 1 / z (Badino et al., ICRA 2011) and exact for a plane of any slope.
    step_m: neighbours that differ by more are not one surface.

    No normal: within size // 2 of the image's border, beside an invalid pixel of the window, across a step.
    device, stream: see rasant.ops.device. All devices and thread counts give the same bits.

    Raises ConfigError for a parameter out of range, ShapeError and DtypeError for wrong arrays.
    """
    if tuple(depth.shape) != (intrinsics.height, intrinsics.width):
        raise ShapeError(
            f"intrinsics are of an image {(intrinsics.height, intrinsics.width)}, got depth {tuple(depth.shape)}; pass "
            "those of the depth image"
        )
    camera = (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)
    native = native_for(device)
    normals: npt.NDArray[np.float32] = output(out, (*depth.shape, 3), np.float32, device)
    native.surface_normals(depth, camera, size, step_m, normals, threads, stream)
    return normals
