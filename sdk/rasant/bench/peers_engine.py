# SPDX-License-Identifier: Apache-2.0
"""Our engines against the bare runtime on the same graph, threads and bound buffers: what the protocol costs."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.latency import ratio_of_medians
from rasant.engines import Engine, open_engine
from rasant.errors import EngineError

__all__ = ["OPERATIONS", "RAW", "TARGET", "engine_overhead", "engine_pair", "small_network"]

TARGET = 1.05  # time of ours over the bare runtime's
TURNS, CALLS = 15, 5  # of `engine_overhead`, at least
Call = Callable[[], object]
_Arrays = dict[str, npt.NDArray[np.float32]]


def small_network(size: tuple[int, int] = (64, 64), width: int = 16) -> bytes:
    """ONNX bytes of four 3x3 convolutions on (1, 4, h, w), the shape of an edge network's inner part."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    channels = (4, width, width, width, 2)
    nodes, weights = [], []
    for layer, (before, after) in enumerate(itertools.pairwise(channels)):
        kernel = random.normal(0.0, (2.0 / (9 * before)) ** 0.5, (after, before, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        value, out = f"x{layer}", "logits" if layer == 3 else f"c{layer}"
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [out], pads=[1] * 4))
        if layer < 3:
            nodes.append(helper.make_node("Relu", [out], [f"x{layer + 1}"]))
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, (1, 4, *size))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 2, *size))], weights,
    )  # fmt: skip
    model: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _onnxruntime(model: bytes, engine: Engine, threads: int) -> tuple[Call, _Arrays, _Arrays]:
    """`run_with_iobinding` with inputs and outputs bound once."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    inputs = {name: array.copy() for name, array in engine.inputs.items()}
    outputs = {name: np.zeros_like(array) for name, array in engine.outputs.items()}
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    for name, array in outputs.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    return lambda: session.run_with_iobinding(binding), outputs, inputs


def _openvino(model: bytes, engine: Engine, threads: int) -> tuple[Call, _Arrays, _Arrays]:
    """`InferRequest.infer` on shared tensors, compiled for latency in float32 as ours is."""
    openvino: Any = importlib.import_module("openvino")
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", properties).create_infer_request()
    inputs = {name: array.copy() for name, array in engine.inputs.items()}
    outputs = {name: np.zeros_like(array) for name, array in engine.outputs.items()}
    for name, array in {**inputs, **outputs}.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    return request.infer, outputs, inputs


# Engine -> what opens its bare runtime: (call, its outputs, its inputs).
RAW = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def engine_pair(model: bytes | None = None, *, engine: str = "onnxruntime", threads: int = 1) -> tuple[Call, Call]:
    """(ours, peer): two calls that run the same graph once on equal inputs, each into its own bound buffers.

    engine: a key of RAW. Raises EngineError if their outputs differ in a single bit.
    """
    model = small_network() if model is None else model
    ours = open_engine(engine, model, threads=threads)
    random = np.random.default_rng(1)
    for array in ours.inputs.values():
        array[...] = random.random(array.shape, np.float32)
    call, outputs, inputs = RAW[engine](model, ours, threads)
    kept = inputs, outputs  # neither runtime keeps what is bound alive

    def peer(_kept: object = kept) -> None:
        call()

    ours.infer()
    peer()
    if any(not np.array_equal(array, ours.outputs[name]) for name, array in outputs.items()):
        raise EngineError(f"the engine and {engine} itself differ on the same graph and input; please report this")
    return ours.infer, peer


def engine_overhead(model: bytes, *, engine: str, threads: int = 0, seconds: float = 1.0) -> dict[str, Any]:
    """Milliseconds of our `infer` and of the bare runtime in turns, and their ratio with a 95 % interval.

    Of each turn the best of its CALLS calls counts, and of the turns the median. seconds: at least so long, and at
    least TURNS turns.
    """
    calls = engine_pair(model, engine=engine, threads=threads)
    times: tuple[list[list[float]], ...] = ([], [])
    end = time.perf_counter() + seconds
    while len(times[0]) < TURNS or time.perf_counter() < end:
        # The first of a turn changes: what follows another finds other data in the caches.
        for side in (0, 1) if len(times[0]) % 2 else (1, 0):
            calls[side]()
            times[side].append([min(_ms(calls[side]) for _ in range(CALLS))])
    ratio = ratio_of_medians(*times)
    ours, raw = (float(np.median(side)) for side in times)
    assert ratio is not None
    return {"engine_ms": ours, "raw_ms": raw, "ratio": asdict(ratio), "target": TARGET}


def _ms(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begin)


def _operation(engine: str) -> Operation:
    def make(size: Size, threads: int) -> Case:
        ours, peer = engine_pair(small_network(size), engine=engine, threads=threads)
        pixels = size[0] * size[1]
        return Case(ours, (Peer(f"{engine}, bound buffers", peer, 1 / TARGET),), moved=4 * pixels * (4 + 2))

    name = "engine" if engine == "onnxruntime" else f"engine {engine}"
    return Operation(name, make, sizes=((64, 64),), note="4 convolutions")


OPERATIONS = tuple(_operation(engine) for engine in RAW if importlib.util.find_spec(engine) is not None)
