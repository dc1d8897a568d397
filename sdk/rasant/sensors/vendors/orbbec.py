# SPDX-License-Identifier: Apache-2.0
"""Orbbec: a `FrameSet` whose depth was aligned to colour (`AlignFilter`, or the device itself) as a frame. Written from
pyorbbecsdk2 2.1; untested on hardware. Depth is counts of `get_depth_scale()` millimetres, 0 where there is none.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import FrameError
from rasant.sensors.vendors.clouds import same_grid
from rasant.types import Clock, Frame, Intrinsics

__all__ = ["frame_of"]

MODELS = {
    "NONE": ("none", ""), "BROWN_CONRADY": ("brown_conrady", "k1 k2 p1 p2 k3"),
    "MODIFIED_BROWN_CONRADY": ("modified_brown_conrady", "k1 k2 p1 p2 k3"),
    "INVERSE_BROWN_CONRADY": ("inverse_brown_conrady", "k1 k2 p1 p2 k3"),
    "BROWN_CONRADY_K6": ("rational", "k1 k2 p1 p2 k3 k4 k5 k6"), "KANNALA_BRANDT4": ("kannala_brandt4", "k1 k2 k3 k4"),
}  # fmt: skip


def frame_of(frames: Any, index: int, *, serial: str) -> Frame | None:
    """A `FrameSet` as number `index` of its stream; None where it lacks depth or colour, which happens at the start.

    Raises FrameError where depth is not aligned to colour, or the picture is of a format that is not read.
    """
    arrival_ns = time.monotonic_ns()
    depth, color = frames.get_depth_frame(), frames.get_color_frame()
    if depth is None or color is None:
        return None
    pixels = _picture(color)
    counts = np.array(depth.get_data()).reshape(-1).view("<u2").reshape(depth.get_height(), depth.get_width())
    same_grid(pixels.shape, counts.shape)
    return Frame(
        pixels, counts, 1e-3 * float(depth.get_depth_scale()), _lens(color), index, f"orbbec:{serial}", arrival_ns,
        device_time_ns=1000 * int(depth.get_timestamp_us()), clock=Clock.DEVICE, name=str(depth.get_index()),
        serial=serial, skew_ns=1000 * (int(color.get_timestamp_us()) - int(depth.get_timestamp_us())),
    )  # fmt: skip


def _picture(color: Any) -> npt.NDArray[np.uint8]:
    import cv2

    form, data = color.get_format().name, np.array(color.get_data(), np.uint8).reshape(-1)
    if form == "MJPG":
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if decoded is None:
            raise FrameError("orbbec: a picture cannot be decoded")
        return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
    if form not in ("RGB", "BGR"):
        raise FrameError(f"orbbec: colour format {form} is not read; choose RGB, BGR or MJPG")
    pixels = data.reshape(color.get_height(), color.get_width(), 3)
    return pixels if form == "RGB" else np.ascontiguousarray(pixels[..., ::-1])


def _lens(color: Any) -> Intrinsics:
    profile = color.get_stream_profile().as_video_stream_profile()
    lens, bent = profile.get_intrinsic(), profile.get_distortion()
    model, names = MODELS[bent.model.name]
    coefficients = tuple(float(getattr(bent, name)) for name in names.split())
    if not any(coefficients):
        model, coefficients = "none", ()
    return Intrinsics(lens.width, lens.height, lens.fx, lens.fy, lens.cx, lens.cy, model, coefficients)
