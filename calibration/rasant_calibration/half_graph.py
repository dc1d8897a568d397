# SPDX-License-Identifier: Apache-2.0
"""A float graph in float16: float32 at the border, and islands of float32 wherever one asks for them.

The types of the graph are its arithmetic, and a strongly typed TensorRT takes them so. A CPU does not: ONNX Runtime and
OpenVINO compute such a graph in float32 and drop the casts between its nodes, so that only its weights are rounded.
What a GPU rounds is therefore measured on another form of it (`rounded`): float32 throughout, with each value that the
graph holds in float16 rounded to float16 and back, which no runtime optimises away.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import rasant
from rasant_calibration.quantiser import WORK

__all__ = ["LARGEST", "SMALLEST", "SUMS", "HalfGraph", "rounded"]

LARGEST = 65504.0  # float16 reaches
SMALLEST = 2.0**-14  # the smallest float16 with all its digits
# Sums over many values: a device may add them up in float16, which a CPU cannot show, and in float32 they cost little.
SUMS = frozenset(
    """
    GlobalAveragePool GroupNormalization InstanceNormalization LayerNormalization LogSoftmax LpNormalization ReduceL1
    ReduceL2 ReduceMean ReduceSum ReduceSumSquare Softmax
    """.split()
)
_ALWAYS_FLOAT = SUMS | {"Cast", "Constant", "ConstantOfShape", "Range"}
_HALF = "/float16"  # ends the name of a value's float16 form; the float32 form keeps the name


class HalfGraph:
    """Builds float16 graphs out of one float32 graph.

    What works (convolutions and products) becomes float16 unless it is kept. Sums over many values stay float32, and so
    do nodes with a weight beyond float16, or with weights all of which are too small for its digits. The rest follows
    its inputs: float32 where all of them are. Raises ConfigError for a graph that is not float32.
    """

    def __init__(self, model: bytes) -> None:
        proto: Any = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
        graph = proto.graph
        self._proto = proto
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        types = _types(graph)
        quantised = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node)
        if quantised or TensorProto.FLOAT16 in types.values():
            raise rasant.ConfigError("the graph is not float32 any more; start from the float32 bundle")
        for index, node in enumerate(graph.node):
            node.name = node.name or f"{node.op_type}_{index}"
        opset = proto.opset_import[0].version
        self._ports = {node.name: _ports(node, opset, types) for node in graph.node}

    def nodes_at(self, values: Collection[str]) -> tuple[str, ...]:
        """Names of the nodes that make or take one of `values`."""
        at = set(values)
        return tuple(node.name for node in self._proto.graph.node if at & {*node.input, *node.output})

    def in_float(self, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Names of the nodes that compute, and do so in float32 when those in `keep` do."""
        half = self._halves(keep)
        computing = (*WORK, *SUMS)
        return tuple(
            node.name for node in self._proto.graph.node
            if node.name not in half and (node.op_type in computing or node.name in keep)
        )

    def build(self, keep: Collection[str] = ()) -> bytes:
        """The float16 graph, in which the nodes named in `keep` compute in float32."""
        half = self._halves(keep)
        made = _Writer(self._proto, self._weights)
        for original in self._proto.graph.node:
            node: Any = onnx.NodeProto()
            node.CopyFrom(original)
            takes, gives = self._ports[node.name] if node.name in half else ((), ())
            for index, name in enumerate(node.input):
                node.input[index] = made.form(name, index in takes) if name else ""
            for index, name in enumerate(node.output):
                node.output[index] = made.define(name, index in gives)
            made.nodes.append(node)
        return made.finish()

    def _halves(self, keep: Collection[str]) -> set[str]:
        """Names of the nodes in float16."""
        values: set[str] = set()
        found = set()
        for node in self._proto.graph.node:
            takes, gives = self._ports[node.name]
            given = [node.input[index] for index in takes]
            wanted = node.op_type in WORK or any(name in values for name in given)
            if wanted and node.op_type not in _ALWAYS_FLOAT and node.name not in keep and all(map(self._fits, given)):
                found.add(node.name)
                values.update(node.output[index] for index in gives)
        return found

    def _fits(self, name: str) -> bool:
        """Whether float16 can hold a weight. What is computed is another matter."""
        if name not in self._weights:
            return True
        largest = float(np.abs(numpy_helper.to_array(self._weights[name])).max(initial=0.0))
        return largest == 0.0 or SMALLEST <= largest <= LARGEST


class _Writer:
    """A graph in the making. A value has up to two forms, and each is made when it is first asked for."""

    def __init__(self, proto: Any, weights: dict[str, Any]) -> None:
        self.nodes: list[Any] = []
        self._proto, self._weights = proto, weights
        self._used: dict[str, Any] = {}
        self._made = {value.name for value in proto.graph.input}

    def form(self, name: str, half: bool) -> str:
        """The name of a value's form in float16, or as it was."""
        wanted = name + _HALF if half else name
        if name in self._weights:
            self._used.setdefault(wanted, _half(self._weights[name], wanted) if half else self._weights[name])
        elif wanted not in self._made:
            other = name if half else name + _HALF
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            self.nodes.append(helper.make_node("Cast", [other], [wanted], name=f"cast {wanted}", to=kind))
            self._made.add(wanted)
        return wanted

    def define(self, name: str, half: bool) -> str:
        """The name under which a node gives a value."""
        self._made.add(name + _HALF if half else name)
        return name + _HALF if half else name

    def finish(self) -> bytes:
        """The model, with its outputs in float32."""
        for value in self._proto.graph.output:
            self.form(value.name, False)
        return _model_with(self._proto, self.nodes, list(self._used.values()))


def rounded(model: bytes) -> bytes:
    """A float16 graph as float32 arithmetic: every float16 value and weight is rounded to float16, and held in float32.

    The sums inside a node stay exact, as they are on a device that adds up in float32.
    """
    proto: Any = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    half = {name for name, kind in _types(proto.graph).items() if kind == TensorProto.FLOAT16}
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Cast" and node.input[0] in half:
            nodes.append(helper.make_node("Identity", list(node.input), list(node.output), name=node.name))
            continue
        results = [name for name in node.output if name in half]
        if node.op_type == "Cast" and results:
            nodes.append(helper.make_node("Identity", list(node.input), [node.output[0] + " exact"], name=node.name))
        else:
            exact = [name + " exact" if name in half else name for name in node.output]
            del node.output[:]
            node.output.extend(exact)
            nodes.append(node)
        for name in results:
            nodes.append(helper.make_node("Cast", [name + " exact"], [name + " bits"], to=TensorProto.FLOAT16))
            nodes.append(helper.make_node("Cast", [name + " bits"], [name], to=TensorProto.FLOAT))
    weights = [
        numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
        if tensor.name in half else tensor
        for tensor in proto.graph.initializer
    ]  # fmt: skip
    return _model_with(proto, nodes, weights)


def _types(graph: Any) -> dict[str, int]:
    """Data type of every value by name."""
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        found[value.name] = value.type.tensor_type.elem_type
    return found


def _ports(node: Any, opset: int, types: dict[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of the float32 inputs and outputs of a node that its operator also takes in float16."""
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    free = {
        one.type_param_str for one in schema.type_constraints if "tensor(float16)" in one.allowed_type_strs
    }

    def chosen(names: Any, ports: Any) -> tuple[int, ...]:
        return tuple(
            index for index, name in enumerate(names)
            if types.get(name) == TensorProto.FLOAT and ports[min(index, len(ports) - 1)].type_str in free
        )  # fmt: skip

    return chosen(node.input, schema.inputs), chosen(node.output, schema.outputs)


def _half(tensor: Any, name: str) -> Any:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)


def _model_with(proto: Any, nodes: list[Any], weights: list[Any]) -> bytes:
    """The same model with other nodes and weights, and without notes on the values inside."""
    made: Any = onnx.ModelProto()
    made.CopyFrom(proto)
    for part, content in ((made.graph.node, nodes), (made.graph.initializer, weights), (made.graph.value_info, ())):
        del part[:]
        part.extend(content)
    return bytes(made.SerializeToString(deterministic=True))
