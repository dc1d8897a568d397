# SPDX-License-Identifier: Apache-2.0
"""OpenVINO: the fast CPU path, with buffers bound once and runs that need no thread of ours.

On a processor with AMX or AVX512-BF16 OpenVINO computes a float32 graph in bfloat16 unless it is told not to. Here the
graph alone says the precision: the hint is always float32, and what the plugin answers is checked.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.engines.base import EngineInfo, LayerTime, Probe, Slot, Slotted, require_counts
from rasant.errors import ConfigError, EngineError, EngineLost, EngineTimeout, EngineUnavailable

__all__ = ["OpenVinoEngine"]

_LOST = re.compile(r"out of memory|out of (?:host|device) memory|device (?:is )?lost|DEVICE_LOST", re.IGNORECASE)


class OpenVinoEngine(Slotted):
    """One graph compiled for one OpenVINO device. See `rasant.engines.base.Engine` for the contract.

    device: "cpu" or another that OpenVINO lists, in lower case ("gpu", "gpu:1", "npu"). cache: folder where compiled
    graphs are kept, so that the next start is faster; None keeps none. module: the `openvino` package or a stand-in.
    """

    info: EngineInfo
    slots: tuple[Slot, ...]

    def __init__(
        self,
        model: bytes,
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int = 0,
        allow_fallback: bool = False,
        slots: int = 1,
        cache: Path | None = None,
        module: Any = None,
    ) -> None:
        require_counts(threads, slots)
        wanted = _device(device)
        ov = module if module is not None else _import()
        begin = time.perf_counter()
        core = ov.Core()
        notes: list[str] = []
        target = wanted
        if wanted not in core.available_devices:
            text = f"asked for {wanted}, OpenVINO finds {', '.join(core.available_devices) or 'no device'}"
            if not allow_fallback:
                raise EngineUnavailable(f"{text}; install the driver for {device!r}, or allow a fallback")
            notes.append(text)
            target = "CPU"
        properties = _properties(target, threads, cache)
        self._compile: Callable[[dict[str, Any]], Any] = lambda more: _compile(
            ov, core, model, target, {**properties, **more}
        )
        compiled = self._compile({})
        self._requests = [compiled.create_infer_request() for _ in range(slots)]
        self.slots = tuple(_slot(ov, compiled, request) for request in self._requests)
        self.info = EngineInfo(
            name="openvino", version=_version(ov), provider=_provider(compiled, target), precision=precision,
            device=target.lower().replace(".", ":"), notes=tuple(notes), fallback=target != wanted,
            open_s=time.perf_counter() - begin,
        )  # fmt: skip
        self._ov = ov
        self._pending: set[int] = set()
        self._process = os.getpid()

    @classmethod
    def probe(cls) -> Probe:
        """Whether OpenVINO can be imported and finds its CPU plugin. Never raises."""
        try:
            ov = _import()
            devices = ov.Core().available_devices
            if "CPU" not in devices:
                return Probe(False, reason=f"OpenVINO finds no CPU plugin, only {devices}", version=_version(ov))
            return Probe(True, version=_version(ov))
        except Exception as error:  # a broken wheel may raise anything
            return Probe(False, reason=str(error))

    def infer(self) -> None:
        """Run the graph on the inputs of slot 0 and write its outputs.

        Raises EngineError where the runtime fails, the engine is closed, slot 0 still runs, or the process was forked
        after the engine was opened; EngineLost where the device failed.
        """
        self.submit(0)
        self.wait(0)

    def submit(self, slot: int = 0) -> None:
        """Start a run on a slot and return at once."""
        if not self._requests:
            raise EngineError("the engine is closed; open it again")
        if os.getpid() != self._process:
            raise EngineError("the engine was opened before this process was forked; open it in the child")
        if not 0 <= slot < len(self.slots):
            raise ConfigError(f"slot must be 0 to {len(self.slots) - 1}, got {slot}; open the engine with more slots")
        if slot in self._pending:
            raise EngineError(f"slot {slot} still runs; wait for it, or open one engine for each thread")
        self._pending.add(slot)
        try:
            self._requests[slot].start_async()
        except Exception as error:
            self._pending.discard(slot)
            raise _failed(error) from error

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """Wait for the run of a slot. See `Engine.wait`."""
        if slot not in self._pending:
            raise EngineError(f"nothing was submitted to slot {slot}; call submit({slot}) first")
        try:
            if timeout_s is None:
                self._requests[slot].wait()
            elif not self._requests[slot].wait_for(max(0, round(timeout_s * 1000))):
                raise EngineTimeout(f"the run of slot {slot} takes longer than {timeout_s:.3f} s; it goes on")
        except EngineTimeout:
            raise
        except Exception as error:
            self._pending.discard(slot)
            raise _failed(error) from error
        self._pending.discard(slot)

    def warmup(self, runs: int = 2) -> None:
        """Run every slot on zeros, so that the first real frame does not pay for initialisation. Raises EngineError."""
        for index, slot in enumerate(self.slots):
            for array in slot.inputs.values():
                array.fill(0.0)
            for _ in range(runs):
                self.submit(index)
                self.wait(index)

    def profile(self, runs: int = 10) -> tuple[LayerTime, ...]:
        """Time of each primitive on what stands in slot 0, slowest first, from a second compilation."""
        if not self._requests:
            raise EngineError("the engine is closed; open it again")
        request = self._compile({"PERF_COUNT": True}).create_infer_request()
        for name, array in self.inputs.items():
            request.set_tensor(name, self._ov.Tensor(array, shared_memory=True))
        spent: dict[tuple[str, str], float] = {}
        for run in range(runs + 1):
            request.start_async()
            request.wait()
            for layer in request.get_profiling_info() if run else ():
                key = layer.node_name, f"{layer.node_type} {layer.exec_type}"
                spent[key] = spent.get(key, 0.0) + layer.real_time.total_seconds() * 1e3 / runs
        layers = [LayerTime(*key, ms) for key, ms in spent.items() if ms > 0.0]
        return tuple(sorted(layers, key=lambda layer: -layer.ms))

    def close(self) -> None:
        """Wait for what runs, and free the compiled graph. Closing twice is fine."""
        for slot in tuple(self._pending):
            self._requests[slot].wait()
        self._pending.clear()
        self._requests = []


def _import() -> Any:
    try:
        return importlib.import_module("openvino")
    except (ImportError, OSError) as error:
        raise EngineUnavailable(f"openvino cannot be imported ({error}); run `pip install rasant[openvino]`") from error


def _version(ov: Any) -> str:
    """2026.4.1 of "2026.4.1-22146-...": the build number says nothing to a user."""
    return str(ov.__version__).split("-", maxsplit=1)[0]


def _device(device: str) -> str:
    match = re.fullmatch(r"(cpu|gpu|npu)(?::(\d{1,3}))?", device)
    if match is None:
        raise ConfigError(f'an OpenVINO device must be "cpu", "gpu", "gpu:N" or "npu", got {device!r}')
    return match[1].upper() + (f".{match[2]}" if match[2] else "")


def _properties(target: str, threads: int, cache: Path | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if target == "CPU" and threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if cache is not None:
        properties["CACHE_DIR"] = str(cache)
    return properties


def _compile(ov: Any, core: Any, model: bytes, target: str, properties: dict[str, Any]) -> Any:
    try:
        return core.compile_model(core.read_model(model), target, properties)
    except Exception as error:
        raise EngineError(
            f"OpenVINO {_version(ov)} refuses the graph: {_first_line(error)}; upgrade it, or export for an older opset"
        ) from error


def _provider(compiled: Any, target: str) -> str:
    """The device that runs. Raises EngineUnavailable where it is another than was asked, or rounds to bfloat16."""
    used = ",".join(compiled.get_property("EXECUTION_DEVICES"))
    if used.partition("(")[0].rstrip() not in (target, f"{target}.0"):
        raise EngineUnavailable(f"asked OpenVINO for {target}, in use is {used}")
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if hint not in ("f32", "float32"):
        raise EngineUnavailable(f"OpenVINO would compute in {hint} although it was told to keep float32")
    return used


def _slot(ov: Any, compiled: Any, request: Any) -> Slot:
    inputs = {_name(port): _buffer(port) for port in compiled.inputs}
    outputs = {_name(port): _buffer(port) for port in compiled.outputs}
    for name, array in {**inputs, **outputs}.items():
        request.set_tensor(name, ov.Tensor(array, shared_memory=True))
    return Slot(MappingProxyType(inputs), MappingProxyType(outputs))


def _name(port: Any) -> str:
    """The name in the ONNX graph; where an Identity stands next to a port, it has those of both ends."""
    name = str(port.node.friendly_name).removesuffix("/sink_port_0")
    return name if name in port.names else str(port.any_name)


def _buffer(port: Any) -> npt.NDArray[np.float32]:
    if port.partial_shape.is_dynamic or port.element_type.to_string() not in ("f32", "float32"):
        raise EngineError(
            f"{port.any_name!r} must be float32 with a static shape, got {port.element_type.to_string()} "
            f"{port.partial_shape}; export the graph again"
        )
    return np.zeros(tuple(port.shape), np.float32)


def _failed(error: Exception) -> EngineError:
    kind = EngineLost if _LOST.search(str(error)) else EngineError
    return kind(f"OpenVINO failed on this frame: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    """OpenVINO's messages begin with source positions and end with call stacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"(Exception from |Check '.*' failed at )", line)]
    return (told or lines or [type(error).__name__])[0]
