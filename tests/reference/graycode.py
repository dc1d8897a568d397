# SPDX-License-Identifier: Apache-2.0
"""Gray code in numpy, written from the definition: the neighbours of a code by encoding them, not by bit rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]


def encode(code: Image) -> Image:
    """Reflected Gray code."""
    return code ^ (code >> 1)


def patterns(size: int, stripe: int, bits: int) -> Image:
    """(2 bits, size) uint8 0 or 255: the lines of the projector's pictures, each followed by its inverse."""
    gray = encode(np.arange(size) // stripe)
    lines = [255 * (gray >> k & 1) for k in reversed(range(bits))]
    return np.array([side for line in lines for side in (line, 255 - line)], np.uint8)


def decode_gray(captures: Image, size: int, stripe: int, min_step: int) -> tuple[Image, Image]:
    """(position float64, confidence), NaN and 0 where not decoded."""
    bits = len(captures) // 2
    difference = captures[0::2].astype(int) - captures[1::2]
    steps = np.abs(difference)
    gray = sum((difference[k] > 0).astype(int) << (bits - 1 - k) for k in range(bits))
    code, value = np.zeros_like(gray), gray
    while value.any():
        code, value = code ^ value, value >> 1
    position, confidence = np.full(gray.shape, np.nan), np.zeros(gray.shape, np.uint8)
    for at in np.ndindex(gray.shape):
        c, step = code[at], steps[(slice(None), *at)]
        border = {}  # side -> index of the bit that changes there
        for side in (-1, 1):
            if 0 <= c + side < 1 << bits:
                border[side] = bits - 1 - int(np.log2(encode(c) ^ encode(c + side)))
        others = [int(step[k]) for k in range(bits) if k not in border.values()]
        sure = min([*others, int(step.max())])
        if sure < min_step or c * stripe >= size:
            continue
        left, right = (float(step[border[side]]) if side in border else None for side in (-1, 1))
        whole = left is not None and right is not None and left + right > 0
        position[at] = (c + (left / (left + right) if whole else 0.5)) * stripe - 0.5
        confidence[at] = sure
    return position, confidence


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry of the operation."""
    captures = np.repeat(patterns(16, 1, 4)[:, None, :], 5, axis=1)
    return {
        "decode_gray": (captures, 16, 1, 8, np.empty((5, 16), np.float32), np.empty((5, 16), np.uint8), 1),
    }
