# SPDX-License-Identifier: Apache-2.0
"""Where an operation runs: numpy arrays on the CPU, device arrays on CUDA; and how data gets from one to the other.

    color = to_device(frame.color)                      # a copy, on the default stream
    filled = fill_holes(depth, passes=3, device="cuda") # takes and returns device arrays, returns at once
    image = to_host(filled)                             # waits

Devices: "cpu"; "cuda", where this build has kernels and the machine a driver; "emu", where the kernels run on an
emulator of the CUDA execution model (builds made for tests only). An operation never moves an array by itself. On a
device it works in the order of its `stream` and returns before the work is done; results that are numbers wait for it.

Any object with `__cuda_array_interface__` (torch, CuPy, pycuda, Numba) is taken as a device array without a copy, and
`DeviceArray` has that interface and DLPack itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from rasant import _native
from rasant._native import DeviceArray, Event, Stream
from rasant.errors import ConfigError, DeviceUnavailable, ShapeError

__all__ = [
    "DeviceArray", "Event", "Stream", "device_status", "empty", "from_dlpack", "native_for", "output", "require_cpu",
    "require_size", "to_device", "to_host", "wait",
]  # fmt: skip

MODULES = {"cpu": "rasant._native", "cuda": "rasant._native", "emu": "rasant._emu"}
Memory = Literal["device", "pinned", "mapped"]


@cache
def native_for(device: str) -> Any:
    """The native module that runs operations on `device`. Raises DeviceUnavailable, and says why; never falls back."""
    if device not in MODULES:
        raise DeviceUnavailable(f'device must be one of {", ".join(MODULES)}, got "{device}"; pass device="cpu"')
    if device == "cuda":
        status = _native.device_status()
        if not status["devices"]:
            raise DeviceUnavailable(f'device "cuda" cannot be used: {status["reason"]}; pass device="cpu"')
    try:
        return importlib.import_module(MODULES[device])
    except ImportError as error:
        raise DeviceUnavailable(
            f'device "{device}" is not in this build; it is made for tests, with RASANT_EMU=ON; pass device="cpu"'
        ) from error


def require_cpu(device: str) -> None:
    """For an operation that has no device form: refuses every device but "cpu" (`DeviceUnavailable`)."""
    if device != "cpu":
        raise DeviceUnavailable(f'this operation runs on the CPU only, got device="{device}"; pass device="cpu"')


def device_status() -> dict[str, Any]:
    """What this build and machine have for "cuda": devices, name, runtime and driver version, and why there is none."""
    return _native.device_status()


def output(out: Any, shape: Sequence[int], dtype: npt.DTypeLike, device: str, name: str = "") -> Any:
    """Returns `out`, or a new array of `device` where it is None. The native side checks dtype, shape and order.

    name: of the argument; given where the native side takes a size from `out`, so that a wrong shape is refused here.
    """
    if out is None:
        return empty(shape, dtype, device=device)
    if device == "cpu" and not isinstance(out, np.ndarray):
        raise ConfigError(f"out must be a numpy array or None, got {type(out).__name__}; allocate it with numpy.empty")
    if name:
        require_size(out, tuple(shape), name)
    return out


def require_size(array: Any, shape: tuple[int, ...], name: str) -> None:
    """Refuses an array of another shape (`ShapeError`)."""
    if tuple(array.shape) != shape:
        raise ShapeError(f"{name} must be {shape}, got {tuple(array.shape)}; allocate it so")


def empty(shape: Sequence[int], dtype: npt.DTypeLike, *, device: str = "cuda", memory: Memory = "device") -> Any:
    """An uninitialised array of `device`.

    memory: "device"; "pinned", host memory whose copies run beside the CPU; "mapped", host memory that the device
        addresses itself, which on integrated GPUs (Jetson) saves the copy. Of pinned and mapped arrays, `host()` is a
        numpy view.

    Raises DeviceUnavailable where the device is not there, DeviceFailed where it has no memory left.
    """
    module = native_for(device)
    return np.empty(shape, dtype) if device == "cpu" else module.DeviceArray(list(shape), np.dtype(dtype), memory)


def to_device(
    array: npt.NDArray[Any], *, device: str = "cuda", out: DeviceArray | None = None, stream: Any = None
) -> DeviceArray:
    """Copies a numpy array to the device, in the order of `stream`; from pinned memory it returns before it is done."""
    array = np.ascontiguousarray(array) if array.ndim else array.reshape(1)
    target = cast(DeviceArray, empty(array.shape, array.dtype, device=device)) if out is None else out
    target.copy_from(array, stream)
    return target


def to_host(
    array: Any, *, out: npt.NDArray[Any] | None = None, stream: Any = None
) -> npt.NDArray[Any]:
    """Copies a device array to a numpy array, after what `stream` has been given so far, and waits for it."""
    if not hasattr(array, "copy_to"):
        array = _native.DeviceArray.from_interface(array)
    host = np.empty(array.shape, array.dtype) if out is None else out
    array.copy_to(host, stream)
    importlib.import_module(type(array).__module__).wait(stream)
    return host


def from_dlpack(array: Any, *, device: str = "cuda") -> DeviceArray:
    """The memory of another library's array on `device`, by DLPack, without a copy."""
    return cast(DeviceArray, native_for(device).DeviceArray.from_dlpack(array))


def wait(stream: Any = None, *, device: str = "cuda") -> None:
    """Returns when everything that `stream` was given so far is done. Raises DeviceFailed where it failed."""
    native_for(device).wait(stream)
