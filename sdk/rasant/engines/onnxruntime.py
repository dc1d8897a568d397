# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime with buffers bound once: `infer` copies and allocates nothing on the CPU.

ONNX Runtime falls back to the CPU in silence and still lists the providers that failed; only `session.get_providers()`
tells what is in use. So the provider is compared after opening, and a fallback that the caller did not allow is an
error.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.engines.base import EngineInfo, LayerTime, Probe, Slot, Slotted, require_counts
from rasant.errors import ConfigError, EngineError, EngineLost, EngineTimeout, EngineUnavailable

__all__ = ["OnnxRuntimeEngine"]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3
# How ONNX Runtime's CUDA provider says that memory or the device is gone; the session is of no use afterwards.
_LOST = re.compile(
    r"out of memory|failed to allocate memory|CUDA(?:_ERROR| failure| error)|device.{0,20}lost", re.IGNORECASE
)


class OnnxRuntimeEngine(Slotted):
    """One graph in an ONNX Runtime session. See `rasant.engines.base.Engine` for the contract.

    module: the `onnxruntime` package or a stand-in of it; imported if None.
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
        wanted, device_id = _provider(device)
        ort = module if module is not None else _import()
        begin = time.perf_counter()
        providers: list[Any] = [_CPU]
        if wanted != _CPU and wanted in ort.get_available_providers():
            providers = [(wanted, {"device_id": device_id}), _CPU]
        self._reopen: Callable[[Any], Any] = lambda options: _open(ort, model, options, providers)
        session = self._reopen(_options(ort, threads))
        used = session.get_providers()[0]
        notes = _check_provider(wanted, used, ort.get_available_providers(), device, allow_fallback)
        self.info = EngineInfo(
            name="onnxruntime", version=ort.__version__, provider=used, precision=precision,
            device=f"cuda:{device_id}" if used == _CUDA else "cpu", notes=notes, fallback=used != wanted,
            open_s=time.perf_counter() - begin,
        )  # fmt: skip
        self.slots = tuple(_slot(session) for _ in range(slots))
        self._bindings = [_bind(session, slot) for slot in self.slots]
        self._session = session
        self._profiling: Callable[[str], Any] = lambda folder: _options(ort, threads, profile=folder)
        self._pending: dict[int, concurrent.futures.Future[None]] = {}
        self._worker: concurrent.futures.ThreadPoolExecutor | None = None  # made by the first `submit`
        self._busy = threading.Lock()
        self._process = os.getpid()

    @classmethod
    def probe(cls) -> Probe:
        """Whether ONNX Runtime can be imported. Never raises."""
        try:
            return Probe(True, version=str(_import().__version__))
        except Exception as error:  # a broken wheel may raise anything
            return Probe(False, reason=str(error))

    def infer(self) -> None:
        """Run the graph on the inputs of slot 0 and write its outputs.

        Raises EngineError where the runtime fails, the engine is closed, another run is going on, or the process was
        forked after the engine was opened (the runtime's threads do not survive a fork); EngineLost where the device
        failed.
        """
        if not self._busy.acquire(blocking=False):
            raise EngineError("another run of this engine is going on; wait for it, or open one engine for each thread")
        try:
            self._run(0)
        finally:
            self._busy.release()

    def submit(self, slot: int = 0) -> None:
        """Start a run on a slot and return at once. Runs follow each other in one thread of this engine."""
        self._require_open()
        if slot in self._pending:
            raise EngineError(f"slot {slot} still runs; wait for it before it is used again")
        if not 0 <= slot < len(self.slots):
            raise ConfigError(f"slot must be 0 to {len(self.slots) - 1}, got {slot}; open the engine with more slots")
        if self._worker is None:
            self._worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="rasant-onnxruntime")
        self._pending[slot] = self._worker.submit(self._run_alone, slot)

    def wait(self, slot: int = 0, timeout_s: float | None = None) -> None:
        """Wait for the run of a slot. See `Engine.wait`."""
        if slot not in self._pending:
            raise EngineError(f"nothing was submitted to slot {slot}; call submit({slot}) first")
        done, _ = concurrent.futures.wait([self._pending[slot]], timeout_s)
        if not done:
            raise EngineTimeout(f"the run of slot {slot} takes longer than {timeout_s:.3f} s; it goes on")
        self._pending.pop(slot).result()

    def warmup(self, runs: int = 2) -> None:
        """Run every slot on zeros, so that the first real frame does not pay for initialisation. Raises EngineError."""
        for index, slot in enumerate(self.slots):
            for array in slot.inputs.values():
                array.fill(0.0)
            for _ in range(runs):
                with self._busy:
                    self._run(index)

    def profile(self, runs: int = 10) -> tuple[LayerTime, ...]:
        """Time of each kernel on what stands in slot 0, slowest first, from a second session. Raises EngineError."""
        self._require_open()
        with tempfile.TemporaryDirectory(prefix="rasant-") as folder:
            session = self._reopen(self._profiling(str(Path(folder, "profile"))))
            binding = _bind(session, self.slots[0])
            for _ in range(runs + 1):
                session.run_with_iobinding(binding)
            return _layers(Path(session.end_profiling()), runs)

    def close(self) -> None:
        """Free the session; waits for what runs. Closing twice is fine."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
        with self._busy:
            self._bindings, self._session, self._worker = [], None, None
            self._pending.clear()

    def _require_open(self) -> None:
        if self._session is None:
            raise EngineError("the engine is closed; open it again")
        if os.getpid() != self._process:
            raise EngineError("the engine was opened before this process was forked; open it in the child")

    def _run_alone(self, slot: int) -> None:
        with self._busy:
            self._run(slot)

    def _run(self, slot: int) -> None:
        self._require_open()
        try:
            self._session.run_with_iobinding(self._bindings[slot])
        except Exception as error:
            kind = EngineLost if _LOST.search(str(error)) else EngineError
            raise kind(f"ONNX Runtime failed on this frame: {error}") from error


def _import() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EngineUnavailable(f"onnxruntime cannot be imported ({error}); run `pip install onnxruntime`") from error


def _provider(device: str) -> tuple[str, int]:
    if device == "cpu":
        return _CPU, 0
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", device)
    if match is None:
        raise ConfigError(f'device must be "cpu", "cuda" or "cuda:N", got {device!r}')
    return _CUDA, int(match[1] or 0)


def _check_provider(
    wanted: str, used: str, available: list[str], device: str, allow_fallback: bool
) -> tuple[str, ...]:
    """What to note about the provider in use. Raises EngineUnavailable where it is not the wanted one."""
    if used == wanted:
        return ()
    text = f"asked for {wanted}, in use is {used} (available: {', '.join(available)})"
    if not allow_fallback:
        raise EngineUnavailable(f"{text}; install the onnxruntime build and driver for {device!r}, or allow a fallback")
    return (text,)


def _options(ort: Any, threads: int, profile: str = "") -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return options


def _open(ort: Any, model: bytes, options: Any, providers: list[Any]) -> Any:
    try:
        session = ort.InferenceSession(model, sess_options=options, providers=providers)
        session.disable_fallback()
    except Exception as error:
        raise EngineError(
            f"ONNX Runtime {ort.__version__} refuses the graph: {error}; upgrade it, or export for an older opset"
        ) from error
    return session


def _slot(session: Any) -> Slot:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return Slot(
        MappingProxyType({arg.name: _buffer(arg) for arg in inputs}),
        MappingProxyType({arg.name: _buffer(arg) for arg in outputs}),
    )


def _bind(session: Any, slot: Slot) -> Any:
    binding = session.io_binding()
    for name, array in slot.inputs.items():
        binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    for name, array in slot.outputs.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    return binding


def _layers(file: Path, runs: int) -> tuple[LayerTime, ...]:
    """Mean time of each kernel, from the profile that ONNX Runtime writes; its first run is left out."""
    spent: dict[tuple[str, str], list[float]] = {}
    for event in json.loads(file.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["name"].removesuffix("_kernel_time"), event.get("args", {}).get("op_name", "")
            spent.setdefault(key, []).append(event["dur"] / 1e3)
    layers = [LayerTime(*key, sum(times[-runs:]) / runs) for key, times in spent.items()]
    return tuple(sorted(layers, key=lambda layer: -layer.ms))


def _buffer(argument: Any) -> npt.NDArray[np.float32]:
    shape = tuple(argument.shape)
    if argument.type != "tensor(float)" or not all(isinstance(side, int) and side > 0 for side in shape):
        raise EngineError(
            f"{argument.name!r} must be tensor(float) with a static shape, got {argument.type} {list(shape)}; "
            "export the graph again"
        )
    return np.zeros(shape, np.float32)
