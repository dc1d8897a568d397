# SPDX-License-Identifier: Apache-2.0
"""Captures of a shifted sinusoid to projector positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.device import native_for, output
from rasant.ops.graycode import capture_size

__all__ = ["decode_phase"]

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]


def decode_phase(
    captures: ByteImage,
    coarse: FloatImage | None = None,
    *,
    period: float,
    min_amplitude: float = 5.0,
    max_level: int = 254,
    max_gap: float = 2.0,
    out: FloatImage | None = None,
    out_confidence: ByteImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[FloatImage, ByteImage]:
    """(position (H, W) float32 projector pixels, confidence (H, W) uint8 grey levels); NaN and 0 where not decoded.

    captures: (N, H, W) uint8 of A + B cos(2 pi (u / period + k / N)), k = 0..N-1 in order, u the projector position.
    coarse: (H, W) float32, the position by Gray code (`rasant.ops.graycode.decode_gray`), which tells the periods
        apart; NaN is not known. Without it the position is that in the first period.
    period: projector pixels. max_gap: farther from `coarse` a pixel is not believed.
    min_amplitude: B in grey levels; max_level: a pixel that is brighter in any capture is clipped, and not believed.

    Confidence is B, rounded down. device, stream: see rasant.ops.device. All devices and thread counts give the same
    bits. csrc/ops/phase.hpp has the formulas and their sources.

    Raises ConfigError for a parameter out of range, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    shape = capture_size(captures)
    position: FloatImage = output(out, shape, np.float32, device)
    confidence: ByteImage = output(out_confidence, shape, np.uint8, device)
    native.decode_phase(
        captures, coarse, period, min_amplitude, max_level, max_gap, position, confidence, threads, stream
    )
    return position, confidence
