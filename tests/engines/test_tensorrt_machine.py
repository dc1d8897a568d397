# SPDX-License-Identifier: Apache-2.0
"""Asking the NVIDIA driver about the GPU, over a driver that the test compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rasant.engines.tensorrt.machine import Machine, Target, describe_machine, parse_target
from rasant.errors import ConfigError, EngineUnavailable

DRIVER = r"""
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int* version) { *version = 12060; return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = 7 + ordinal; return 0; }
int cuDeviceGetName(char* name, int length, int device) { strncpy(name, "Orin (nvgpu)", length); return device != 7; }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? 1 : -1;
  return device != 7;
}
"""


def compile_driver(folder: Path, code: int) -> str:
    """A driver whose cuInit returns `code`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a stand-in of the driver")
    source, library = folder / "driver.c", folder / "libcuda.so.1"
    source.write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", f"-DINIT={code}", "-o", library, source], check=True)
    return str(library)


def test_the_driver_is_asked_in_its_own_words(tmp_path: Path) -> None:
    """Name, compute capability, kind of memory and CUDA version, by the functions of cuda.h and their numbers."""
    assert describe_machine(library=compile_driver(tmp_path, 0)) == Machine("Orin (nvgpu)", "8.7", True, 12060)


def test_no_gpu_is_told_with_the_code(tmp_path: Path) -> None:
    """A driver without a device, as in a container that was started without one."""
    with pytest.raises(EngineUnavailable, match="cuInit of the NVIDIA driver fails with code 100"):
        describe_machine(library=compile_driver(tmp_path, 100))


def test_no_driver_is_told() -> None:
    """A machine without NVIDIA's driver library."""
    with pytest.raises(EngineUnavailable, match=r"no NVIDIA driver.*libcuda-that-is-not-there"):
        describe_machine(library="libcuda-that-is-not-there.so.1")


def test_devices_have_names() -> None:
    """What a plan can be for, and how the engine calls it."""
    assert [str(parse_target(name)) for name in ("cuda", "cuda:0", "dla:1", "emu")] == [
        "cuda:0", "cuda:0", "dla:1", "emu",
    ]  # fmt: skip
    assert parse_target("dla:1") == Target("cuda", 1)
    for wrong in ("cpu", "cuda:1", "dla:", "gpu", ""):
        with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
            parse_target(wrong)
