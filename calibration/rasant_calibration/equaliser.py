# SPDX-License-Identifier: Apache-2.0
"""Gives the channels of every activation ranges that one 8-bit scale can hold, without changing what a graph computes.

One scale serves a whole activation, so a channel that reaches a tenth of the largest has a tenth of the steps. Between
a convolution that ends in a ReLU and the convolutions that read it, a channel may be divided by any s > 0 where the
weights that read it are multiplied by s: max(x, 0) / s = max(x / s, 0) (Nagel et al., ICCV 2019, section 4.1). Pooling,
bilinear resizing and concatenation keep such a factor. s balances what the channel reaches against what the weights
that read it reach: s = sqrt(max |x| / max |w|) (Xiao et al., ICML 2023, eq. 4, alpha 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

__all__ = ["equalise"]

_KEEP_FACTOR = frozenset({"Relu", "MaxPool", "AveragePool", "Resize"})
_SMALLEST = np.float32(1e-6)  # a channel that is never active, weights that are zero
_SPREAD = 1e3  # no factor is further from 1

Inputs = Mapping[str, npt.NDArray[np.float32]]
Weights = dict[str, npt.NDArray[np.float32]]


class _Reader(NamedTuple):
    """Convolution weights that read the channels of an activation, from input channel `first` on."""

    weights: str
    first: int


def equalise(model: bytes, frames: Sequence[Inputs]) -> bytes:
    """The same function with balanced channels: outputs differ by float32 rounding alone.

    model: a float32 graph of opset 17 or later. frames: network inputs by name, as for `measure_activations`. An
    activation stays as it is where something other than the operators above reads it.
    """
    graph: Any = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    shared = {name for name in weights if sum(list(node.input).count(name) for node in graph.node) > 1}
    pairs = []
    for relu in graph.node:
        if relu.op_type != "Relu":
            continue
        writer = _written_by(graph, relu.input[0])
        readers = _readers(graph, relu.output[0])
        used = {*(writer.input[1:] if writer is not None else ()), *(reader.weights for reader in readers or ())}
        if writer is not None and readers and not used & shared and used <= weights.keys():
            pairs.append((relu.output[0], writer, readers))
    for (_, writer, readers), reach in zip(pairs, _reach(model, [name for name, _, _ in pairs], frames), strict=True):
        factor = _factor(reach, readers, weights)
        weights[writer.input[1]] /= factor[:, None, None, None]
        if len(writer.input) > 2:
            weights[writer.input[2]] /= factor
        for reader in readers:
            weights[reader.weights][:, reader.first : reader.first + len(factor)] *= factor[:, None, None]
    result: Any = onnx.load_model_from_string(model)
    for tensor in result.graph.initializer:
        if weights[tensor.name].dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    return bytes(result.SerializeToString())


def _factor(reach: npt.NDArray[np.float32], readers: Sequence[_Reader], weights: Weights) -> npt.NDArray[np.float32]:
    """What each channel is divided by; of mean 1 over the logarithms, so that the activation keeps its size."""
    heaviest = np.full(len(reach), _SMALLEST, np.float32)
    for reader in readers:
        read = np.abs(weights[reader.weights])
        # weights have a scale of each output channel: what counts is their size beside the largest of these
        relative = read / np.maximum(read.max(axis=(1, 2, 3), keepdims=True), _SMALLEST)
        reached = relative[:, reader.first : reader.first + len(reach)].max(axis=(0, 2, 3))
        np.maximum(heaviest, reached, out=heaviest)
    logarithm = np.float32(0.5) * np.log(np.maximum(reach, _SMALLEST) / heaviest)
    bound = np.log(_SPREAD)
    factor: npt.NDArray[np.float32] = np.exp(np.clip(logarithm - logarithm.mean(), -bound, bound))
    return factor.astype(np.float32)


def _reach(model: bytes, names: Sequence[str], frames: Sequence[Inputs]) -> list[npt.NDArray[np.float32]]:
    """Largest value of each channel of the named activations over all frames."""
    import onnxruntime

    if not names:
        return []
    graph: Any = onnx.load_model_from_string(model)
    given = {output.name for output in graph.graph.output}
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = [[value.max(axis=(0, 2, 3)) for value in session.run(names, dict(frame))] for frame in frames]
    return [np.max(values, axis=0) for values in zip(*found, strict=True)]


def _written_by(graph: Any, name: str) -> Any:
    """The convolution that writes `name`, where nothing but one ReLU reads it; else None."""
    if sum(name in node.input for node in graph.node) != 1 or name in {output.name for output in graph.output}:
        return None
    return next((node for node in graph.node if name in node.output and node.op_type == "Conv"), None)


def _readers(graph: Any, name: str) -> list[_Reader] | None:
    """All convolutions that read the channels of `name`; None where something reads them that keeps no factor."""
    channels = {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph.value_info
                if len(value.type.tensor_type.shape.dim) == 4}  # fmt: skip
    ends = {output.name for output in graph.output}
    found: list[_Reader] = []
    waiting = [(name, 0)]
    while waiting:
        current, first = waiting.pop()
        if current in ends:
            return None
        for node in graph.node:
            places = [place for place, given in enumerate(node.input) if given == current]
            if not places:
                continue
            group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            if node.op_type == "Conv" and group == 1 and places == [0]:
                found.append(_Reader(node.input[1], first))
            elif node.op_type in _KEEP_FACTOR and places == [0]:
                waiting.append((node.output[0], first))
            elif node.op_type == "Concat" and _axis(node) == 1 and all(other in channels for other in node.input):
                before = [sum(channels[other] for other in node.input[:place]) for place in places]
                waiting.extend((node.output[0], first + offset) for offset in before)
            else:
                return None
    return found


def _axis(node: Any) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "axis")
