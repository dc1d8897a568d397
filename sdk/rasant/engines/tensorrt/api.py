# SPDX-License-Identifier: Apache-2.0
"""The part of TensorRT that is used: what every version from 8.6 to 11.x has, and what only some have.

TensorRT 11 removed what most code for Jetson relies on: builder flags for precision, calibrators, the explicit-batch
flag. So precision is a property of the graph (FP16 casts, Q/DQ), networks are strongly typed wherever the flag exists,
and everything in SOME is asked for before it is used. Both tables are held against the genuine bindings by the tests.

A failure reaches Python in three ways: None, an exception, or False; the reason stands in the log alone. `attempt` and
`failure` make one of them: an EngineError with the lines of the log.
"""

from __future__ import annotations

import importlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rasant.errors import EngineError, EngineLost, EngineUnavailable

__all__ = ["ALL", "SOME", "Journal", "attempt", "failure", "import_tensorrt", "network_flags", "strongly_typed"]

# Class -> attributes that every version has.
ALL: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "Builder": ("build_serialized_network", "create_builder_config", "create_network", "num_DLA_cores"),
    "BuilderFlag": ("GPU_FALLBACK", "TF32"),
    "DataType": ("FLOAT",),
    "DeviceType": ("DLA",),
    "EngineInspector": ("get_engine_information",),
    "IBuilderConfig": (
        "DLA_core", "builder_optimization_level", "clear_flag", "create_timing_cache", "default_device_type",
        "get_timing_cache", "profiling_verbosity", "set_flag", "set_memory_pool_limit", "set_timing_cache",
    ),
    "ICudaEngine": (
        "create_engine_inspector", "create_execution_context", "get_tensor_dtype", "get_tensor_mode",
        "get_tensor_name", "get_tensor_shape", "num_io_tensors",
    ),
    "IExecutionContext": ("execute_async_v3", "profiler", "set_tensor_address"),
    "ILogger": ("log",),
    "IProfiler": ("report_layer_time",),
    "ITimingCache": ("serialize",),
    "LayerInformationFormat": ("JSON",),
    "MemoryPoolType": ("WORKSPACE",),
    "NetworkDefinitionCreationFlag": (),
    "OnnxParser": ("get_error", "num_errors", "parse"),
    "ParserError": ("desc",),
    "ProfilingVerbosity": ("DETAILED",),
    "Runtime": ("DLA_core", "deserialize_cuda_engine", "max_threads"),
    "TensorIOMode": ("INPUT",),
})  # fmt: skip

# Class -> attributes that some versions lack; the code asks for each with hasattr or getattr.
SOME: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "BuilderFlag": ("FP16", "INT8", "STRICT_NANS"),
    "IBuilderConfig": ("progress_monitor",),
    "IProgressMonitor": ("phase_finish", "phase_start", "step_complete"),
    "NetworkDefinitionCreationFlag": ("EXPLICIT_BATCH", "STRONGLY_TYPED"),
    "ParserError": ("node_name", "node_operator"),
})  # fmt: skip

_LOST = re.compile(r"out ?of ?memory|could not be allocated|Cuda Runtime|cudaError|CUDA error", re.IGNORECASE)
_LIBRARY = re.compile(r"[\w+.-]+\.so(?:\.\d+)*")


class Journal:
    """What TensorRT logged last. Nothing is ever printed.

    tail: the last lines of any kind but "verbose", as "ERROR: text". errors: the texts of the last errors alone.
    listener: called with each line of the tail.
    """

    def __init__(self, listener: Callable[[str], object] | None = None) -> None:
        self.tail: deque[str] = deque(maxlen=40)
        self.errors: deque[str] = deque(maxlen=8)
        self._listener = listener

    def logger(self, trt: Any) -> Any:
        """A logger to construct TensorRT objects with; it must live as long as they do."""
        journal = self

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                journal.write(severity.name, message)

        return Logger()

    def write(self, severity: str, message: str) -> None:
        """One line of the log. severity: INTERNAL_ERROR, ERROR, WARNING, INFO or VERBOSE."""
        if severity == "VERBOSE":
            return
        line = message.strip()
        self.tail.append(f"{severity}: {line}")
        if severity.endswith("ERROR"):
            self.errors.append(line)
        if self._listener is not None:
            self._listener(line)


def import_tensorrt(module: Any = None) -> Any:
    """The `tensorrt` package, or `module` in its place, with everything of ALL.

    Raises EngineUnavailable, which names the library that is missing or what this version lacks.
    """
    if module is None:
        try:
            module = importlib.import_module("tensorrt")
        except (ImportError, OSError) as error:  # on JetPack 7 a container lacks libraries of the host: OSError
            library = _LIBRARY.search(str(error))
            named = f"the library {library[0]} is missing" if library else "it is not installed"
            raise EngineUnavailable(
                f"tensorrt cannot be imported, {named} ({error}); on a Jetson install JetPack's TensorRT "
                "(`apt install tensorrt`) and make the virtual environment with --system-site-packages, elsewhere run "
                "`pip install rasant[tensorrt]`"
            ) from error
    lacking = [name for name in ALL if not hasattr(module, name)]
    lacking += [
        f"{kind}.{name}" for kind, names in ALL.items() for name in names if not hasattr(getattr(module, kind, 0), name)
    ]
    if lacking:
        version = getattr(module, "__version__", "of unknown version")
        raise EngineUnavailable(f"TensorRT {version} lacks {', '.join(lacking)}; install TensorRT 8.6 to 11.4")
    return module


def strongly_typed(trt: Any) -> bool:
    """Whether the types of the graph alone decide the precision, as from TensorRT 10 on."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") or not hasattr(trt.BuilderFlag, "FP16")


def network_flags(trt: Any) -> int:
    """The flags of a network: typed by its graph where that is known, with an explicit batch where it must be said."""
    known = trt.NetworkDefinitionCreationFlag
    flags = 0
    if hasattr(known, "STRONGLY_TYPED"):
        flags |= 1 << int(known.STRONGLY_TYPED)
    if hasattr(known, "EXPLICIT_BATCH") and int(trt.__version__.split(".")[0]) < 10:
        flags |= 1 << int(known.EXPLICIT_BATCH)
    return flags


def attempt(what: str, journal: Journal, call: Callable[[], Any]) -> Any:
    """The result of a call that may give None or raise. Raises EngineError or EngineLost with the lines of the log."""
    journal.errors.clear()
    try:
        result = call()
    except Exception as error:  # the bindings raise TypeError where the library gives a null pointer
        raise failure(what, journal, error) from error
    if result is None:
        raise failure(what, journal)
    return result


def failure(what: str, journal: Journal, error: Exception | None = None) -> EngineError:
    """The error that says what failed and why: EngineLost where memory or the device is gone, else EngineError."""
    reasons = list(journal.errors) or ([str(error)] if error is not None else ["TensorRT logged no reason"])
    text = "; ".join(dict.fromkeys(reasons))
    return (EngineLost if _LOST.search(text) else EngineError)(f"{what}: {text}")
