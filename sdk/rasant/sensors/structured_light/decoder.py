# SPDX-License-Identifier: Apache-2.0
"""From the captures of one scan to depth and colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration
from rasant.errors import ConfigError, FrameError
from rasant.ops.device import to_device, to_host
from rasant.ops.graycode import decode_gray
from rasant.ops.phase import decode_phase
from rasant.ops.triangulate import TriangulationPlan, triangulate
from rasant.sensors.structured_light.patterns import Axis, PatternSequence
from rasant.sensors.structured_light.stray import stray_pairs, stray_waves
from rasant.types import Intrinsics

__all__ = ["Scan", "ScanDecoder", "ScanLimits", "decode_axis"]

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What a pixel must have to be believed.

    min_step: grey levels between a Gray pattern and its inverse, 1..255. min_amplitude, max_level: grey levels of the
    sinusoid, and the brightest capture that is not clipped. max_residual_px: projector pixels off the line where the
    camera's ray falls, with both axes. depth_range_m: (nearest, farthest). max_stray: share of the lit pixels that may
    see in one capture what does not fit the others (stray.py); above it the scan is refused.
    """

    min_step: int = 8
    min_amplitude: float = 5.0
    max_level: int = 254
    max_residual_px: float = 2.0
    depth_range_m: tuple[float, float] = (0.0, 100.0)
    max_stray: float = 0.05


@dataclass(frozen=True, slots=True)
class Scan:
    """One decoded scan, all images (H, W) of the camera.

    depth: float32 metres, 0 invalid. column, row: float32 projector pixels, NaN invalid; None for an axis that the
    sequence has not. confidence: uint8 grey levels, the lowest of what was decoded.
    """

    depth: FloatImage
    column: FloatImage | None
    row: FloatImage | None
    confidence: ByteImage


class ScanDecoder:
    """Decodes scans of one sequence by one camera and projector.

    calibration: its `color` is the camera, `projector` and `projector_from_color` the rest; `rasant calibrate
        projector` makes it. device: see rasant.ops.device.

    Raises ConfigError where the calibration lacks a part or is of a projector of another size.
    """

    def __init__(
        self,
        sequence: PatternSequence,
        calibration: Calibration,
        limits: ScanLimits | None = None,
        *,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self.sequence, self.limits = sequence, limits or ScanLimits()
        self.intrinsics: Intrinsics = calibration.need("color").intrinsics
        projector: Intrinsics = calibration.need("projector").intrinsics
        _same_projector(sequence, projector)
        motion = calibration.need("projector_from_color").matrix
        self.plan = TriangulationPlan(self.intrinsics, projector, motion, threads=threads)
        self._threads, self._device = threads, device

    def __call__(self, captures: ByteImage) -> Scan:
        """Decode (N, H, W) uint8, one capture for each picture of the sequence.

        Raises FrameError for another number or size of captures, or where the captures cannot be of their patterns.
        """
        wanted = len(self.sequence), *self.plan.size
        if captures.shape != wanted:
            raise FrameError(f"a scan of this sequence and camera is {wanted} (N, H, W), got {captures.shape}")
        self._check(captures)
        found: dict[Axis, tuple[Any, Any]] = {
            axis: decode_axis(captures, self.sequence, axis, self.limits, threads=self._threads, device=self._device)
            for axis in self.sequence.axes
        }
        column, row = (found[axis][0] if axis in found else None for axis in ("columns", "rows"))
        depth = triangulate(
            column, row, self.plan, max_residual_px=self.limits.max_residual_px,
            depth_range_m=self.limits.depth_range_m, threads=self._threads, device=self._device,
        )  # fmt: skip
        sure = [self._fetch(confidence) for _, confidence in found.values()]
        confidence = sure[0] if len(sure) == 1 else np.minimum(*sure)
        return Scan(self._fetch(depth), self._fetch(column), self._fetch(row), confidence)

    def _check(self, captures: ByteImage) -> None:
        """Refuses captures that cannot be of their patterns."""
        shares = [stray_pairs(captures[self.sequence.gray(axis)]) for axis in self.sequence.axes]
        shares += [stray_waves(captures[self.sequence.phase(axis)]) for axis in self.sequence.axes]
        if max(shares) > self.limits.max_stray:
            raise FrameError(
                f"captures do not fit together for {max(shares):.0%} of the pixels: one is of another pattern or of "
                "two, or something moved; see docs/guide/structured-light.md"
            )

    def _fetch(self, image: Any) -> Any:
        return image if image is None or self._device == "cpu" else to_host(image)


def decode_axis(
    captures: ByteImage,
    sequence: PatternSequence,
    axis: Axis,
    limits: ScanLimits | None = None,
    *,
    threads: int = 1,
    device: str = "cpu",
) -> tuple[Any, Any]:
    """(position (H, W) float32 projector pixels, confidence (H, W) uint8) of one axis of a scan; NaN and 0 invalid.

    captures: the whole scan (N, H, W) uint8 in host memory. The result is on `device`.
    """
    limits = limits or ScanLimits()
    where: dict[str, Any] = {"threads": threads, "device": device}

    def part(of: slice) -> Any:
        return captures[of] if device == "cpu" else to_device(captures[of], device=device)

    position, confidence = decode_gray(
        part(sequence.gray(axis)), size=sequence.size(axis), stripe=sequence.stripe, min_step=limits.min_step, **where
    )
    if sequence.steps == 0:
        return position, confidence
    return decode_phase(
        part(sequence.phase(axis)), position, period=sequence.period, min_amplitude=limits.min_amplitude,
        max_level=limits.max_level, max_gap=sequence.stripe / 2 + 1.5, out_confidence=confidence, **where,
    )  # fmt: skip


def _same_projector(sequence: PatternSequence, projector: Intrinsics) -> None:
    if (sequence.width, sequence.height) != (projector.width, projector.height):
        raise ConfigError(
            f"the sequence is for a projector of {sequence.width}x{sequence.height}, the calibration is of one of "
            f"{projector.width}x{projector.height}; calibrate with the sequence that you scan with"
        )
