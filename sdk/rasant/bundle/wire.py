# SPDX-License-Identifier: Apache-2.0
"""Look at the outline of an ONNX file, on its protobuf wire format, before any parser allocates for it.

A protobuf message can make a parser allocate fifty times its size: a million empty nodes fit in two megabytes. This
scan walks the fields of the model, the graph and each weight without copying, and refuses what a bundle never needs: a
second graph, functions, training graphs, unknown fields, weights that live in other files, and more structure than a
detector has. Field numbers: onnx.proto (ModelProto, GraphProto, TensorProto); encoding:
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rasant.errors import ModelError

__all__ = ["DEFAULT_GRAPH_LIMITS", "GraphLimits", "has_field", "scan_model"]

_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14}
_MODEL_REFUSED = {20: "training graphs", 25: "model-local functions", 26: "device configurations"}
_MODEL_GRAPH = 7
_GRAPH = {1, 2, 5, 10, 11, 12, 13, 14, 16}
_GRAPH_REFUSED = {15: "sparse weights"}
_NODE, _WEIGHT = 1, 5
_TENSOR = {1, 2, 4, 5, 7, 8, 9, 10, 11, 12}
_TENSOR_REFUSED = {3: "segments", 6: "strings", 13: "data in another file", 14: "data in another file"}


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """What a graph may cost. The largest published network of the field here takes 0.4e12 multiply-adds and 0.7 GB."""

    nodes: int = 20_000
    fields: int = 100_000  # of the graph and its weights
    structure_bytes: int = 8 << 20  # the file without the weights
    weight_bytes: int = 1 << 30
    tensor_elements: int = 1 << 27  # of any one value
    activation_elements: int = 1 << 31  # of all values together
    multiply_adds: int = 2 * 10**12


DEFAULT_GRAPH_LIMITS = GraphLimits()


def has_field(message: Any, name: str) -> bool:
    """`message.HasField(name)`, which protobuf leaves untyped."""
    return bool(message.HasField(name))


def scan_model(model: bytes, limits: GraphLimits) -> None:
    """Refuse an ONNX file whose outline is damaged, hostile or too large.

    Raises ModelError; allocates almost nothing.
    """
    if not model:
        raise ModelError("the graph's file is empty; export it again")
    graphs = 0
    structure = len(model)
    for number, start, end in _fields(model, 0, len(model)):
        if number in _MODEL_REFUSED:
            raise ModelError(f"the graph's file holds {_MODEL_REFUSED[number]}, which a bundle may not")
        if number not in _MODEL:
            raise ModelError(f"the graph's file is not ONNX, or newer than this loader: unknown field {number}")
        if number == _MODEL_GRAPH:
            graphs += 1
            if graphs > 1:
                raise ModelError("the graph's file holds more than one graph")
            structure -= _scan_graph(model, start, end, limits)
    if graphs == 0:
        raise ModelError("the graph's file is not ONNX: it holds no graph")
    if structure > limits.structure_bytes:
        raise ModelError(f"the graph has {structure} bytes beside its weights, more than {limits.structure_bytes}")


def _scan_graph(model: bytes, start: int, end: int, limits: GraphLimits) -> int:
    """Bytes of the weights."""
    nodes = fields = weights = 0
    for number, first, last in _fields(model, start, end):
        fields += 1
        if number in _GRAPH_REFUSED:
            raise ModelError(f"the graph holds {_GRAPH_REFUSED[number]}, which a bundle may not")
        if number not in _GRAPH:
            raise ModelError(f"the graph is damaged, or newer than this loader: unknown field {number}")
        nodes += number == _NODE
        if number == _WEIGHT:
            fields += _scan_weight(model, first, last)
            weights += last - first
        if nodes > limits.nodes or fields > limits.fields:
            raise ModelError(f"the graph has more than {limits.nodes} nodes or {limits.fields} parts")
    if weights > limits.weight_bytes:
        raise ModelError(f"the graph has {weights} bytes of weights; at most {limits.weight_bytes} are allowed")
    return weights


def _scan_weight(model: bytes, start: int, end: int) -> int:
    """Number of fields of one initializer."""
    fields = 0
    for number, _, _ in _fields(model, start, end):
        fields += 1
        if number in _TENSOR_REFUSED:
            raise ModelError(f"a weight holds {_TENSOR_REFUSED[number]}; a bundle's graph must carry its own numbers")
        if number not in _TENSOR:
            raise ModelError(f"a weight is damaged, or newer than this loader: unknown field {number}")
        if fields > 32:
            raise ModelError("a weight has more than 32 fields; store its numbers as raw data")
    return fields


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end of its value) of one message. Raises ModelError where the encoding is broken."""
    while position < end:
        key, position = _varint(data, position, end)
        number, wire_type = key >> 3, key & 7
        start = position
        if wire_type == 0:
            _, position = _varint(data, position, end)
        elif wire_type == 1:
            position += 8
        elif wire_type == 2:
            size, start = _varint(data, position, end)
            position = start + size
        elif wire_type == 5:
            position += 4
        else:
            raise ModelError(f"the graph's file is not ONNX: wire type {wire_type} at byte {start}")
        if position > end or number == 0:
            raise ModelError(f"the graph's file is cut short or damaged at byte {start}; export or copy it again")
        yield number, start, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"the graph's file is cut short or damaged at byte {position}; export or copy it again")
