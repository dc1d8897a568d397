# SPDX-License-Identifier: Apache-2.0
"""The engine against ONNX Runtime's own `run_with_iobinding` on the same graph, threads and bound buffers."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.engines import open_engine

__all__ = ["OPERATIONS", "TARGET", "engine_pair", "small_network"]

TARGET = 1.05  # time of ours over ONNX Runtime's own


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


@dataclass(frozen=True, slots=True)
class _Peer:
    """ONNX Runtime alone. kept: the bound arrays, which a binding does not keep alive."""

    session: Any
    binding: Any
    kept: object

    def __call__(self) -> None:
        self.session.run_with_iobinding(self.binding)


def engine_pair(model: bytes | None = None, *, threads: int = 1) -> tuple[Callable[[], None], Callable[[], None]]:
    """(ours, peer): two calls that run the same graph once on equal inputs, each into its own bound buffers.

    Raises EngineError if their outputs differ in a single bit.
    """
    from rasant.errors import EngineError

    model = small_network() if model is None else model
    engine = open_engine("onnxruntime", model, threads=threads)
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    outputs = {name: np.zeros_like(array) for name, array in engine.outputs.items()}
    inputs = {name: np.zeros_like(array) for name, array in engine.inputs.items()}
    random = np.random.default_rng(1)
    for name, array in engine.inputs.items():
        array[...] = inputs[name][...] = random.random(array.shape, np.float32)
        binding.bind_cpu_input(name, inputs[name])
    for name, array in outputs.items():
        binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    peer = _Peer(session, binding, (inputs, outputs))
    engine.infer()
    peer()
    if any(not np.array_equal(array, engine.outputs[name]) for name, array in outputs.items()):
        raise EngineError("the engine and ONNX Runtime itself differ on the same graph and input; please report this")
    return engine.infer, peer


def _engine(size: Size, threads: int) -> Case:
    ours, peer = engine_pair(small_network(size), threads=threads)
    pixels = size[0] * size[1]
    return Case(ours, (Peer("onnxruntime, bound buffers", peer, 1 / TARGET),), moved=4 * pixels * (4 + 2))


OPERATIONS = (Operation("engine", _engine, sizes=((64, 64),), note="4 convolutions"),)
