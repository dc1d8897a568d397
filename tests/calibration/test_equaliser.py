# SPDX-License-Identifier: Apache-2.0
"""Balancing channels: the same outputs, ranges that one scale holds, and nothing touched that keeps no factor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rasant_calibration.activation_ranges import limits, measure_activations
from rasant_calibration.equaliser import equalise
from rasant_calibration.quantiser import Quantiser

SIZE = 16
# Two branches of unlike size, pooled, resized, joined, and read by a convolution: what the networks here are made of.
NODES = [
    helper.make_node("Conv", ["x", "w0", "b0"], ["a"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
    helper.make_node("Conv", ["c", "w1", "b1"], ["d"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["d"], ["e"]),
    helper.make_node("Resize", ["e", "", "twice"], ["f"], mode="linear"),
    helper.make_node("Concat", ["b", "f"], ["g"], axis=1),
    helper.make_node("Conv", ["g", "w2"], ["y"], pads=[1, 1, 1, 1]),
]


def network(seed: int, nodes: list[onnx.NodeProto] | None = None) -> bytes:
    """A graph of NODES in which every channel counts, while what they reach differs by up to ten thousand."""
    random = np.random.default_rng(seed)
    shapes = {"w0": (4, 2, 3, 3), "b0": (4,), "w1": (3, 4, 3, 3), "b1": (3,), "w2": (2, 7, 3, 3)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["b0"] += 3
    weights["b1"] += 3
    first, second = (10.0 ** random.uniform(-2, 2, count) for count in (4, 3))
    weights["w0"] *= first[:, None, None, None].astype(np.float32)
    weights["b0"] *= first.astype(np.float32)
    weights["w1"] *= (second[:, None] / first)[:, :, None, None].astype(np.float32)
    weights["b1"] *= second.astype(np.float32)
    weights["w2"] /= np.concatenate((first, second))[:, None, None].astype(np.float32)
    weights["twice"] = np.array([1, 1, 2, 2], np.float32)
    graph = helper.make_graph(
        NODES if nodes is None else nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, SIZE, SIZE])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def pictures(seed: int, count: int = 2) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    return [{"x": random.uniform(-1, 1, (1, 2, SIZE, SIZE)).astype(np.float32)} for _ in range(count)]


def run(model: bytes, name: str, frame: dict[str, Any]) -> Any:
    proto = onnx.load_model_from_string(model)
    if name not in {output.name for output in proto.graph.output}:
        proto.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], frame)[0]


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_the_function_stays(seed: int) -> None:
    """Outputs differ by rounding alone, on frames that set no factor too."""
    before = network(seed)
    after = equalise(before, pictures(seed))
    assert after != before
    for frame in pictures(seed + 1):
        expected = run(before, "y", frame)
        np.testing.assert_allclose(run(after, "y", frame), expected, atol=1e-5 * float(np.abs(expected).max()), rtol=0)


def test_channels_come_nearer_to_each_other() -> None:
    """The smallest channel of each activation reaches a larger part of the largest than before."""
    frame = pictures(3)
    before = network(3)
    after = equalise(before, frame)
    for name in ("b", "e"):
        was, now = (run(model, name, frame[0]).max(axis=(0, 2, 3)) for model in (before, after))
        assert now.min() / now.max() > 3 * was.min() / was.max()


def test_integers_lose_less() -> None:
    """With one scale an activation, the balanced graph in 8 bits is at least twice as close on the whole."""
    errors = np.zeros(2)
    for seed in range(8):
        frames, before = pictures(seed), network(seed)
        expected = run(before, "y", frames[0])
        for place, model in enumerate((before, equalise(before, frames))):
            quantised = Quantiser(model, limits(measure_activations(model, frames), "minmax")).build()
            errors[place] += np.abs(run(quantised, "y", frames[0]) - expected).max() / np.abs(expected).max()
    assert errors[1] < 0.5 * errors[0], errors


@pytest.mark.parametrize(
    "extra",
    [
        helper.make_node("Sub", ["b", "b"], ["z"]),
        helper.make_node("Sigmoid", ["b"], ["z"]),
        helper.make_node("Conv", ["b", "w1"], ["z"], pads=[1, 1, 1, 1]),  # weights that two convolutions share
        helper.make_node("Sigmoid", ["a"], ["z"]),  # before the ReLU
    ],
    ids=["difference", "sigmoid", "shared weights", "read before the ReLU"],
)
def test_what_keeps_no_factor_is_left_alone(extra: onnx.NodeProto) -> None:
    """The first activation stays to the bit where something else reads it, and the function stays in any case."""
    frame = pictures(5)
    before = network(5, [*NODES, extra])
    after = equalise(before, frame)
    np.testing.assert_array_equal(run(after, "b", frame[0]), run(before, "b", frame[0]))
    for name in ("y", "z"):
        expected = run(before, name, frame[0])
        np.testing.assert_allclose(run(after, name, frame[0]), expected, atol=1e-5 * float(np.abs(expected).max() + 1))


def test_a_channel_that_is_never_active_is_no_error() -> None:
    """Factors stay finite where a channel is zero on every frame."""
    proto = onnx.load_model_from_string(network(7))
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "b0")
    bias.CopyFrom(numpy_helper.from_array(np.array([-1e6, 0, 0, 0], np.float32), "b0"))
    before, frame = proto.SerializeToString(), pictures(7)
    expected = run(before, "y", frame[0])
    found = run(equalise(before, frame), "y", frame[0])
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(np.abs(expected).max()))
