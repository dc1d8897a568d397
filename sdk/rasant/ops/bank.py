# SPDX-License-Identifier: Apache-2.0
"""Distance to a memory bank: the nearest of many stored features, for each feature of an image, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.device import native_for, output

__all__ = ["MAX_ROWS", "nearest_rows"]

MAX_ROWS = 32

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]


def nearest_rows(
    queries: Rows,
    bank: Rows,
    k: int = 1,
    *,
    out_indices: Indices | None = None,
    out_squared: Rows | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[Indices, Rows]:
    """The k rows of the bank nearest to each query (PatchCore, Roth et al., CVPR 2022, eq. 6; BTF; M3DM).

    queries: (Q, D) float32. bank: (M, D) float32, D at most 65536.
    k: 1..32.
    out_indices, out_squared: (Q, k) int32 and float32 of the device.
    threads: rows of the bank are shared out among so many threads; the result does not depend on it.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Returns (indices, squared L2 distances), both (Q, k), ascending by (distance, index). The distance is the sum of
    squared differences, within 0.51 ULP, and the answer is exact: |q|^2 - 2 q.m + |m|^2 with a proven bound of its
    error only saves the distances that cannot matter. A distance that is not a finite float32 is never returned; where
    fewer than k are left, and for a query that is not finite, the index is -1 and the distance inf.
    Time grows with Q M D; many equal rows in the bank cost more, so remove them when it is built.
    Raises ConfigError for `k` out of range or overlapping arrays, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    if not 1 <= k <= MAX_ROWS:
        raise ConfigError(f"k must be 1..{MAX_ROWS}, got {k}; ask for fewer rows")
    shape = (*queries.shape[:1], k)
    indices: Indices = output(out_indices, shape, np.int32, device, "out_indices")
    squared: Rows = output(out_squared, shape, np.float32, device, "out_squared")
    native.nearest_rows(queries, bank, indices, squared, threads, stream)
    return indices, squared
