# SPDX-License-Identifier: Apache-2.0
"""Inference engines. `open_engine` opens one by name; vendor packages are imported at that moment and not before."""

from __future__ import annotations

import importlib
from typing import Any, cast

from rasant.engines.base import Engine, EngineInfo, Probe
from rasant.errors import ConfigError, EngineUnavailable

__all__ = ["ENGINES", "Engine", "EngineInfo", "Probe", "open_engine", "probe_engines"]

# Name -> where the class is; "auto" takes the first that is available.
ENGINES = {"onnxruntime": "rasant.engines.onnxruntime:OnnxRuntimeEngine"}


def open_engine(
    name: str,
    model: bytes,
    *,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int = 0,
    allow_fallback: bool = False,
) -> Engine:
    """Open a graph that `rasant.read_bundle` has checked; no other bytes may reach a runtime.

    name: "auto" or one of ENGINES. precision: of the graph, as the manifest says it. device: "cpu", "cuda" or "cuda:N".
    threads: 0 leaves the number to the runtime. allow_fallback: accept the CPU where the device is not to be had.

    Raises ConfigError for an unknown name, device or number of threads; EngineUnavailable where the runtime or device
    is not to be had; EngineError where the runtime refuses the graph.
    """
    if name != "auto" and name not in ENGINES:
        raise ConfigError(f'engine must be "auto" or one of {sorted(ENGINES)}, got {name!r}')
    if name != "auto":
        kind = _load(name)
    else:
        reasons = {known: _load(known).probe() for known in ENGINES}
        usable = [known for known, probe in reasons.items() if probe.available]
        if not usable:
            told = "; ".join(f"{known}: {probe.reason}" for known, probe in reasons.items())
            raise EngineUnavailable(f"no inference engine can be used here: {told}")
        kind = _load(usable[0])
    opened = kind(model, precision=precision, device=device, threads=threads, allow_fallback=allow_fallback)
    return cast("Engine", opened)


def probe_engines() -> dict[str, Probe]:
    """Whether each engine can be used here, and why not. Never raises."""
    return {name: _load(name).probe() for name in ENGINES}


def _load(name: str) -> Any:
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
