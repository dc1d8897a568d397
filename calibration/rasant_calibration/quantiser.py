# SPDX-License-Identifier: Apache-2.0
"""A float graph as Q/DQ graphs: integers inside, float32 at the border and wherever one asks for it.

One form for ONNX Runtime, OpenVINO and TensorRT: signed 8 bits around zero for activations, as TensorRT asks, and for
the weights of each output channel (Jacob et al., CVPR 2018). The arithmetic is ONNX Runtime's own quantiser.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx

import rasant

__all__ = ["Quantiser", "Stage", "stages"]

# Operators that run on integers.
WORK = ("Conv", "ConvTranspose", "MatMul", "Gemm")
# Where the size or the source of the data changes, one stage of the network ends and the next begins.
_BORDERS = frozenset({"MaxPool", "AveragePool", "Resize", "Concat", "DepthToSpace", "SpaceToDepth"})


class Quantiser:
    """Builds Q/DQ graphs out of one float graph.

    model: a float32 graph with static shapes. limits: the magnitude that becomes 127, for every activation by name.
    Raises ConfigError for a graph that has Q/DQ already.
    """

    def __init__(self, model: bytes, limits: Mapping[str, float]) -> None:
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

        self._graph = onnx.load_model_from_string(model)
        if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in self._graph.graph.node):
            raise rasant.ConfigError("the graph is quantised already; start from the float bundle")
        ranges = {name: TensorData(lowest=np.float32(-x), highest=np.float32(x)) for name, x in limits.items()}
        self._ranges = TensorsData(CalibrationMethod.MinMax, ranges)

    def build(self, keep_float: Collection[str] = ()) -> bytes:
        """The Q/DQ graph, with the nodes named in `keep_float` left in float32.

        Only what convolutions and products take is rounded. What they give is not: before an activation function half
        of the steps would be spent on values that it discards, and engines carry integers on by themselves where they
        can (through pooling and concatenation, too).
        """
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy: Any = onnx.ModelProto()
        copy.CopyFrom(self._graph)
        options = {
            "ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": list(WORK),
        }  # fmt: skip
        with _quiet():
            quantiser = QDQQuantizer(
                copy, True, False, QuantType.QInt8, QuantType.QInt8, self._ranges, [], list(keep_float),
                list(WORK), options,
            )  # fmt: skip
            quantiser.quantize_model()
            quantiser.model.topological_sort()  # the tool appends its nodes
        return _standard(quantiser.model.model, self._graph)


class Stage(NamedTuple):
    """Convolutions and products between two changes of size. share: of the network's multiply-adds."""

    name: str  # of the first node
    nodes: tuple[str, ...]
    share: float


def stages(model: bytes) -> tuple[Stage, ...]:
    """The stages of a network, in graph order."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    found: list[list[onnx.NodeProto]] = []
    begin = True
    for node in graph.node:
        if node.op_type in _BORDERS:
            begin = True
        elif node.op_type in WORK:
            found.extend([[]] if begin else [])
            found[-1].append(node)
            begin = False
    costs = [sum(_multiply_adds(node, shapes) for node in nodes) for nodes in found]
    return tuple(
        Stage(nodes[0].name, tuple(node.name for node in nodes), cost / sum(costs))
        for nodes, cost in zip(found, costs, strict=True)
    )


def _multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Output values times the products that each sums up."""
    weights = shapes[node.input[1]]
    per_output = np.prod(weights[1:]) if node.op_type == "Conv" else weights[0]
    return float(np.prod(shapes[node.output[0]]) * per_output)


def _standard(quantised: Any, original: onnx.ModelProto) -> bytes:
    """What a bundle may hold: the standard operators alone, no notes of the tool, the original's versions."""
    standard = [entry for entry in quantised.opset_import if entry.domain in ("", "ai.onnx")]
    del quantised.opset_import[:]
    quantised.opset_import.extend(standard)
    quantised.ir_version = original.ir_version
    quantised.producer_name, quantised.producer_version = "rasant", ""
    del quantised.metadata_props[:]
    del quantised.graph.value_info[:]
    for tensor in quantised.graph.initializer:
        tensor.ClearField("data_location")  # written out although it says that the numbers are here
    return bytes(quantised.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints what it does, and advises on the root logger to simplify a graph that is simple."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
