# SPDX-License-Identifier: Apache-2.0
"""Float16 graphs: standard, float32 at the border, computing what the float graph does with every value rounded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rasant.bundle.graph_check import describe_graph
from rasant.engines import open_engine
from rasant.errors import ConfigError
from rasant_calibration.half_graph import HalfGraph, rounded
from rasant_calibration.quantiser import Quantiser

SIZE = 8


def mix(source: str, weight: str, result: str, name: str) -> onnx.NodeProto:
    """A 1 x 1 convolution: a product of matrices at every pixel."""
    return helper.make_node("Conv", [source, weight], [result], name=name)


def graph_of(nodes: Any, weights: dict[str, Any], outputs: dict[str, int], opset: int = 17) -> bytes:
    """A graph of the input `color` (1, 3, SIZE, SIZE) with outputs of so many channels."""

    def border(name: str, channels: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, SIZE, SIZE])

    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [border("color", 3)], [border(*one) for one in outputs.items()], held)
    opsets = [helper.make_opsetid("", opset)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def weight(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Any:
    random = np.random.default_rng(seed)
    return (scale * random.normal(0.0, 1.0, shape)).astype(np.float32)


def run(model: bytes, color: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"color": color}), strict=True))


def picture(seed: int = 0, high: float = 1.0) -> Any:
    return np.random.default_rng(seed).uniform(0.0, high, (1, 3, SIZE, SIZE)).astype(np.float32)


def typical(opset: int = 17) -> bytes:
    """Pooling, resizing with its scales, a skip connection, a mean over channels, and two outputs."""
    nodes = [
        mix("color", "w1", "a", "first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["c", "", "scales"], ["d"], name="up", mode="linear"),
        helper.make_node("Concat", ["b", "d"], ["e"], name="skip", axis=1),
        mix("e", "w2", "logits", "last"),
        helper.make_node("Sub", ["color", "w3"], ["f"], name="sub"),
        helper.make_node("Abs", ["f"], ["g"], name="abs"),
        helper.make_node("ReduceMean", ["g", "axes"] if opset >= 18 else ["g"], ["residual"], name="mean",
                         **({} if opset >= 18 else {"axes": [1]})),
    ]  # fmt: skip
    weights = {
        "w1": weight((4, 3, 1, 1), 1), "w2": weight((2, 8, 1, 1), 2), "w3": weight((1, 3, 1, 1), 3),
        "scales": np.array([1, 1, 2, 2], np.float32), **({"axes": np.array([1])} if opset >= 18 else {}),
    }  # fmt: skip
    return graph_of(nodes, weights, {"logits": 2, "residual": 1}, opset)


@pytest.mark.parametrize("opset", [17, 18])
def test_the_graph_is_standard_with_float32_at_its_border(opset: int) -> None:
    """ONNX's own checker and the loader take it; casts stand only where the type changes, and weights are halved once.

    What does not depend on a convolution stays float32 with all its digits: the residual is that of the float graph.
    """
    model = HalfGraph(typical(opset)).build()
    proto: Any = onnx.load_model_from_string(model)
    onnx.checker.check_model(proto, full_check=True)
    spec = describe_graph(model, "half.onnx")
    assert (spec.precision, spec.opset) == ("fp16", opset)
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert kinds["Cast"] == 2  # color on its way in, logits on their way out
    types = {tensor.name: tensor.data_type for tensor in proto.graph.initializer if tensor.data_type != 7}
    assert types == {"w1/float16": 10, "w2/float16": 10, "w3": 1, "scales": 1}
    color = picture()
    np.testing.assert_array_equal(run(model, color)["residual"], run(typical(opset), color)["residual"])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_it_runs_in_every_engine_of_a_cpu(engine: str) -> None:
    """Near the float graph; neither rounds between nodes, which is why the rounded form is measured instead."""
    model, color = typical(), picture()
    wanted = run(model, color)
    with open_engine(engine, HalfGraph(model).build(), precision="fp16", threads=1) as opened:
        opened.inputs["color"][...] = color
        opened.infer()
        for name, array in wanted.items():
            np.testing.assert_allclose(opened.outputs[name], array, atol=5e-3)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(1e-3, 100.0))
def test_the_rounded_form_rounds_every_value(seed: int, high: float) -> None:
    """As its twin in numpy: input, weights, products, and what an activation function gives, each to float16."""
    first, second = weight((4, 3, 1, 1), seed), weight((2, 4, 1, 1), seed + 1)
    nodes = [
        mix("color", "w1", "a", "first"), helper.make_node("Sigmoid", ["a"], ["b"], name="s"),
        mix("b", "w2", "logits", "last"),
    ]  # fmt: skip
    half = HalfGraph(graph_of(nodes, {"w1": first, "w2": second}, {"logits": 2})).build()
    color = picture(seed, high)

    def product(weights: Any, values: Any) -> Any:
        weights = weights[:, :, 0, 0].astype(np.float16).astype(np.float64)
        return np.einsum("oi,bihw->bohw", weights, values.astype(np.float64)).astype(np.float16)

    hidden = product(first, color.astype(np.float16)).astype(np.float64)
    twin = product(second, (1.0 / (1.0 + np.exp(-hidden))).astype(np.float16))
    # the runtime sums in float32: a value at the middle between two float16 may go to the other one
    np.testing.assert_allclose(run(rounded(half), color)["logits"], twin, rtol=2e-3, atol=4e-3)
    assert not np.array_equal(run(rounded(half), color)["logits"], run(half, color)["logits"])


def test_an_island_is_not_rounded_inside() -> None:
    """Values beyond float16 between two float32 nodes pass whole, also through what follows them; in float16 they are
    infinite."""
    nodes = [
        mix("color", "up", "a", "first"), helper.make_node("Relu", ["a"], ["b"], name="relu"),
        mix("b", "down", "c", "second"), mix("c", "w", "logits", "last"),
    ]  # fmt: skip
    up, down = np.full((2, 3, 1, 1), 5e4, np.float32), np.full((2, 2, 1, 1), 2e-3, np.float32)
    model = graph_of(nodes, {"up": up, "down": down, "w": weight((2, 2, 1, 1), 0)}, {"logits": 2})
    graph, color = HalfGraph(model), picture()
    wanted = run(model, color)["logits"]
    assert not np.isfinite(run(rounded(graph.build()), color)["logits"]).all()
    kept = graph.nodes_at(["a"])
    assert kept == ("first", "relu")
    assert graph.in_float([*kept, "second"]) == ("first", "relu", "second")
    np.testing.assert_allclose(run(rounded(graph.build([*kept, "second"])), color)["logits"], wanted, rtol=5e-3)


def test_sums_and_weights_beyond_float16_stay_float32() -> None:
    """A mean over many values after a convolution; a weight of 1e6; a constant of 1e-6 that would lose its digits."""
    nodes = [
        mix("color", "w1", "a", "first"),
        helper.make_node("ReduceMean", ["a"], ["b"], name="mean", axes=[1]),
        helper.make_node("Add", ["a", "tiny"], ["c"], name="add"),
        helper.make_node("Mul", ["c", "b"], ["d"], name="mul"),
        mix("d", "large", "logits", "last"),
    ]  # fmt: skip
    weights = {
        "w1": weight((4, 3, 1, 1), 1), "tiny": np.float32([1e-6]), "large": np.full((2, 4, 1, 1), 1e6, np.float32),
    }  # fmt: skip
    graph = HalfGraph(graph_of(nodes, weights, {"logits": 2}))
    assert graph.in_float() == ("mean", "last")
    proto: Any = onnx.load_model_from_string(graph.build())
    assert {tensor.name for tensor in proto.graph.initializer} == {"w1/float16", "tiny", "large"}
    assert [node.name for node in proto.graph.node if "tiny" in node.input] == ["add"]


def test_a_graph_of_another_precision_is_refused() -> None:
    """Neither float16 nor quantised graphs can be made into float16: their ranges are gone."""
    model = typical()
    limits = dict.fromkeys(("color", "a", "b", "c", "d", "e", "f", "g", "logits", "residual"), 4.0)
    for other in (HalfGraph(model).build(), Quantiser(model, limits).build()):
        with pytest.raises(ConfigError, match="start from the float32 bundle"):
            HalfGraph(other)
