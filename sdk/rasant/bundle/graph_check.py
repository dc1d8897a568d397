# SPDX-License-Identifier: Apache-2.0
"""Decide whether an ONNX graph may be given to a runtime. Nothing here runs it, and no file is opened.

A runtime is no judge of a hostile graph: ONNX Runtime 1.23 loads weights from `../secret.bin`, and a chain of 3000
nested functions ends a newer one with a segmentation fault. So a bundle's graph is a flat list of standard operators
with static shapes, which carries its own finite weights and costs no more than it may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rasant.bundle.graph_cost import GraphCost, estimate_cost
from rasant.bundle.manifest import GraphSpec, TensorSpec
from rasant.bundle.wire import DEFAULT_GRAPH_LIMITS, GraphLimits, has_field, scan_model
from rasant.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

__all__ = ["ALLOWED_OPERATORS", "GraphCost", "GraphLimits", "check_graph", "describe_graph"]

# Standard operators without state, randomness, control flow or strings. Left out on purpose, because they hide a NaN
# that a verdict has to see: ReduceMax, ReduceMin, GlobalMaxPool, IsNaN and IsInf.
ALLOWED_OPERATORS = frozenset(
    """
    Abs Add And ArgMin AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape Conv
    ConvTranspose DepthToSpace DequantizeLinear Div Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements
    GatherND Gelu Gemm GlobalAveragePool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid
    HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    LpNormalization MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear Range
    Reciprocal ReduceL1 ReduceL2 ReduceMean ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape
    Sigmoid Sign Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu
    Tile TopK Transpose Unsqueeze Where
    """.split()
)
_STANDARD_DOMAINS = ("", "ai.onnx")
_IR_VERSIONS = range(7, 15)
_OPSETS = range(13, 26)
# What an integer attribute may be, by name; all others are switches, 0 or 1. A stride of 0, a pad of 2**62 or a
# batch_dims of -2**31 is a division by zero, an overflow or a wild pointer somewhere in a runtime, or in ONNX's own
# shape inference.
_SIDE, _AXIS, _ANY = (1, 1 << 16), (-8, 8), (-(2**63), 2**63 - 1)
_INTEGERS = {
    **dict.fromkeys(("strides", "dilations", "kernel_shape", "output_shape", "group", "blocksize"), _SIDE),
    **dict.fromkeys(("num_outputs", "num_groups", "split"), _SIDE),
    **dict.fromkeys(("pads", "output_padding"), (-(1 << 16), 1 << 16)),
    **dict.fromkeys(("axis", "axes", "perm", "start", "end"), _AXIS),
    **dict.fromkeys(("to", "output_dtype", "stash_type", "precision"), (0, 16)),
    **dict.fromkeys(("value_int", "value_ints"), _ANY),
    "block_size": (0, 1 << 16),
    "p": (1, 2),
}
# onnx.TensorProto.DataType -> dtype of raw_data; bfloat16, float64, complex, strings and sub-byte integers are refused.
_DTYPES = {1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2"}
_TYPED_FIELD = {1: "float_data", 2: "int32_data", 3: "int32_data", 6: "int32_data", 7: "int64_data", 9: "int32_data",
                10: "int32_data"}  # fmt: skip


def check_graph(model: bytes, spec: GraphSpec, limits: GraphLimits = DEFAULT_GRAPH_LIMITS) -> GraphCost:
    """Refuse a graph that is damaged, not allowed, too costly, or not what the manifest says; return what it costs.

    Raises ModelError, whose text names the node or value and what to do.
    """
    found, cost = _inspect(model, spec.file, limits)
    for name in ("opset", "precision"):
        if getattr(found, name) != getattr(spec, name):
            raise ModelError(
                f"{spec.file}: the manifest says {name} {getattr(spec, name)!r}, the graph has {getattr(found, name)!r}"
            )
    for name in ("inputs", "outputs"):
        wanted = {tensor.name: tensor.shape for tensor in getattr(spec, name)}
        came = {tensor.name: tensor.shape for tensor in getattr(found, name)}
        if wanted != came:
            raise ModelError(f"{spec.file}: the manifest says {name} {wanted}, the graph has {came}")
    return cost


def describe_graph(model: bytes, file: str, limits: GraphLimits = DEFAULT_GRAPH_LIMITS) -> GraphSpec:
    """What a manifest has to say about an exported graph. Raises ModelError if the loader would refuse the graph."""
    return _inspect(model, file, limits)[0]


def _inspect(model: bytes, file: str, limits: GraphLimits) -> tuple[GraphSpec, GraphCost]:
    scan_model(model, limits)
    proto = _parse(model)
    opset = _check_header(proto)
    graph = proto.graph
    for tensor in graph.initializer:
        _check_tensor(tensor, f"weight {tensor.name!r}")
    for node in graph.node:
        _check_node(node)
    _check_names(graph)
    inputs = tuple(_border(value, "input") for value in graph.input)
    outputs = tuple(_border(value, "output") for value in graph.output)
    if not inputs or not outputs:
        raise ModelError(f"{file}: the graph has {len(inputs)} inputs and {len(outputs)} outputs")
    cost = estimate_cost(proto, limits, frozenset(_DTYPES))
    try:
        spec = GraphSpec(file=file, opset=opset, precision=_precision(graph), inputs=inputs, outputs=outputs)
    except ValueError as error:
        raise ModelError(f"{file}: {error}") from error
    return spec, cost


def _parse(model: bytes) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    proto: Any = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise ModelError(f"the graph's file is not ONNX, or damaged: {error}; export it again") from error
    return cast("ModelProto", proto)


def _check_header(proto: ModelProto) -> int:
    """The opset of the standard operators, which must be the only set that the model imports."""
    if proto.ir_version not in _IR_VERSIONS:
        allowed = f"{_IR_VERSIONS[0]} to {_IR_VERSIONS[-1]}"
        raise ModelError(f"the graph's IR version must be {allowed}, got {proto.ir_version}; export it again")
    domains = [entry.domain for entry in proto.opset_import]
    if len(domains) != 1 or domains[0] not in _STANDARD_DOMAINS:
        raise ModelError(f"the graph must import the standard operators alone, got domains {domains}")
    opset = int(proto.opset_import[0].version)
    if opset not in _OPSETS:
        raise ModelError(f"the graph's opset must be {_OPSETS[0]} to {_OPSETS[-1]}, got {opset}")
    return opset


def _check_node(node: NodeProto) -> None:
    where = f"node {node.name or node.op_type!r} ({node.op_type})"
    if node.domain not in _STANDARD_DOMAINS:
        raise ModelError(f"{where} is of domain {node.domain!r}; only standard operators are allowed")
    if node.op_type not in ALLOWED_OPERATORS:
        raise ModelError(f"{where} is not an allowed operator; see ALLOWED_OPERATORS in rasant.bundle.graph_check")
    for attribute in node.attribute:
        _check_attribute(attribute, where)


def _check_attribute(attribute: AttributeProto, where: str) -> None:
    where = f"{where}, attribute {attribute.name!r}"
    if not np.isfinite([attribute.f, *attribute.floats]).all():
        raise ModelError(f"{where} is not finite")
    low, high = _INTEGERS.get(attribute.name, (0, 1))
    integers = [*attribute.ints, *([attribute.i] if has_field(attribute, "i") else [])]
    if any(not low <= value <= high for value in integers):
        raise ModelError(f"{where} must lie between {low} and {high}, got {integers[:16]}")
    for tensor in [*([attribute.t] if has_field(attribute, "t") else []), *attribute.tensors]:
        _check_tensor(tensor, where)


def _check_tensor(tensor: TensorProto, where: str) -> None:
    """Refuse numbers that are elsewhere (a second barrier), of another kind or count than declared, or not finite."""
    if tensor.data_location != 0 or tensor.external_data:
        raise ModelError(f"{where} keeps its data in another file; a bundle's graph must carry its own numbers")
    dtype = _DTYPES.get(tensor.data_type)
    if dtype is None:
        raise ModelError(
            f"{where} has data type {_type_name(tensor.data_type)}; allowed are float32, float16, int8, uint8, int32, "
            "int64 and bool: cast it at export"
        )
    if len(tensor.dims) > 8 or any(dim < 0 for dim in tensor.dims):
        raise ModelError(f"{where} has shape {list(tensor.dims)[:9]}; expected at most 8 sizes, none negative")
    count = 1
    for dim in tensor.dims:
        count *= dim
    itemsize = np.dtype(dtype).itemsize
    typed = getattr(tensor, _TYPED_FIELD[tensor.data_type])
    if (len(tensor.raw_data), len(typed)) not in ((count * itemsize, 0), (0, count)):
        raise ModelError(
            f"{where} declares shape {list(tensor.dims)}, that is {count * itemsize} bytes, and carries "
            f"{len(tensor.raw_data)} bytes and {len(typed)} numbers"
        )
    if tensor.data_type in (1, 10):
        if tensor.raw_data:
            values = np.frombuffer(tensor.raw_data, dtype)
        elif tensor.data_type == 1:
            values = np.array(typed, np.float32)
        else:
            values = np.array(typed, np.int32).astype(np.uint16).view(np.float16)
        if not np.isfinite(values).all():
            raise ModelError(f"{where} holds NaN or infinity; the training went wrong, do not use this network")


def _check_names(graph: GraphProto) -> None:
    """Every value is defined once and before its use; graph inputs are not also weights."""
    known: set[str] = set()
    _define(known, (value.name for value in graph.input), "input")
    _define(known, (tensor.name for tensor in graph.initializer), "weight")
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise ModelError(f"node {node.name or node.op_type!r} uses {name!r} before anything defines it")
        _define(known, (name for name in node.output if name), f"output of node {node.name or node.op_type!r}")
    for value in graph.output:
        if value.name not in known:
            raise ModelError(f"nothing defines the graph's output {value.name!r}")


def _define(known: set[str], names: Iterable[str], kind: str) -> None:
    for name in names:
        if not name or name in known:
            raise ModelError(f"{kind} {name!r} has no name, or a name that is taken")
        known.add(name)


def _border(value: ValueInfoProto, kind: str) -> TensorSpec:
    """An input or output of the graph: float32 with a static shape."""
    where = f"graph {kind} {value.name!r}"
    if not has_field(value.type, "tensor_type") or value.type.tensor_type.elem_type != 1:
        raise ModelError(f"{where} must be a float32 tensor; cast inside the graph")
    if not has_field(value.type.tensor_type, "shape"):
        raise ModelError(f"{where} has no shape; export with static shapes")
    shape: list[int] = []
    for dim in value.type.tensor_type.shape.dim:
        if not has_field(dim, "dim_value") or dim.dim_value < 1:
            raise ModelError(f"{where} has a dynamic or empty side {dim.dim_param!r}; export with static shapes")
        shape.append(dim.dim_value)
    try:
        return TensorSpec(name=value.name, shape=tuple(shape))
    except ValueError as error:
        raise ModelError(f"{where} has a name or shape that is not allowed: {error}") from error


def _precision(graph: GraphProto) -> Any:
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node):
        return "int8"
    return "fp16" if any(tensor.data_type == 10 for tensor in graph.initializer) else "fp32"


def _type_name(number: int) -> str:
    from onnx import TensorProto

    names: Any = TensorProto.DataType
    name = str(names.Name(number)).lower() if number in names.values() else str(number)
    return "float64" if name == "double" else name
