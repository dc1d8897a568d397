# SPDX-License-Identifier: Apache-2.0
"""Look at the outline of an ONNX file, on its protobuf wire format, before any parser allocates for it.

A protobuf message can make a parser allocate a hundred times its size: a million empty nodes fit in two megabytes. This
scan walks the fields of every message without copying, counts them, and refuses what a bundle never needs: a second
graph, functions, sub-graphs, training graphs, unknown fields, numbers that live in other files, and more structure than
a detector has. Field numbers: onnx.proto3 of ONNX 1.23; encoding: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rasant.errors import ModelError

__all__ = ["DEFAULT_GRAPH_LIMITS", "GraphLimits", "has_field", "scan_model"]


@dataclass(frozen=True, slots=True)
class _Message:
    """What one kind of message may hold.

    plain: scalar fields; nested: fields that are messages; refused: with reason.
    """

    name: str
    plain: frozenset[int]
    nested: Mapping[int, _Message] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)


_ELSEWHERE = "data in another file; a bundle's graph must carry its own numbers"
_PAIR = _Message("note", frozenset({1, 2}))
_TENSOR = _Message(
    "tensor", frozenset({1, 2, 4, 5, 7, 8, 9, 10, 11, 12}), {16: _PAIR},
    {3: "segments", 6: "strings; only numbers are allowed", 13: _ELSEWHERE, 14: _ELSEWHERE},
)  # fmt: skip
_ATTRIBUTE = _Message(
    "attribute", frozenset({1, 2, 3, 4, 7, 8, 9, 13, 20}), {5: _TENSOR, 10: _TENSOR},
    {6: "a sub-graph; control flow is refused, export it unrolled", 11: "sub-graphs; control flow is refused",
     14: "a type", 15: "types", 21: "a reference to a function", 22: "sparse numbers", 23: "sparse numbers"},
)  # fmt: skip
_NODE = _Message("node", frozenset({1, 2, 3, 4, 6, 7}), {5: _ATTRIBUTE, 9: _PAIR}, {8: "an overload", 10: "a device"})
_SHAPE = _Message("shape", frozenset(), {1: _Message("side", frozenset({1, 2, 3}))})
_TYPE = _Message(
    "type", frozenset({6}), {1: _Message("tensor type", frozenset({1}), {2: _SHAPE})},
    dict.fromkeys((4, 5, 7, 8, 9), "something that is no tensor"),
)  # fmt: skip
_VALUE = _Message("value", frozenset({1, 3}), {2: _TYPE, 4: _PAIR})
_GRAPH = _Message(
    "graph", frozenset({2, 10}),
    {1: _NODE, 5: _TENSOR, 11: _VALUE, 12: _VALUE, 13: _VALUE, 14: _Message("annotation", frozenset({1}), {2: _PAIR}),
     16: _PAIR},
    {15: "sparse weights"},
)  # fmt: skip
_MODEL = _Message(
    "model", frozenset({1, 2, 3, 4, 5, 6}), {7: _GRAPH, 8: _PAIR, 14: _PAIR},
    {20: "training graphs", 25: "model-local functions", 26: "device configurations"},
)  # fmt: skip
_NUMBERS = {4, 9, 10}  # fields of a tensor whose size in memory is their size in the file


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """What a graph may cost. The largest published network of the field here takes 0.4e12 multiply-adds and 0.7 GB."""

    nodes: int = 20_000
    fields: int = 200_000  # of all messages: names, sizes, attributes
    structure_bytes: int = 8 << 20  # the file without the numbers of its weights
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
    scan = _Scan(model, limits)
    scan.walk(_MODEL, 0, len(model))
    if scan.graphs != 1:
        raise ModelError(f"the graph's file is not ONNX: it holds {scan.graphs} graphs, expected one")
    if scan.weights > limits.weight_bytes:
        raise ModelError(f"the graph has {scan.weights} bytes of weights; at most {limits.weight_bytes} are allowed")
    structure = len(model) - scan.weights
    if structure > limits.structure_bytes:
        raise ModelError(f"the graph has {structure} bytes beside its weights, more than {limits.structure_bytes}")


class _Scan:
    """Counts while it walks: graphs, nodes, fields, and bytes of weights."""

    def __init__(self, model: bytes, limits: GraphLimits) -> None:
        self.model = model
        self.limits = limits
        self.graphs = self.nodes = self.fields = self.weights = 0

    def walk(self, kind: _Message, start: int, end: int) -> None:
        """Check every field of a message, and of the messages in it.

        The schema has no cycles, so the depth is bounded.
        """
        self.graphs += kind is _GRAPH
        self.nodes += kind is _NODE
        for number, first, last in _fields(self.model, start, end):
            self.fields += 1
            if self.fields > self.limits.fields or self.nodes > self.limits.nodes:
                raise ModelError(f"the graph has more than {self.limits.nodes} nodes or {self.limits.fields} parts")
            if number in kind.refused:
                raise ModelError(f"the graph's file has, in its {kind.name}, {kind.refused[number]}")
            if number in kind.nested:
                self.walk(kind.nested[number], first, last)
            elif number not in kind.plain:
                raise ModelError(
                    f"the graph's file is not ONNX, damaged, or newer than this loader: field {number} of {kind.name}"
                )
            if kind is _TENSOR and number in _NUMBERS:
                self.weights += last - first


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
    if position < end and data[position] < 0x80:  # nearly all of them
        return data[position], position + 1
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"the graph's file is cut short or damaged at byte {position}; export or copy it again")
