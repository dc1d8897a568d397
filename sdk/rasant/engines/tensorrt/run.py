# SPDX-License-Identifier: Apache-2.0
"""Runs a plan. Opening an engine never builds one: a service that starts must not stand still for minutes.

Memory and order of work are those of `rasant.ops.device`. Where the GPU shares the host's memory (Jetson) the buffers
are mapped, and the network reads and writes what numpy sees; elsewhere they are pinned, and copies run in the stream of
their slot, before and after the network. Each slot has its own execution context and stream. Warming up keeps the whole
run of a slot as one CUDA graph, which costs the host one call a frame; where that cannot be, `info` says why.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from rasant.engines.base import Buffers, EngineInfo, LayerTime, Probe, Slot, Slotted, require_counts
from rasant.engines.tensorrt.api import Journal, attempt, failure, import_tensorrt
from rasant.engines.tensorrt.build import plan_fields
from rasant.engines.tensorrt.machine import Target, describe_machine, parse_target
from rasant.engines.tensorrt.plan_cache import BuildOptions, PlanCache, PlanFields, PlanRecord
from rasant.errors import (
    ConfigError,
    DeviceFailed,
    DeviceUnavailable,
    EngineError,
    EngineLost,
    EngineTimeout,
    EngineUnavailable,
    PlanError,
)
from rasant.ops.device import native_for

__all__ = ["TensorRTEngine"]

_POLL_S = 0.0002


class TensorRTEngine(Slotted):
    """One graph from a plan that `rasant build` made. See `rasant.engines.base.Engine` for the contract.

    device: "cuda", the GPU of this process, or "dla:N". threads: that TensorRT may use on the host; 0 leaves it to
    TensorRT. allow_fallback: open a plan whose layers may leave the DLA for the GPU. cache: folder of plans, see
    `PlanCache`. module: the `tensorrt` package or a stand-in.

    Raises ConfigError for a device or precision that cannot be; EngineUnavailable without TensorRT, driver, GPU, or the
    CUDA part of rasant; PlanError where no intact plan fits; EngineError and EngineLost where TensorRT refuses it.
    """

    info: EngineInfo
    slots: tuple[Slot, ...]

    def __init__(
        self,
        model: bytes,
        *,
        precision: str = "fp32",
        device: str = "cuda",
        threads: int = 0,
        allow_fallback: bool = False,
        slots: int = 1,
        cache: Path | None = None,
        module: Any = None,
    ) -> None:
        require_counts(threads, slots)
        target = parse_target(device)
        begin = time.perf_counter()
        trt = import_tensorrt(module)
        fields = plan_fields(trt, model, precision, target, allow_fallback, BuildOptions())
        native = _native(target)
        plan, record = PlanCache(cache).find(fields)
        self._lost = ""
        self._journal = Journal()
        self._logger = self._journal.logger(trt)
        self._runtime = _runtime(trt, self._logger, self._journal, target, threads)
        self._plan = attempt(
            "TensorRT cannot load the plan", self._journal, lambda: self._runtime.deserialize_cuda_engine(plan)
        )
        inputs = _check_border(trt, self._plan, fields)
        self._lane: Callable[[], _Lane] = lambda: _Lane(native, self._plan, inputs, fields, self._journal)
        self._lanes = [self._guarded(self._lane) for _ in range(slots)]
        self.slots = tuple(lane.slot for lane in self._lanes)
        self._trt = trt
        self._pending: set[int] = set()
        self._captured = False
        self._process = os.getpid()
        self.info = EngineInfo(
            name="tensorrt", version=str(trt.__version__), provider=_provider(target, fields), precision=precision,
            device=str(target), notes=_notes(record), fallback=fields.gpu_fallback,
            open_s=time.perf_counter() - begin,
        )  # fmt: skip

    @classmethod
    def probe(cls) -> Probe:
        """Whether TensorRT, a GPU and the CUDA part of rasant are here; plans are another matter. Never raises."""
        version = ""
        try:
            version = str(import_tensorrt().__version__)
            describe_machine()
            _native(Target())
            return Probe(True, version=version)
        except Exception as error:  # a broken installation may raise anything
            return Probe(False, reason=str(error), version=version)

    def infer(self) -> None:
        """Run the graph on the inputs of slot 0 and write its outputs.

        Raises EngineError where the runtime fails, the engine is closed, slot 0 still runs, or the process was forked
        after the engine was opened; EngineLost where the device failed or has no memory left.
        """
        self.submit(0)
        self.wait(0)

    def submit(self, slot: int = 0) -> None:
        """Start a run on a slot and return at once. Raises as `infer` does."""
        self._require_open()
        if not 0 <= slot < len(self._lanes):
            raise ConfigError(f"slot must be 0 to {len(self._lanes) - 1}, got {slot}; open the engine with more slots")
        if slot in self._pending:
            raise EngineError(f"slot {slot} still runs; wait for it before it is used again")
        self._guarded(self._lanes[slot].start)
        self._pending.add(slot)

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """Wait for the run of a slot. See `Engine.wait`."""
        self._require_open()
        if slot not in self._pending:
            raise EngineError(f"nothing was submitted to slot {slot}; call submit({slot}) first")
        lane = self._lanes[slot]
        try:
            self._guarded(lane.done.wait if timeout_s is None else lambda: _poll(lane.done, timeout_s, slot))
        except EngineTimeout:
            raise
        except EngineError:
            self._pending.discard(slot)
            raise
        self._pending.discard(slot)

    def warmup(self, runs: int = 2) -> None:
        """Run every slot on zeros, so that the first real frame does not pay for initialisation. Raises EngineError.

        After the first run of all slots each is kept as a CUDA graph, once in the engine's life.
        """
        for slot in self.slots:
            for array in slot.inputs.values():
                array.fill(0.0)
        for run in range(runs):
            for index in range(len(self.slots)):
                self.submit(index)
                self.wait(index)
            if run == 0 and not self._captured:
                self._capture()

    def profile(self, runs: int = 10) -> tuple[LayerTime, ...]:
        """Time of each layer on what stands in slot 0, slowest first, in an execution context of its own."""
        self._require_open()
        lane = self._guarded(self._lane)
        for name, array in self.inputs.items():
            lane.slot.inputs[name][...] = array
        self._guarded(lane.run)  # the first run pays for initialisation
        timer = _timer(self._trt)
        lane.context.profiler = timer
        for _ in range(runs):
            self._guarded(lane.run)
        kinds = _layer_kinds(self._trt, self._plan)
        layers = [LayerTime(name, kinds.get(name, "layer"), ms / runs) for name, ms in timer.spent.items()]
        return tuple(sorted(layers, key=lambda layer: -layer.ms))

    def close(self) -> None:
        """Wait for what runs, and free the plan. The buffers stay readable. Closing twice is fine."""
        for slot in tuple(self._pending):
            try:
                self._lanes[slot].done.wait()
            except DeviceFailed:
                break  # nothing runs on a device that is gone
        self._pending.clear()
        self._lanes = []  # contexts before their plan, and that before its runtime
        self._plan = None
        self._runtime = None

    def _capture(self) -> None:
        """Keep the run of each slot as a CUDA graph; what cannot be is enqueued as before, and `info` tells."""
        self._captured = True
        reasons = dict.fromkeys(lane.capture() for lane in self._lanes)
        reasons.pop("", None)
        note = f"no CUDA graph: {'; '.join(reasons)}" if reasons else "each run is one CUDA graph"
        self.info = replace(self.info, notes=(*self.info.notes, note))

    def _require_open(self) -> None:
        if self._plan is None:
            raise EngineError("the engine is closed; open it again")
        if self._lost:
            raise EngineLost(f"the device was lost before ({self._lost}); open the engine again")
        if os.getpid() != self._process:
            raise EngineError("the engine was opened before this process was forked; open it in the child")

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Device errors as engine errors; what loses the device is remembered."""
        try:
            return call()
        except (DeviceFailed, EngineLost) as error:
            self._lost = str(error)
            raise EngineLost(f"TensorRT lost the device: {error}; open the engine again") from error


class _Lane:
    """One slot: its buffers, its execution context, its stream, and the CUDA graph of a run once it is captured."""

    def __init__(self, native: Any, plan: Any, inputs: frozenset[str], fields: PlanFields, journal: Journal) -> None:
        self.context = attempt("TensorRT gives no execution context", journal, plan.create_execution_context)
        self._journal = journal
        self.stream, self.done = native.Stream(), native.Event(False)
        memory = "mapped" if fields.integrated else "pinned"
        host = {name: native.DeviceArray(list(shape), np.dtype(np.float32), memory) for name, shape in fields.shapes}
        self._device = host
        if not fields.integrated:
            self._device = {
                name: native.DeviceArray(list(shape), np.dtype(np.float32), "device") for name, shape in fields.shapes
            }
        views = {name: array.host() for name, array in host.items()}
        for name, view in views.items():
            view.fill(0.0)
            if not self.context.set_tensor_address(name, self._device[name].pointer):
                raise failure(f"TensorRT refuses the buffer of {name!r}", journal)
        self.slot = Slot(_chosen(views, lambda name: name in inputs), _chosen(views, lambda name: name not in inputs))
        self._copied = not fields.integrated
        self._graph: Any = None

    def start(self) -> None:
        """Put a run into the stream. Raises DeviceFailed, EngineError, EngineLost."""
        if self._graph is None:
            self._enqueue()
        else:
            self._graph.launch(self.stream)
        self.done.record(self.stream)

    def capture(self) -> str:
        """Keep a run as a CUDA graph, which `start` launches from then on; returns why that cannot be, else "".

        TensorRT asks for a plain run before, since what it puts off until then cannot be kept.
        """
        try:
            self._graph = self.stream.capture(self._enqueue)
        except (DeviceFailed, EngineError) as error:  # a device that is really lost says it again in the next run
            return str(error)
        return ""

    def _enqueue(self) -> None:
        if self._copied:
            for name, view in self.slot.inputs.items():
                self._device[name].copy_from(view, self.stream)
        what = "TensorRT failed on this frame"
        if not attempt(what, self._journal, lambda: self.context.execute_async_v3(self.stream.handle)):
            raise failure(what, self._journal)
        if self._copied:
            for name, view in self.slot.outputs.items():
                self._device[name].copy_to(view, self.stream)

    def run(self) -> None:
        """Start a run and wait for it."""
        self.start()
        self.done.wait()


def _chosen(views: Mapping[str, Any], wanted: Callable[[str], bool]) -> Buffers:
    return MappingProxyType({name: view for name, view in views.items() if wanted(name)})


def _native(target: Target) -> Any:
    try:
        return native_for(target.device)
    except DeviceUnavailable as error:
        raise EngineUnavailable(str(error)) from error


def _runtime(trt: Any, logger: Any, journal: Journal, target: Target, threads: int) -> Any:
    runtime = attempt("TensorRT gives no runtime", journal, lambda: trt.Runtime(logger))
    if target.dla_core is not None:
        runtime.DLA_core = target.dla_core
    if threads:
        runtime.max_threads = threads
    return runtime


def _check_border(trt: Any, plan: Any, fields: PlanFields) -> frozenset[str]:
    """The names of the inputs. Raises PlanError where the plan's tensors are not those of the graph."""
    names = [plan.get_tensor_name(index) for index in range(plan.num_io_tensors)]
    found = {name: tuple(plan.get_tensor_shape(name)) for name in names}
    types = {plan.get_tensor_dtype(name) for name in names}
    if found != dict(fields.shapes) or types != {trt.DataType.FLOAT}:
        raise PlanError(
            f"the plan has tensors {found} of {types}, the graph {dict(fields.shapes)} of float32; run "
            "`rasant build --rebuild`"
        )
    return frozenset(name for name in names if plan.get_tensor_mode(name) == trt.TensorIOMode.INPUT)


def _provider(target: Target, fields: PlanFields) -> str:
    if target.dla_core is None:
        return "TensorRT"
    return f"TensorRT DLA {target.dla_core}{' and GPU' if fields.gpu_fallback else ''}"


def _notes(record: PlanRecord) -> tuple[str, ...]:
    fields = record.fields
    memory = "mapped memory, no copies" if fields.integrated else "pinned memory, asynchronous copies"
    leaves = (f"layers that DLA {fields.dla_core} cannot run are on the GPU",) if fields.gpu_fallback else ()
    gpu = f"{fields.gpu}, compute capability {fields.compute_capability}"
    return (*leaves, gpu, memory, f"plan {fields.key[:12]} built in {record.build_s:.1f} s")


def _poll(done: Any, timeout_s: float, slot: int) -> None:
    end = time.monotonic() + timeout_s
    while not done.done:
        if time.monotonic() >= end:
            raise EngineTimeout(f"the run of slot {slot} takes longer than {timeout_s:.3f} s; it goes on")
        time.sleep(_POLL_S)
    done.wait()  # where the run failed, this says it


def _timer(trt: Any) -> Any:
    class Timer(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.spent: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.spent[layer_name] = self.spent.get(layer_name, 0.0) + ms

    return Timer()


def _layer_kinds(trt: Any, plan: Any) -> dict[str, str]:
    """Layer name -> kind, as the plan's inspector tells it; empty where it tells nothing that can be read."""
    try:
        told = json.loads(plan.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
        return {str(layer["Name"]): str(layer["LayerType"]) for layer in told["Layers"] if isinstance(layer, dict)}
    except (ValueError, KeyError, TypeError):
        return {}
