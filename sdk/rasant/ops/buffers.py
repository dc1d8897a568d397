# SPDX-License-Identifier: Apache-2.0
"""Where an operation runs, and the array that it writes to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, DeviceUnavailable

__all__ = ["output", "require_cpu"]


def require_cpu(device: str) -> None:
    """Refuses every device but "cpu" (`DeviceUnavailable`): no silent fallback."""
    if device != "cpu":
        raise DeviceUnavailable(f'device must be "cpu" in this build, got "{device}"; pass device="cpu"')


def output(out: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Returns `out`, or a new array where it is None. The native side checks dtype, shape and order."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise ConfigError(f"out must be a numpy array or None, got {type(out).__name__}; allocate it with numpy.empty")
    return out
