# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime with buffers bound once: `infer` copies and allocates nothing on the CPU.

ONNX Runtime falls back to the CPU in silence and still lists the providers that failed; only `session.get_providers()`
tells what is in use. So the provider is compared after opening, and a fallback that the caller did not allow is an
error.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.engines.base import EngineInfo, Probe
from rasant.errors import ConfigError, EngineError, EngineUnavailable

__all__ = ["OnnxRuntimeEngine"]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3
Buffers = Mapping[str, npt.NDArray[np.float32]]


class OnnxRuntimeEngine:
    """One graph in an ONNX Runtime session. See `rasant.engines.base.Engine` for the contract.

    module: the `onnxruntime` package or a stand-in of it; imported if None.
    """

    info: EngineInfo
    inputs: Buffers
    outputs: Buffers

    def __init__(
        self,
        model: bytes,
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int = 0,
        allow_fallback: bool = False,
        module: Any = None,
    ) -> None:
        if threads < 0:
            raise ConfigError(f"threads must be 0 (the runtime decides) or more, got {threads}")
        wanted, device_id = _provider(device)
        ort = module if module is not None else _import()
        notes: list[str] = []
        providers: list[Any] = [_CPU]
        if wanted != _CPU and wanted in ort.get_available_providers():
            providers = [(wanted, {"device_id": device_id}), _CPU]
        session = _open(ort, model, threads, providers)
        used = session.get_providers()[0]
        if used != wanted:
            text = f"asked for {wanted}, in use is {used} (available: {', '.join(ort.get_available_providers())})"
            if not allow_fallback:
                raise EngineUnavailable(
                    f"{text}; install the onnxruntime build and driver for {device!r}, or allow a fallback"
                )
            notes.append(text)
        self.info = EngineInfo(
            name="onnxruntime", version=ort.__version__, provider=used, precision=precision,
            device=f"cuda:{device_id}" if used == _CUDA else "cpu", notes=tuple(notes), fallback=used != wanted,
        )  # fmt: skip
        self.inputs = MappingProxyType({arg.name: _buffer(arg) for arg in session.get_inputs()})
        self.outputs = MappingProxyType({arg.name: _buffer(arg) for arg in session.get_outputs()})
        self._binding = session.io_binding()
        for name, array in self.inputs.items():
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in self.outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session = session
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
        """Run the graph on `inputs` and write `outputs`.

        Raises EngineError where the runtime fails, the engine is closed, another thread is inside, or the process was
        forked after the engine was opened (the runtime's threads do not survive a fork).
        """
        if not self._busy.acquire(blocking=False):
            raise EngineError("another thread runs this engine; open one engine for each thread")
        try:
            if self._session is None:
                raise EngineError("the engine is closed; open it again")
            if os.getpid() != self._process:
                raise EngineError("the engine was opened before this process was forked; open it in the child")
            self._session.run_with_iobinding(self._binding)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on this frame: {error}") from error
        finally:
            self._busy.release()

    def warmup(self, runs: int = 2) -> None:
        """Run on zeros, so that the first real frame does not pay for lazy initialisation. Raises EngineError."""
        for array in self.inputs.values():
            array.fill(0.0)
        for _ in range(runs):
            self.infer()

    def close(self) -> None:
        """Free the session; waits for a run that is going on. Closing twice is fine."""
        with self._busy:
            self._binding = None
            self._session = None

    def __enter__(self) -> OnnxRuntimeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def _open(ort: Any, model: bytes, threads: int, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = ort.InferenceSession(model, sess_options=options, providers=providers)
        session.disable_fallback()
    except Exception as error:
        raise EngineError(
            f"ONNX Runtime {ort.__version__} refuses the graph: {error}; upgrade it, or export for an older opset"
        ) from error
    return session


def _buffer(argument: Any) -> npt.NDArray[np.float32]:
    shape = tuple(argument.shape)
    if argument.type != "tensor(float)" or not all(isinstance(side, int) and side > 0 for side in shape):
        raise EngineError(
            f"{argument.name!r} must be tensor(float) with a static shape, got {argument.type} {list(shape)}; "
            "export the graph again"
        )
    return np.zeros(shape, np.float32)
