# SPDX-License-Identifier: Apache-2.0
"""`rasant doctor`: what this machine has, what is missing, and whether it may inspect."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer

__all__ = ["doctor", "examine"]

OPENCV_FLOOR = (4, 11)
EXTRA_MODULES = {
    "training": ("torch", "lightning_fabric", "safetensors", "tensorboard"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "pycuda": ("pycuda",),
    "realsense": ("pyrealsense2",),
    "genicam": ("harvesters",),
    "serve": ("fastapi", "uvicorn"),
    "signing": ("cryptography",),
    "bench": ("mlperf_loadgen",),
}
CORE = (
    "numpy", "opencv-python-headless", "onnxruntime", "onnx", "pydantic", "typer", "rich", "mcap", "jinja2",
)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this machine: versions, native build, engines, extras, CUDA. Exit code 3 where inspection is not safe.

    Example: rasant doctor --json
    """
    found = examine()
    if as_json:
        typer.echo(json.dumps(found, allow_nan=False))
    else:
        _print(found)
    if not found["ok"]:
        raise typer.Exit(3)


def examine() -> dict[str, Any]:
    """Everything `rasant doctor --json` prints. `problems` are what stops inspection; `ok` is True without any."""
    problems: list[str] = []
    found = {
        "rasant": _version("rasant") or "not installed",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": _cpus(),
        "packages": {name: _version(name) for name in CORE},
        "native": _native(problems),
        "opencv": _opencv(problems),
        "engines": _engines(problems),
        "cuda": _cuda(),
        "extras": _extras(),
    }
    return {**found, "problems": problems, "ok": not problems}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpus() -> int:
    """CPUs that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _native(problems: list[str]) -> dict[str, Any]:
    """The compiled operations, tried with one call, and the vector width that they choose at load time."""
    try:
        native = importlib.import_module("rasant._native")
        import numpy as np

        from rasant.ops.score import score_map

        result = score_map(np.zeros((2, 4, 4), np.float32), kernel=1)
        if result.score != 0.5:
            problems.append(f"the native operations compute wrongly: score of zero logits is {result.score}, not 0.5")
    except Exception as error:
        problems.append(f"the native operations cannot be used: {error}; build them with: pip install .")
        return {"available": False, "reason": str(error)}
    operations = sorted(name for name in dir(native) if not name.startswith("_"))
    return {"available": True, "vector": _vector_level(), "operations": operations}


def _vector_level() -> str:
    """The x86-64 level of this CPU, or its architecture."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine()
    import cv2

    avx2, avx512_skx = 11, 256  # cv::CpuFeatures
    if cv2.checkHardwareSupport(avx512_skx):
        return "x86-64-v4 (AVX-512)"
    return "x86-64-v3 (AVX2)" if cv2.checkHardwareSupport(avx2) else "x86-64 (SSE2)"


def _opencv(problems: list[str]) -> dict[str, Any]:
    try:
        import cv2
    except Exception as error:
        problems.append(f"OpenCV cannot be imported: {error}; pip install 'opencv-python-headless>=4.11'")
        return {"available": False, "reason": str(error)}
    numbers = tuple(int(part) for part in cv2.__version__.split(".")[:2])
    if numbers < OPENCV_FLOOR:
        problems.append(
            f"OpenCV {cv2.__version__} fills a cut JPEG with pixels of the previous frame; "
            "pip install 'opencv-python-headless>=4.11'"
        )
    return {"available": True, "version": cv2.__version__, "safe": numbers >= OPENCV_FLOOR}


def _engines(problems: list[str]) -> dict[str, Any]:
    from rasant.engines import probe_engines

    probes = probe_engines()
    if not any(probe.available for probe in probes.values()):
        problems.append("no inference engine can be used; pip install onnxruntime")
    found: dict[str, Any] = {}
    for name, probe in probes.items():
        found[name] = {"available": probe.available, "version": probe.version, "reason": probe.reason}
        if name == "onnxruntime" and probe.available:
            found[name]["providers"] = list(importlib.import_module("onnxruntime").get_available_providers())
    return found


def _cuda() -> dict[str, Any]:
    """What "cuda" is here: compiled architectures, driver, devices, and why there is none. rasant itself needs none."""
    try:
        from rasant.fatbin import architectures
        from rasant.ops.device import device_status, native_for

        compiled = architectures(native_for("cpu").__file__)
        status = device_status()
    except Exception as error:
        return {"available": False, "reason": f"the native operations cannot be used: {error}", "devices": 0}
    return {**status, "available": status["devices"] > 0, "architectures": compiled}


def _extras() -> dict[str, Any]:
    """Which extras of this distribution are complete; nothing is imported."""
    found: dict[str, Any] = {}
    declared = " ".join(requires("rasant") or []) if _version("rasant") else ""
    for extra, modules in EXTRA_MODULES.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if not missing or f'extra == "{extra}"' in declared.replace("'", '"'):
            found[extra] = {"available": not missing, "missing": missing}
    return found


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("rasant", found["rasant"])
    table.add_row("Python", f"{found['python']}, {found['platform']}, {found['cpus']} CPUs")
    table.add_row("packages", ", ".join(f"{name} {number or 'missing'}" for name, number in found["packages"].items()))
    native = found["native"]
    table.add_row("native", native["vector"] if native["available"] else f"[red]{native['reason']}[/]")
    for name, engine in found["engines"].items():
        shown = f"{engine['version']} {', '.join(engine.get('providers', []))}"
        table.add_row(name, shown if engine["available"] else engine["reason"])
    cuda = found["cuda"]
    built = ", ".join(name for kind in cuda.get("architectures", {}).values() for name in kind) or "no kernels"
    table.add_row("CUDA", f"{cuda.get('name') or 'off: ' + cuda['reason']}; this build: {built}")
    for name, extra in found["extras"].items():
        state = "installed" if extra["available"] else f"not installed: pip install 'rasant\\[{name}]'"
        table.add_row(f"\\[{name}]", state)
    console = Console(highlight=False)
    console.print(table)
    for problem in found["problems"]:
        console.print(f"problem: {problem}", style="bold red", markup=False)
    console.print("ready to inspect" if found["ok"] else "not ready", style="green" if found["ok"] else "bold red")
