# SPDX-License-Identifier: Apache-2.0
"""Running the device half of an operation without a GPU: the same kernels on the emulator, in several orders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rasant.ops.device import native_for, to_device, to_host

ORDERS = (0, 1, 2)  # 0: threads and blocks ascending; else a permutation of both


def put(array: np.ndarray) -> Any:
    """The array in emulated device memory."""
    return to_device(array, device="emu")


def get(array: Any) -> np.ndarray:
    """A device array as numpy."""
    return to_host(array)


@contextmanager
def order(seed: int) -> Iterator[None]:
    """Threads and blocks run in the order of `seed` inside the context."""
    emulator = native_for("emu")
    emulator.set_order(seed)
    try:
        yield
    finally:
        emulator.set_order(0)
