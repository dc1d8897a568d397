# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the `tensorrt` package of one version: no GPU, host memory, and failures on request.

It offers what the code uses and what the genuine bindings of that version have, no more (`test_tensorrt_contract`
compares it with them). A plan is a header with version and GPU, then the ONNX graph; a context runs that graph with
ONNX Runtime on the memory that its addresses name, so what comes out is what the network computes.
"""

from __future__ import annotations

import ctypes
import enum
import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

VERSIONS = ("8.6.1", "10.3.0", "10.16.1.11", "11.4.0.106")
MAGIC = b"ptrt"
OUT_OF_MEMORY = (
    "[executionContext.cpp::initializeExecutionContext::586] Error Code 2: OutOfMemory (no further information)"
)
LOST = "[cudaDriverHelpers.cpp::op::29] Error Code 1: Cuda Runtime (an illegal memory access was encountered)"
CAPTURED = "[runner.cpp::execute::20] Error Code 1: Cuda Runtime (operation not permitted when stream is capturing)"
INCOMPATIBLE = "The engine plan file is generated on an incompatible device, expecting compute 8.7 got compute 11.0"
LAYERS = {"conv_1 + relu_1": "CaskConvolution", "softmax": "SoftMax"}


class Severity(enum.Enum):
    """Of ILogger."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _flags(version: str) -> Any:
    names = ["GPU_FALLBACK", "TF32"]
    names += ["FP16", "INT8"] if _number(version) < (11, 0) else []
    names += ["STRICT_NANS"] if _number(version) >= (10, 16) else []
    return enum.IntEnum("BuilderFlag", names, start=0)


def _network_flags(version: str) -> Any:
    names = {"EXPLICIT_BATCH": 0} if _number(version) < (11, 0) else {}
    names |= {"STRONGLY_TYPED": 1} if _number(version) >= (10, 0) else {}
    return enum.IntEnum("NetworkDefinitionCreationFlag", names)


class ILogger:
    """Base of loggers."""

    Severity = Severity

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class IProfiler:
    """Base of profilers."""

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class IProgressMonitor:
    """Base of progress monitors; not in 8.6."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


class TensorIOMode(enum.Enum):
    """Direction of a tensor."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2


def fake_tensorrt(
    version: str = "10.3.0", *, gpu: str = "emulator", dla_cores: int = 0, faults: set[str] | None = None,
    build_s: float = 0.0,
) -> Any:  # fmt: skip
    """The module.

    faults: "raise:builder", "none:runtime", "none:engine", "none:context" (None, as old versions), "raise:runtime"
    (TypeError, as the bindings do for a null pointer), "oom:build", "oom:context", "lost:run", "false:run",
    "parse", "address", "half" (a tensor of another type). The set is looked at when it matters, so a test may change
    it. `module.builds` has the network flags of each build, `module.configs` what was configured. While
    `module.capturing`, runs are accepted and not done, as in a stream that is captured, or refused ("false:capture").
    """
    found = faults if faults is not None else set()
    module = SimpleNamespace(
        __name__="tensorrt", __version__=version, faults=found, gpu=gpu, builds=[], configs=[], capturing=False,
        ILogger=ILogger, IProfiler=IProfiler, TensorIOMode=TensorIOMode,
        BuilderFlag=_flags(version), NetworkDefinitionCreationFlag=_network_flags(version),
        DataType=enum.Enum("DataType", "FLOAT HALF"), DeviceType=enum.Enum("DeviceType", "GPU DLA"),
        ProfilingVerbosity=enum.Enum("ProfilingVerbosity", "LAYER_NAMES_ONLY DETAILED NONE"),
        MemoryPoolType=enum.Enum("MemoryPoolType", "WORKSPACE"),
        LayerInformationFormat=enum.Enum("LayerInformationFormat", "ONELINE JSON"),
        IBuilderConfig=_config(version), ITimingCache=_TimingCache, ParserError=_parser_error(version),
        EngineInspector=_Inspector, OnnxParser=_Parser, IExecutionContext=_Context, ICudaEngine=_Engine,
    )  # fmt: skip
    if _number(version) >= (10, 0):
        module.IProgressMonitor = IProgressMonitor
    module.Builder = type("Builder", (_Builder,), {"trt": module, "num_DLA_cores": dla_cores, "build_s": build_s})
    module.Runtime = type("Runtime", (_Runtime,), {"trt": module})
    return module


def _fail(logger: ILogger, message: str) -> None:
    logger.log(Severity.ERROR, message)


class _TimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> memoryview:
        return memoryview(self.data + b"measured;")


def _config(version: str) -> type:
    class IBuilderConfig:
        DLA_core = -1
        builder_optimization_level = 3
        default_device_type: Any = None
        profiling_verbosity: Any = None

        def __init__(self) -> None:
            self.set_flags: set[Any] = set()
            self.cleared: set[Any] = set()
            self.pools: dict[Any, int] = {}
            self.timing: _TimingCache | None = None

        def set_flag(self, flag: Any) -> None:
            self.set_flags.add(flag)

        def clear_flag(self, flag: Any) -> None:
            self.cleared.add(flag)

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            self.pools[pool] = size

        def create_timing_cache(self, data: bytes) -> _TimingCache:
            return _TimingCache(bytes(data))

        def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
            self.timing = cache
            return True

        def get_timing_cache(self) -> _TimingCache | None:
            return self.timing

        def __setattr__(self, name: str, value: Any) -> None:
            own = name in ("set_flags", "cleared", "pools", "timing")
            assert own or hasattr(type(self), name), f"IBuilderConfig of {version} has no {name}"
            object.__setattr__(self, name, value)

    if _number(version) >= (10, 0):
        IBuilderConfig.progress_monitor = None
    return IBuilderConfig


def _parser_error(version: str) -> type:
    class ParserError:
        def desc(self) -> str:
            return "Plugin not found, are the plugin name, version, and namespace correct?"

    if _number(version) >= (10, 0):
        ParserError.node_operator = lambda self: "Det"
        ParserError.node_name = lambda self: "det_3"
    return ParserError


class _Builder:
    trt: Any
    num_DLA_cores: int  # noqa: N815
    build_s: float

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger
        if "raise:builder" in self.trt.faults:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> Any:
        return SimpleNamespace(flags=flags, trt=self.trt, model=b"")

    def create_builder_config(self) -> Any:
        return self.trt.IBuilderConfig()

    def build_serialized_network(self, network: Any, config: Any) -> memoryview | None:
        self.logger.log(Severity.INFO, "Building engine")
        self.logger.log(Severity.VERBOSE, "a line that nobody needs")
        if "oom:build" in self.trt.faults:
            _fail(self.logger, OUT_OF_MEMORY)
            return None
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            monitor.phase_start("Building engine", None, 4)
        for step in range(4):
            time.sleep(self.build_s / 4)
            if monitor is not None and not monitor.step_complete("Building engine", step):
                _fail(self.logger, "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled")
                return None
        if monitor is not None:
            monitor.phase_finish("Building engine")
        self.trt.builds.append(network.flags)
        self.trt.configs.append(config)
        head = json.dumps({"version": self.trt.__version__, "gpu": self.trt.gpu}).encode()
        return memoryview(MAGIC + len(head).to_bytes(4, "little") + head + network.model)


class _Parser:
    def __init__(self, network: Any, logger: ILogger) -> None:
        self.network = network

    def parse(self, model: bytes) -> bool:
        self.network.model = model
        return "parse" not in self.network.trt.faults

    @property
    def num_errors(self) -> int:
        return int("parse" in self.network.trt.faults)

    def get_error(self, index: int) -> Any:
        return self.network.trt.ParserError()


class _Runtime:
    trt: Any
    DLA_core = -1
    max_threads = 1

    def __new__(cls, logger: ILogger) -> Any:
        if "raise:runtime" in cls.trt.faults:
            _fail(logger, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return None if "none:runtime" in cls.trt.faults else super().__new__(cls)

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if "none:engine" in self.trt.faults:
            return None
        assert plan[:4] == MAGIC, "a damaged plan reached the runtime"
        size = int.from_bytes(plan[4:8], "little")
        head = json.loads(plan[8 : 8 + size])
        if head != {"version": self.trt.__version__, "gpu": self.trt.gpu}:
            _fail(self.logger, INCOMPATIBLE)
            return None
        return self.trt.ICudaEngine(self, plan[8 + size :])


class _Engine:
    def __init__(self, runtime: _Runtime, model: bytes) -> None:
        import onnxruntime

        self.runtime, self.trt = runtime, runtime.trt
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = {argument.name: tuple(argument.shape) for argument in self.session.get_inputs()}
        self.outputs = {argument.name: tuple(argument.shape) for argument in self.session.get_outputs()}
        self.tensors = {**self.inputs, **self.outputs}

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.trt.DataType.HALF if "half" in self.trt.faults else self.trt.DataType.FLOAT

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def create_execution_context(self) -> Any:
        if "oom:context" in self.trt.faults:
            _fail(self.runtime.logger, OUT_OF_MEMORY)
            return None
        return None if "none:context" in self.trt.faults else self.trt.IExecutionContext(self)

    def create_engine_inspector(self) -> Any:
        return self.trt.EngineInspector()


class _Inspector:
    def get_engine_information(self, layout: Any) -> str:
        return json.dumps({"Layers": [{"Name": name, "LayerType": kind} for name, kind in LAYERS.items()]})


class _Context:
    profiler: IProfiler | None = None

    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return "address" not in self.engine.trt.faults

    def execute_async_v3(self, stream_handle: int) -> bool:
        faults, logger = self.engine.trt.faults, self.engine.runtime.logger
        if "lost:run" in faults:
            _fail(logger, LOST)
            return False
        if "false:run" in faults:
            _fail(logger, "[enqueue.cpp::enqueueV3::10] Error Code 3: API Usage Error")
            return False
        assert stream_handle, "the default stream would wait for all others"
        if self.engine.trt.capturing:
            if "false:capture" in faults:
                _fail(logger, CAPTURED)
            return "false:capture" not in faults
        results = self.engine.session.run(list(self.engine.outputs), {n: self._memory(n) for n in self.engine.inputs})
        for name, result in zip(self.engine.outputs, results, strict=True):
            self._memory(name)[...] = result
        if self.profiler is not None:
            for name in LAYERS:
                self.profiler.report_layer_time(name, 1.0 if "conv" in name else 0.25)
        return True

    def _memory(self, name: str) -> np.ndarray:
        shape = self.engine.tensors[name]
        floats = ctypes.cast(self.addresses[name], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(floats, shape=shape)
