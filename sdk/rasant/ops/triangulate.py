# SPDX-License-Identifier: Apache-2.0
"""Depth from camera pixels whose place in a projector's picture is known.

Once `plan = TriangulationPlan(camera, projector, projector_from_camera)`, then for each scan
`depth = triangulate(column, row, plan)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.device import native_for, output, to_device
from rasant.ops.lens import Numbers, lens_numbers, lens_rays, rigid_motion
from rasant.types import Intrinsics

__all__ = ["TriangulationPlan", "triangulate"]

FloatImage = npt.NDArray[np.float32]


class TriangulationPlan:
    """What a pair of camera and projector needs: a table of rays, made once.

    camera, projector: intrinsics with any distortion model of `rasant.Intrinsics`; a projector is a camera in reverse.
    projector_from_camera: (3, 4) or (4, 4), the rigid motion [R | t] from the camera's frame to the projector's; t in
        metres.
    threads: that make the table, which takes about a microsecond a pixel where the lens has distortion.

    Raises ConfigError for a lens or a motion that cannot be, or where both stand in one place.
    """

    def __init__(
        self,
        camera: Intrinsics,
        projector: Intrinsics,
        projector_from_camera: npt.ArrayLike,
        *,
        threads: int = 1,
    ) -> None:
        self.camera, self.projector = camera, projector
        self.pose: Numbers = rigid_motion(projector_from_camera, "projector_from_camera")
        if not any(self.pose[3::4]):
            raise ConfigError("projector_from_camera has no baseline; camera and projector in one place see no depth")
        self.lens: Numbers = lens_numbers(projector)
        self._rays: dict[str, Any] = {"cpu": lens_rays(camera, threads=threads)}

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols) of the camera."""
        return self.camera.height, self.camera.width

    def rays(self, device: str = "cpu") -> Any:
        """The camera's rays on `device`, (2, H, W) float32."""
        if device not in self._rays:
            self._rays[device] = to_device(self._rays["cpu"], device=device)
        return self._rays[device]


def triangulate(
    column: FloatImage | None,
    row: FloatImage | None,
    plan: TriangulationPlan,
    *,
    max_residual_px: float = 2.0,
    depth_range_m: tuple[float, float] = (0.0, 100.0),
    out: FloatImage | None = None,
    out_residual: FloatImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> FloatImage:
    """Depth of the camera's pixels, (H, W) float32 metres along its axis; 0 where nothing is known.

    column, row: (H, W) float32, where each pixel of the camera lies in the projector's picture; NaN is not known. One
        of them may be None: the one that lies along the baseline tells no depth by itself.
    max_residual_px: with both, how far the measured projector pixel may lie off the line on which the camera's ray
        must fall. What decoded wrongly seldom falls there, so this is what takes outliers away.
    depth_range_m: (nearest, farthest) that is believed.
    out_residual: gets that distance in projector pixels, NaN where there is no depth.
    device, stream: see rasant.ops.device. All devices and thread counts give the same bits.
    The method is in csrc/ops/triangulate.hpp.

    Raises ConfigError for a parameter out of range, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    depth: FloatImage = output(out, plan.size, np.float32, device, "out")
    native.triangulate(
        column, row, plan.rays(device), plan.lens, plan.pose, max_residual_px, depth_range_m, depth, out_residual,
        threads, stream,
    )  # fmt: skip
    return depth
