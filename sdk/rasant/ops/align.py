# SPDX-License-Identifier: Apache-2.0
"""Depth as the colour camera sees it, and colour as the depth camera sees it, through the lenses of both.

Once `plan = AlignPlan(depth_camera, color_camera, color_from_depth)`, for each frame `seen = align_depth(depth, plan)`,
and where colour is wanted at the depth pixels `color, valid = align_color(color, depth, plan, seen=seen)`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rasant import _native
from rasant.errors import ConfigError
from rasant.ops.device import empty, native_for, output, require_size, to_device
from rasant.ops.lens import lens_numbers, lens_rays, rigid_motion
from rasant.types import Intrinsics

__all__ = ["AlignPlan", "align_color", "align_depth", "lens_rays"]

FloatImage = npt.NDArray[np.float32]
ColorImage = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Numbers = tuple[float, ...]
FOOTPRINT_BLOCK = 16


class AlignPlan:
    """What aligning a pair of cameras needs: a table of rays and one of footprints, made once.

    depth_camera, color_camera: intrinsics with any distortion model of `rasant.Intrinsics`, on both sides.
    color_from_depth: (3, 4) or (4, 4), the rigid motion [R | t] from the depth camera's frame to the colour camera's;
        t in metres. (librealsense's extrinsics hold R by columns.)
    margin_px: how far a depth pixel reaches beyond its own size in the colour image, 0..2 pixels. Larger closes gaps
        on surfaces that lean away from the depth camera, and widens what stands in front by as much. librealsense's
        rule is like 0.5.

    The depth camera's rays are found by Newton's method to 1e-10; a pixel without a ray (outside a fisheye's circle)
    is never seen. Tables go to a device at their first use there. One thread at a time may use a plan.

    Raises ConfigError for a lens model, coefficients or a motion that cannot be.
    """

    def __init__(
        self,
        depth_camera: Intrinsics,
        color_camera: Intrinsics,
        color_from_depth: npt.ArrayLike,
        *,
        margin_px: float = 0.25,
    ) -> None:
        if not 0.0 <= margin_px <= 2.0:
            raise ConfigError(f"margin_px must be 0..2 pixels, got {margin_px}; 0.25 is usual")
        self.depth_camera, self.color_camera, self.margin_px = depth_camera, color_camera, margin_px
        self.pose: Numbers = rigid_motion(color_from_depth, "color_from_depth")
        self.lens: Numbers = lens_numbers(color_camera)
        rays = lens_rays(depth_camera)
        blocks = -(-depth_camera.width // FOOTPRINT_BLOCK)
        footprint = np.empty((2, depth_camera.height, blocks), np.float32)
        _native.align_footprint(self.lens, self.pose, rays, footprint)
        self._tables: dict[str, tuple[Any, Any]] = {"cpu": (rays, footprint)}
        self._seen: dict[str, Any] = {}

    @property
    def depth_size(self) -> tuple[int, int]:
        """(rows, cols) of the depth image."""
        return self.depth_camera.height, self.depth_camera.width

    @property
    def color_size(self) -> tuple[int, int]:
        """(rows, cols) of the colour image."""
        return self.color_camera.height, self.color_camera.width

    def tables(self, device: str = "cpu") -> tuple[Any, Any]:
        """(rays (2, H, W), footprint (2, H, ceil(W / 16))) float32 on `device`."""
        if device not in self._tables:
            rays, footprint = (to_device(table, device=device) for table in self._tables["cpu"])
            self._tables[device] = rays, footprint
        return self._tables[device]

    def seen(self, device: str = "cpu") -> Any:
        """The plan's own depth image of the colour camera, for align_color without `seen`."""
        if device not in self._seen:
            self._seen[device] = empty(self.color_size, np.float32, device=device)
        return self._seen[device]


def align_depth(
    depth: FloatImage,
    plan: AlignPlan,
    *,
    out: FloatImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> FloatImage:
    """Depth as the colour camera measures it, (h, w) float32 metres of the colour camera, 0 where nothing is seen.

    depth: (H, W) float32 metres of the depth camera; 0, negative, NaN and infinite pixels are invalid.
    Each depth pixel covers its footprint in the colour image, so a finer colour image gets no pin-holes. The nearest is
    seen, with a handicap of up to 1.2 % of its depth for what lies off the middle of a footprint, so that noise and
    slopes pull no depth forward. csrc/ops/align.hpp says the rule in full.
    device, stream: see rasant.ops.device. All devices and thread counts give the same bits.

    Raises ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    seen: FloatImage = output(out, plan.color_size, np.float32, device, "out")
    rays, footprint = plan.tables(device)
    native.align_depth(depth, rays, footprint, plan.lens, plan.pose, plan.margin_px, seen, threads, stream)
    return seen


def align_color(
    color: ColorImage,
    depth: FloatImage,
    plan: AlignPlan,
    *,
    seen: FloatImage | None = None,
    step: float = 0.02,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    out: ColorImage | None = None,
    out_valid: Mask | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[ColorImage, Mask]:
    """(color (H, W, 3) uint8, valid (H, W) bool) at the depth camera's pixels.

    color: (h, w, 3) uint8 of the colour camera; depth: (H, W) float32 metres of the depth camera.
    seen: align_depth of this depth; without it, it is made in a buffer of the plan.
    step: a pixel is hidden where the colour camera sees something nearer, by more than this share of its depth.
    interpolation: "bilinear" (in steps of 1/32 pixel, rounded to nearest) or "nearest".

    Black and not valid: pixels without depth, outside the colour image, or hidden from the colour camera.
    Raises ConfigError for another interpolation or a negative step, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    if interpolation not in ("bilinear", "nearest"):
        raise ConfigError(f'interpolation must be "bilinear" or "nearest", got "{interpolation}"')
    if seen is None:
        seen = align_depth(depth, plan, out=plan.seen(device), threads=threads, device=device, stream=stream)
    taken: ColorImage = output(out, (*plan.depth_size, 3), np.uint8, device)
    valid: Mask = output(out_valid, plan.depth_size, np.bool_, device)
    require_size(color, (*plan.color_size, 3), "color")
    native.align_color(
        color, depth, seen, plan.tables(device)[0], plan.lens, plan.pose, step, interpolation == "bilinear", taken,
        valid, threads, stream,
    )  # fmt: skip
    return taken, valid
