# SPDX-License-Identifier: Apache-2.0
"""Inference engines. `open_engine` opens one by name; vendor packages are imported at that moment and not before."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rasant.engines.base import Engine, EngineInfo, LayerTime, Probe, Slot
from rasant.errors import ConfigError, EngineUnavailable

__all__ = [
    "ENGINES", "Engine", "EngineInfo", "LayerTime", "Probe", "Slot", "choose_engine", "open_engine", "probe_engines",
]  # fmt: skip

# Name -> where the class is, fastest first: "auto" goes through them in this order.
ENGINES = {
    "tensorrt": "rasant.engines.tensorrt:TensorRTEngine",
    "openvino": "rasant.engines.openvino:OpenVinoEngine",
    "onnxruntime": "rasant.engines.onnxruntime:OnnxRuntimeEngine",
}
DEFAULT = "onnxruntime"  # what "auto" takes where nothing is certified
# Engines that "auto" considers for each kind of device.
_OF_DEVICE = {"cpu": ("openvino", "onnxruntime"), "cuda": ("tensorrt", "onnxruntime"), "dla": ("tensorrt",)}
_OWN_DEVICE = {"tensorrt": "cuda"}


def open_engine(
    name: str,
    model: bytes,
    *,
    precision: str = "fp32",
    device: str | None = None,
    threads: int = 0,
    allow_fallback: bool = False,
    slots: int = 1,
    cache: Path | None = None,
    certified: Collection[str] = (),
) -> Engine:
    """Open a graph that `rasant.read_bundle` has checked; no other bytes may reach a runtime.

    name: "auto" or one of ENGINES. precision: of the graph, as the manifest says it. device: "cpu", "cuda", "cuda:N" or
    what else the engine knows; None is the engine's own, "cuda" for TensorRT and "cpu" for the others. threads: 0
    leaves the number to the runtime. allow_fallback: accept the CPU where the device is not to be had. slots: runs that
    may be in flight. cache: folder for what an engine compiles; None is the engine's own choice. certified: engines
    that the bundle has a certificate for, see `choose_engine`.

    Raises ConfigError for an unknown name, device or number; EngineUnavailable where the runtime or device is not to be
    had; EngineError where the runtime refuses the graph.
    """
    if name != "auto" and name not in ENGINES:
        raise ConfigError(f'engine must be "auto" or one of {sorted(ENGINES)}, got {name!r}')
    chosen, why = (name, "") if name != "auto" else choose_engine(certified, device or "cpu")
    opened = _load(chosen)(
        model, precision=precision, device=device or _OWN_DEVICE.get(chosen, "cpu"), threads=threads,
        allow_fallback=allow_fallback, slots=slots, cache=cache,
    )  # fmt: skip
    if why:
        opened.info = replace(opened.info, choice=why)
    return cast("Engine", opened)


def choose_engine(certified: Collection[str], device: str = "cpu") -> tuple[str, str]:
    """What "auto" means here: (name, why).

    The fastest engine that is installed, knows the device and holds a certificate of the bundle; where none does,
    ONNX Runtime. Raises EngineUnavailable where no engine can be used.
    """
    candidates = _OF_DEVICE.get(device.partition(":")[0], (DEFAULT,))
    probes = {known: _load(known).probe() for known in ENGINES if known in candidates}
    usable = [known for known, probe in probes.items() if probe.available]
    passed_over = [
        f"{known}: {'not certified by the bundle' if probe.available else probe.reason}"
        for known, probe in probes.items()
        if not (probe.available and known in certified)
    ]
    for known in usable:
        if known in certified:
            return known, f"auto: {known}, the fastest of the certified engines that are here"
    told = "; ".join(passed_over)
    if not usable:
        raise EngineUnavailable(f"no inference engine can be used here: {told}")
    chosen = DEFAULT if DEFAULT in usable else usable[0]
    return chosen, f"auto: {chosen}, since the bundle certifies no engine that is here ({told}); see `rasant certify`"


def probe_engines() -> dict[str, Probe]:
    """Whether each engine can be used here, and why not. Never raises."""
    return {name: _load(name).probe() for name in ENGINES}


def _load(name: str) -> Any:
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
