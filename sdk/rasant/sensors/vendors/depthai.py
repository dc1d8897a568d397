# SPDX-License-Identifier: Apache-2.0
"""DepthAI (Luxonis OAK): a synchronised `MessageGroup` of a picture and depth aligned to it, as a frame. Written from
depthai 3.12; untested on hardware. Depth is millimetres, 0 where there is none; pictures come as BGR.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import numpy as np

from rasant.errors import FrameError
from rasant.sensors.vendors.clouds import same_grid
from rasant.types import Clock, Frame, Intrinsics

__all__ = ["frame_of"]

MODELS = {"Perspective": "rational", "Fisheye": "kannala_brandt4"}


def frame_of(group: Any, index: int, *, serial: str, color: str = "rgb", depth: str = "depth") -> Frame:
    """A group as number `index` of its stream. color, depth: names of the inputs of the node `Sync`.

    Raises FrameError where depth is not aligned to colour, or the lens is of a model that is not known here.
    """
    arrival_ns = time.monotonic_ns()
    seen, far = group[color], group[depth]
    pixels = np.array(seen.getCvFrame()[..., ::-1], np.uint8, order="C")
    counts = np.array(far.getFrame(), np.uint16)
    same_grid(pixels.shape, counts.shape)
    seen_ns, far_ns = _nanoseconds(seen.getTimestampDevice()), _nanoseconds(far.getTimestampDevice())
    return Frame(
        pixels, counts, 1e-3, _lens(seen.getTransformation(), counts.shape), index, f"depthai:{serial}", arrival_ns,
        device_time_ns=far_ns, clock=Clock.DEVICE, name=str(far.getSequenceNum()), serial=serial,
        skew_ns=seen_ns - far_ns,
    )  # fmt: skip


def _nanoseconds(stamp: timedelta) -> int:
    return 1000 * (stamp // timedelta(microseconds=1))


def _lens(picture: Any, size: tuple[int, ...]) -> Intrinsics:
    matrix = np.asarray(picture.getIntrinsicMatrix(), np.float64)
    kind = picture.getDistortionModel().name
    if kind not in MODELS:
        raise FrameError(f"depthai: a lens of the model {kind} is not known; let the device undistort the picture")
    model, coefficients = MODELS[kind], tuple(float(value) for value in picture.getDistortionCoefficients())
    if not any(coefficients):
        model, coefficients = "none", ()
    return Intrinsics(size[1], size[0], matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], model, coefficients)
