# SPDX-License-Identifier: Apache-2.0
"""The GPU that a plan is built for, as the driver tells it: no package is needed, and none is loaded without a GPU."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from rasant.errors import ConfigError, EngineUnavailable
from rasant.ops.device import native_for

__all__ = ["Machine", "Target", "describe_machine", "parse_target"]

# CUdevice_attribute of cuda.h
_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76


@dataclass(frozen=True, slots=True)
class Target:
    """Where a plan runs. device: of `rasant.ops`, "cuda" or "emu". dla_core: None for the GPU itself."""

    device: str = "cuda"
    dla_core: int | None = None

    def __str__(self) -> str:
        if self.dla_core is not None:
            return f"dla:{self.dla_core}"
        return "cuda:0" if self.device == "cuda" else self.device


@dataclass(frozen=True, slots=True)
class Machine:
    """One GPU. cuda: the newest CUDA that its driver runs, 12060 for 12.6. integrated: it shares the host's memory."""

    gpu: str
    compute_capability: str
    integrated: bool
    cuda: int


def parse_target(device: str) -> Target:
    """Reads "cuda", "cuda:0", "dla:N" or, in tests, "emu". Raises ConfigError."""
    if device in ("cuda", "cuda:0"):
        return Target()
    if device == "emu":
        return Target("emu")
    match = re.fullmatch(r"dla:(\d)", device)
    if match is None:
        raise ConfigError(
            f'TensorRT runs on "cuda", or on "dla:N" of a Jetson, got {device!r}; pass device="cuda" and choose among '
            "several GPUs with CUDA_VISIBLE_DEVICES"
        )
    return Target(dla_core=int(match[1]))


def describe_machine(device: str = "cuda", *, library: str = "libcuda.so.1") -> Machine:
    """The machine behind a device of `rasant.ops`. library: the driver.

    Raises EngineUnavailable where there is no driver or no GPU.
    """
    if device == "emu":
        status = native_for("emu").device_status()
        return Machine(status["name"], "0.0", status["integrated"], status["driver"])
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise EngineUnavailable(f"there is no NVIDIA driver: {error}; install it, or choose another engine") from error
    _call(driver, "cuInit", ctypes.c_uint(0))
    version, ordinal = ctypes.c_int(), ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    _call(driver, "cuDeviceGet", ctypes.byref(ordinal), ctypes.c_int(0))
    name = ctypes.create_string_buffer(256)
    _call(driver, "cuDeviceGetName", name, ctypes.c_int(len(name)), ordinal)
    major, minor, integrated = (_attribute(driver, number, ordinal) for number in (_MAJOR, _MINOR, _INTEGRATED))
    return Machine(name.value.decode(errors="replace"), f"{major}.{minor}", bool(integrated), version.value)


def _attribute(driver: ctypes.CDLL, number: int, ordinal: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), ordinal)
    return value.value


def _call(driver: ctypes.CDLL, function: str, *arguments: object) -> None:
    code = getattr(driver, function)(*arguments)
    if code:
        raise EngineUnavailable(f"no GPU can be used: {function} of the NVIDIA driver fails with code {code}")
