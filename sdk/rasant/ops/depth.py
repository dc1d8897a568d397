# SPDX-License-Identifier: Apache-2.0
"""Depth counts to metres: the one place where units and invalid values are settled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.device import native_for, output

__all__ = ["to_metres"]


def to_metres(
    depth: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
    scale: float,
    *,
    out: npt.NDArray[np.float32] | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> npt.NDArray[np.float32]:
    """Depth in metres, (H, W) float32, invalid pixels 0.

    depth: (H, W) uint16 counts (0 invalid) or float32 (0, NaN and infinite invalid). A negative value is kept: it is a
        fault that a range check must be able to see.
    scale: metres per count, > 0; 1.0 for float metres.
    out: (H, W) float32 that shares no memory with `depth`.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Raises ConfigError for a scale that is not positive, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    metres: npt.NDArray[np.float32] = output(out, depth.shape, np.float32, device)
    native.to_metres(depth, scale, metres, threads, stream)
    return metres
