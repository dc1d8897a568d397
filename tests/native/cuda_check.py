# SPDX-License-Identifier: Apache-2.0
"""Compiles the kernels for every GPU architecture that rasant supports, and lists those found in the built library.

Called by `make cuda-check`; it needs nvcc and no GPU. Exit code 1 where one is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pybind11

from rasant.fatbin import architectures

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "cuda-check"
EXPECTED = {  # what nvcc 13 compiles; older ones lack the last
    "sm_75": "Turing", "sm_86": "Ampere", "sm_87": "Jetson Orin", "sm_89": "Ada", "sm_90": "Hopper",
    "sm_110": "Jetson Thor", "sm_120": "Blackwell",
}  # fmt: skip


def main() -> int:
    """Builds and checks."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja", "-DRASANT_CUDA=ON", "-DRASANT_EMU=OFF",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    subprocess.run(configure, check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(BUILD)], check=True, env=environment)
    library = next(BUILD.glob("_native*.so"))
    found = architectures(library)
    for kind, names in sorted(found.items()):
        for name in names:
            print(f"{kind:<6} {name:<12} {EXPECTED.get(name, '')}")
    missing = [name for name in EXPECTED if name not in found.get("binary", [])]
    print(f"{library.name}: {library.stat().st_size / 1e6:.1f} MB, {len(EXPECTED) - len(missing)} of {len(EXPECTED)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
