# SPDX-License-Identifier: Apache-2.0
"""Gray code captures to projector positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ShapeError
from rasant.ops.device import native_for, output

__all__ = ["capture_size", "decode_gray"]

FloatImage = npt.NDArray[np.float32]
ByteImage = npt.NDArray[np.uint8]


def decode_gray(
    captures: ByteImage,
    *,
    size: int,
    stripe: int = 1,
    min_step: int = 8,
    out: FloatImage | None = None,
    out_confidence: ByteImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[FloatImage, ByteImage]:
    """(position (H, W) float32 projector pixels, confidence (H, W) uint8 grey levels); NaN and 0 where not decoded.

    captures: (2 B, H, W) uint8, the coarsest bit first, each pattern followed by its inverse: one axis of the sequence,
        as `rasant.sensors.structured_light.PatternSequence` and OpenCV's GrayCodePattern order it.
    size: columns of the projector (rows, for horizontal stripes); stripe: how many of them share a code.
    min_step: grey levels between a pattern and its inverse that make a bit sure.

    The two bits that change at the borders of a stripe may be unsure, since they move the code by one only; what they
    lack in brightness tells where between the borders the pixel lies, to about a quarter of a stripe or better.
    Confidence is the smallest step of all other bits: a pixel in shadow, or lit more by other parts than by the
    projector, has none. csrc/ops/graycode.hpp says the rule in full.
    device, stream: see rasant.ops.device. All devices and thread counts give the same bits.

    Raises ConfigError for a parameter out of range, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    shape = capture_size(captures)
    position: FloatImage = output(out, shape, np.float32, device)
    confidence: ByteImage = output(out_confidence, shape, np.uint8, device)
    native.decode_gray(captures, size, stripe, min_step, position, confidence, threads, stream)
    return position, confidence


def capture_size(captures: ByteImage) -> tuple[int, int]:
    """(rows, cols) of each capture of a stack (N, H, W). Raises ShapeError for an array that is no stack."""
    if len(captures.shape) != 3:
        raise ShapeError(f"captures must be (N, H, W), got {tuple(captures.shape)}; stack grey images of one size")
    return int(captures.shape[1]), int(captures.shape[2])
