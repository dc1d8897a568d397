# SPDX-License-Identifier: Apache-2.0
"""What a figure depends on: the machine, its load, the versions, and the memory of this process."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["cpus", "host", "memory_mib", "processor"]

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "tensorrt")
_FLAGS = (("amx_tile", "AMX"), ("avx512f", "AVX-512"), ("avx_vnni", "AVX-VNNI"), ("avx2", "AVX2"), ("asimd", "NEON"))


def host(root: Path = Path("/")) -> dict[str, Any]:
    """Processor, cores, board, system and versions. root: where /proc and /etc are; tests point it elsewhere."""
    return {
        "processor": processor(root),
        "cpus": cpus(),
        "vectors": _vectors(root),
        "machine": platform.machine(),
        "board": read_text(root / "proc/device-tree/model"),
        "l4t": _l4t(root),
        "system": platform.platform(),
        "container": any((root / name).exists() for name in (".dockerenv", "run/.containerenv")),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def processor(root: Path = Path("/")) -> str:
    """The processor's name as the system gives it."""
    found = re.search(r"^model name\s*: (.*)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def cpus() -> int:
    """CPUs that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mib(root: Path = Path("/")) -> dict[str, float | None]:
    """Resident memory of this process: now, and at its highest; None where the system does not tell."""
    status = read_text(root / "proc/self/status") or ""
    found = {}
    for name, key in (("rss_mib", "VmRSS"), ("rss_peak_mib", "VmHWM")):
        match = re.search(rf"^{key}:\s*(\d+) kB", status, re.MULTILINE)
        found[name] = int(match[1]) / 1024 if match else None
    return found


def read_text(path: Path) -> str | None:
    """The text of a small system file without surrounding blanks and NUL; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n\t")
    except OSError:
        return None


def _vectors(root: Path) -> list[str]:
    """Vector extensions that change the speed of a network."""
    match = re.search(r"^(?:flags|Features)\s*: (.*)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    flags = set(match[1].split()) if match else set()
    return [name for flag, name in _FLAGS if flag in flags]


def _l4t(root: Path) -> str | None:
    """`36.4.3` of a Jetson's `# R36 (release), REVISION: 4.3, ...`."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release") or "")
    return f"{match[1]}.{match[2]}" if match else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
