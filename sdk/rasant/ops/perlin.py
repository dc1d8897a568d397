# SPDX-License-Identifier: Apache-2.0
"""Perlin noise (Perlin, "Improving noise", SIGGRAPH 2002) and masks of it, seeded and equal on every device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, ShapeError
from rasant.ops.device import native_for, output

__all__ = ["perlin_field", "perlin_mask"]

FloatArray = npt.NDArray[np.float32]
UPRIGHT = np.zeros(1, np.float32)


def perlin_field(
    size: tuple[int, int],
    lattice: tuple[int, int] | Sequence[tuple[int, int]] | npt.NDArray[np.integer],
    *,
    seed: int,
    first: int = 0,
    angle: float | Sequence[float] | npt.NDArray[np.floating] = 0.0,
    out: FloatArray | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> FloatArray:
    """Noise fields (N, h, w) float32 in [-1, 1], zero mean, exactly 0 on lattice nodes.

    size: (h, w) of a field in pixels.
    lattice: cells (down, across), one pair for all fields or (N, 2); 1..h and 1..w. Where they do not divide the size,
        the field is generated at their next multiple and cropped.
    seed, first: field k is field `first + k` of the seed, whatever else is drawn in the same call.
    angle: rotation about the centre in radians, one or (N,), clockwise on the screen; bilinear, 0 outside the field.
    out: (N, h, w) float32 of the device; without it N is the length of `lattice` or `angle`, else 1.
    threads: fields are shared out among so many threads; the result does not depend on it.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Raises ConfigError for a lattice, seed or angle out of range, ShapeError and DtypeError for a wrong `out`.
    """
    native = native_for(device)
    match lattice:
        case (int(rows), int(columns)):
            cells = _one_lattice(rows, columns)
        case _:
            cells = np.array(lattice, np.int32, ndmin=2)
    angles = UPRIGHT if isinstance(angle, float) and angle == 0.0 else np.array(angle, np.float32, ndmin=1)
    if out is None:
        out = output(None, (max(len(cells), len(angles)), *size), np.float32, device)
    elif out.shape[1:] != tuple(size):
        raise ShapeError(f"out must be (N, {size[0]}, {size[1]}) for size {size}, got {out.shape}; allocate it so")
    if not (0 <= seed < 2**64 and 0 <= first < 2**64):
        raise ConfigError(f"seed and first must be in 0..2**64 - 1, got {seed} and {first}; mask them to 64 bits")
    native.perlin_field(cells, angles, seed, first, out, threads, stream)
    return out


@lru_cache(maxsize=64)
def _one_lattice(rows: int, columns: int) -> npt.NDArray[np.int32]:
    """The pair as an array, kept: making one takes a microsecond, and a whole field ten."""
    return np.array([(rows, columns)], np.int32)


def perlin_mask(
    field: FloatArray,
    threshold: float | Sequence[float] | npt.NDArray[np.floating],
    *,
    mode: Literal["positive", "absolute", "ternary"] = "positive",
    out: npt.NDArray[np.int8] | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> npt.NDArray[np.int8]:
    """Mask of noise fields, int8 in the shape of `field`, which is (h, w) or (N, h, w) float32.

    threshold: one for all fields or (N,), >= 0.
    mode: "positive" gives 1 where field > threshold (DRAEM, DSR, EasyNet), "absolute" 1 where |field| > threshold
        (3DSR, TransFusion), "ternary" +1 and -1 by sign (DAS3D). All else, NaN too, is 0.

    Raises ConfigError for another mode or a negative threshold, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    mask: npt.NDArray[np.int8] = output(out, field.shape, np.int8, device, "out")
    limits = np.array(threshold, np.float32, ndmin=1)
    native.perlin_mask(field, limits, mode, mask, threads, stream)
    return mask
