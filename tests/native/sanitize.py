# SPDX-License-Identifier: Apache-2.0
"""Builds the native modules with AddressSanitizer and UndefinedBehaviorSanitizer and runs their tests on them.

Called by `make sanitize`. The first invalid read, write, shift, cast or overflow ends the run with a report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pybind11

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitize"
TESTS = ["tests/ops", "tests/native"]


def build_modules() -> None:
    """Compiles rasant._native and rasant._emu with the sanitizers; no CUDA, whose code is the emulator's."""
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(BUILD / "cmake"), "-G", "Ninja", "-DRASANT_SANITIZE=ON", "-DRASANT_EMU=ON",
        "-DRASANT_CUDA=OFF", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(configure, check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(BUILD / "cmake")], check=True, env=environment)


def prepare_python() -> Path:
    """An interpreter that sees this one's packages, and rasant only as built above (not the editable installation)."""
    package = BUILD / "package" / "rasant"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "sdk" / "rasant", package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for module in (BUILD / "cmake").glob("_*.so"):
        shutil.copy(module, package)
    venv.create(BUILD / "venv", with_pip=False, clear=True)
    interpreter = BUILD / "venv" / "bin" / "python"
    query = [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    lines = [sysconfig.get_path("purelib"), str(package.parent), str(ROOT / "training"), str(ROOT / "calibration")]
    (site / "packages.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return interpreter


def library(name: str) -> str:
    """Path of a runtime library of the compiler."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def run_tests(interpreter: Path, arguments: list[str]) -> int:
    """The tests with the sanitizers' runtime loaded first; Python itself leaks at exit, so leaks are not counted."""
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "RASANT_SANITIZED": "1",
        "PYTHONMALLOC": "malloc",  # numpy's and Python's own buffers are checked too
        "OMP_NUM_THREADS": "1",
    }
    command = [str(interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or ["-n", "2", *TESTS])]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    build_modules()
    sys.exit(run_tests(prepare_python(), sys.argv[1:]))
