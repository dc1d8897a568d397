# SPDX-License-Identifier: Apache-2.0
"""What a graph costs, from its shapes alone: so a graph that would fill memory or run for minutes is refused unrun."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasant.bundle.wire import GraphLimits, has_field
from rasant.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

__all__ = ["GraphCost", "estimate_cost"]

_SMALL = 4096  # weights up to this size may steer shapes (Reshape, Resize), larger ones are only their shape
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class GraphCost:
    """nodes; weight_bytes; activation_elements: of all intermediate values; multiply_adds: of one run, estimated."""

    nodes: int
    weight_bytes: int
    activation_elements: int
    multiply_adds: int


def estimate_cost(model: ModelProto, limits: GraphLimits, dtypes: frozenset[int]) -> GraphCost:
    """Shapes of every value by ONNX shape inference, then sizes and multiply-adds.

    Raises ModelError for a value whose shape is not static, whose type is not in `dtypes`, or that breaks a limit.
    """
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    weights = sum(_bytes(tensor) for tensor in model.graph.initializer)
    activations = _infer(model, limits, dtypes, shapes)
    work = sum(_multiply_adds(node, shapes) for node in model.graph.node)
    for name, value, limit in (
        ("activations, in elements", activations, limits.activation_elements),
        ("multiply-adds", work, limits.multiply_adds),
    ):
        if value > limit:
            raise ModelError(f"the graph costs too much: {name}: {value:.3g}, at most {limit:.3g} are allowed")
    return GraphCost(len(model.graph.node), weights, activations, work)


def _infer(model: ModelProto, limits: GraphLimits, dtypes: frozenset[int], shapes: Shapes) -> int:
    """Fill in the shape of every value; returns the number of elements of all of them."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(_outline(model), strict_mode=True, data_prop=True)
    except Exception as error:  # InferenceError, and whatever pybind11 makes of a C++ exception
        raise ModelError(f"the graph does not fit together: {str(error)[:400]}") from error
    total = 0
    graph = inferred.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        if not has_field(value.type, "tensor_type") or value.type.tensor_type.elem_type not in dtypes:
            raise ModelError(f"value {value.name!r} must be of float32, float16, bool or integers")
        dims = value.type.tensor_type.shape.dim
        if not has_field(value.type.tensor_type, "shape") or not all(has_field(dim, "dim_value") for dim in dims):
            raise ModelError(f"value {value.name!r} has no static shape; export with static shapes, constants folded")
        shape = tuple(dim.dim_value for dim in dims)
        if value.name in shapes and shapes[value.name] != shape:
            raise ModelError(f"value {value.name!r} is declared as {shapes[value.name]} and computed as {shape}")
        elements = math.prod(shape)
        if min(shape, default=1) < 0 or elements > limits.tensor_elements:
            most = limits.tensor_elements
            raise ModelError(f"value {value.name!r} of shape {shape} costs too much: at most {most} elements")
        shapes[value.name] = shape
        total += elements
    for node in model.graph.node:
        for name in node.output:
            if name and name not in shapes:
                raise ModelError(f"value {name!r} has no static shape; export with static shapes, constants folded")
    return total


def _outline(model: ModelProto) -> ModelProto:
    """The model without its large weights, its own claims about intermediate shapes, and its documentation."""
    import onnx

    outline = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = outline.graph
    graph.name = "outline"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return outline


def _bytes(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * {2: 1, 3: 1, 9: 1, 10: 2, 7: 8}.get(tensor.data_type, 4)


def _multiply_adds(node: NodeProto, shapes: Shapes) -> int:
    """Work of one node. Operators without a rule count one multiply-add an output element."""
    outputs = [math.prod(shapes[name]) for name in node.output if name]
    inputs = [shapes.get(name, ()) for name in node.input]
    size = max(outputs, default=0)
    if node.op_type == "Conv" and len(inputs) > 1:
        return size * math.prod(inputs[1][1:])
    if node.op_type == "ConvTranspose" and len(inputs) > 1:
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if node.op_type in ("MatMul", "Gemm") and inputs and inputs[0]:
        return size * (max(inputs[0]) if node.op_type != "MatMul" else inputs[0][-1])
    if node.op_type in ("MaxPool", "AveragePool"):
        window = next((list(a.ints) for a in node.attribute if a.name == "kernel_shape"), [])
        return size * math.prod(window)
    return size
