# SPDX-License-Identifier: Apache-2.0
"""What the graph check lets through: the networks of this field, described and costed correctly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

from hostile_bundle import edited_model, good_model
from rasant.bundle.graph_check import ALLOWED_OPERATORS, GraphLimits, check_graph, describe_graph
from rasant.bundle.manifest import TensorSpec
from rasant.bundle.wire import scan_model
from rasant.errors import ModelError
from tiny_bundle import tiny_model


def model(
    nodes: list[onnx.NodeProto], weights: dict[str, Any], shape: tuple[int, ...], out: tuple[int, ...], opset: int = 17
) -> bytes:
    """A graph from "x" to "y"."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


def node(op: str, *inputs: str, out: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [out], **attributes)


def test_a_graph_is_described_as_it_is() -> None:
    """Opset, precision, names and shapes are read from the graph itself, which satisfies its own description."""
    spec = describe_graph(good_model(), "net.onnx")
    assert (spec.file, spec.opset, spec.precision) == ("net.onnx", 17, "fp32")
    color, depth = TensorSpec(name="color", shape=(1, 3, 64, 64)), TensorSpec(name="depth", shape=(1, 1, 64, 64))
    assert spec.inputs == (color, depth)
    assert [tensor.name for tensor in spec.outputs] == ["logits", "residual"]
    check_graph(good_model(), spec)


@pytest.mark.parametrize(("field", "value"), [("opset", 18), ("precision", "int8")])
def test_a_graph_that_differs_from_its_description_is_refused(field: str, value: object) -> None:
    """Opset and precision of the manifest are claims that are checked, not believed."""
    spec = describe_graph(good_model(), "net.onnx").model_copy(update={field: value})
    with pytest.raises(ModelError, match=f"manifest says {field}"):
        check_graph(good_model(), spec)


F32, I64 = np.float32, np.int64
COSTS: dict[str, tuple[bytes, int]] = {
    "convolution": (
        model(
            [node("Conv", "x", "w", pads=[1] * 4)], {"w": np.ones((8, 3, 3, 3), F32)}, (1, 3, 16, 20), (1, 8, 16, 20)
        ),
        8 * 16 * 20 * 3 * 9,
    ),
    "grouped convolution": (
        model([node("Conv", "x", "w", group=4)], {"w": np.ones((8, 1, 3, 3), F32)}, (1, 4, 8, 8), (1, 8, 6, 6)),
        8 * 6 * 6 * 9,
    ),
    "transposed convolution": (
        model(
            [node("ConvTranspose", "x", "w", strides=[2, 2])],
            {"w": np.ones((4, 6, 2, 2), F32)},
            (1, 4, 8, 8),
            (1, 6, 16, 16),
        ),
        4 * 8 * 8 * 6 * 4,
    ),
    "matrix product": (
        model([node("MatMul", "x", "w")], {"w": np.ones((32, 5), F32)}, (1, 7, 32), (1, 7, 5)),
        7 * 32 * 5,
    ),
    "pooling": (
        model([node("AveragePool", "x", kernel_shape=[5, 5], pads=[2] * 4)], {}, (1, 2, 9, 9), (1, 2, 9, 9)),
        2 * 81 * 25,
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_the_work_of_a_graph_is_counted(case: str) -> None:
    """Multiply-adds are those of the textbook formula."""
    data, expected = COSTS[case]
    assert check_graph(data, describe_graph(data, "g.onnx")).multiply_adds == expected


ACCEPTED: dict[str, bytes] = {
    "space to depth and back": model(
        [node("SpaceToDepth", "x", blocksize=2, out="a"), node("DepthToSpace", "a", blocksize=2, mode="CRD")],
        {},
        (1, 4, 8, 8),
        (1, 4, 8, 8),
    ),
    "resize by scale": model(
        [node("Resize", "x", "", "s", mode="linear", coordinate_transformation_mode="align_corners")],
        {"s": np.array([1, 1, 2, 2], F32)},
        (1, 4, 8, 8),
        (1, 4, 16, 16),
    ),
    "resize to a computed size": model(
        [
            node("Shape", "x", out="n"),
            node("Slice", "n", "z", "t", out="nc"),
            node("Concat", "nc", "hw", axis=0, out="q"),
            node("Resize", "x", "", "", "q", mode="nearest"),
        ],
        {"z": np.array([0], I64), "t": np.array([2], I64), "hw": np.array([20, 24], I64)},
        (1, 4, 8, 8),
        (1, 4, 20, 24),
    ),
    "codebook look-up": model(
        [
            node("MatMul", "x", "c", out="d"),
            node("ArgMin", "d", axis=-1, keepdims=0, out="i"),
            node("Gather", "e", "i"),
        ],
        {"c": np.ones((4, 16), F32), "e": np.ones((16, 4), F32)},
        (1, 9, 4),
        (1, 9, 4),
    ),
    "window attention": model(
        [
            node("Reshape", "x", "q", out="a"),
            node("Transpose", "a", perm=[0, 2, 1], out="b"),
            node("MatMul", "a", "b", out="s"),
            node("Softmax", "s", axis=-1, out="p"),
            node("MatMul", "p", "a", out="o"),
            node("LayerNormalization", "o", "g", "g", axis=-1, out="l"),
            node("Reshape", "l", "r"),
        ],
        {"q": np.array([1, 64, 4], I64), "r": np.array([1, 4, 8, 8], I64), "g": np.ones(4, F32)},
        (1, 4, 8, 8),
        (1, 4, 8, 8),
    ),
    "normalisations": model(
        [node("BatchNormalization", "x", "g", "g", "g", "g", out="a"), node("InstanceNormalization", "a", "g", "g")],
        {"g": np.ones(4, F32)},
        (1, 4, 8, 8),
        (1, 4, 8, 8),
    ),
    "half precision inside": model(
        [node("Cast", "x", to=10, out="h"), node("Conv", "h", "w", out="c"), node("Cast", "c", to=1)],
        {"w": np.ones((2, 4, 1, 1), np.float16)},
        (1, 4, 8, 8),
        (1, 2, 8, 8),
    ),
    "quantised": model(
        [
            node("QuantizeLinear", "x", "s", "z", out="q"),
            node("DequantizeLinear", "q", "s", "z", out="d"),
            node("DequantizeLinear", "w", "ws", "wz", axis=0, out="dw"),
            node("Conv", "d", "dw"),
        ],
        {
            "s": F32(0.1),
            "z": np.int8(0),
            "w": np.ones((2, 4, 3, 3), np.int8),
            "ws": np.ones(2, F32),
            "wz": np.zeros(2, np.int8),
        },
        (1, 4, 8, 8),
        (1, 2, 6, 6),
    ),
    "constants as nodes": model(
        [
            node("Constant", value=numpy_helper.from_array(np.ones((1, 4, 1, 1), F32)), out="k"),
            node("Constant", value_float=0.5, out="f"),
            node("Mul", "x", "k", out="m"),
            node("Add", "m", "f"),
        ],
        {},
        (1, 4, 8, 8),
        (1, 4, 8, 8),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_building_blocks_of_the_field_are_accepted(case: str) -> None:
    """What the methods of this project are made of passes the check, and ONNX Runtime agrees on the shapes."""
    import onnxruntime

    spec = describe_graph(ACCEPTED[case], "g.onnx")
    assert spec.precision == {"half precision inside": "fp16", "quantised": "int8"}.get(case, "fp32")
    session = onnxruntime.InferenceSession(ACCEPTED[case], providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.ones(spec.inputs[0].shape, F32)})
    assert result.shape == spec.outputs[0].shape


def test_every_allowed_operator_is_a_standard_one() -> None:
    """The allow-list has no misspelt or foreign names."""
    standard = {schema.name for schema in defs.get_all_schemas() if schema.domain == ""}
    assert standard >= ALLOWED_OPERATORS


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "GlobalMaxPool", "IsNaN", "IsInf", "Loop", "RandomNormal"])
def test_operators_that_hide_nan_or_vary_are_not_allowed(op: str) -> None:
    """ONNX Runtime's ReduceMax and GlobalMaxPool drop a NaN in silence, so no graph may reduce the score."""
    assert op not in ALLOWED_OPERATORS


LIMITS: dict[str, GraphLimits] = {
    "nodes": GraphLimits(nodes=3),
    "parts": GraphLimits(fields=10),
    "beside its weights": GraphLimits(structure_bytes=50),
    "bytes of weights": GraphLimits(weight_bytes=10),
    "at most 100 elements": GraphLimits(tensor_elements=100),
    "activations": GraphLimits(activation_elements=1000),
    "multiply-adds": GraphLimits(multiply_adds=1000),
}


@pytest.mark.parametrize("match", LIMITS)
def test_each_limit_is_enforced(match: str) -> None:
    """Every field of GraphLimits is reachable and refuses by name."""
    with pytest.raises(ModelError, match=match):
        describe_graph(good_model(), "g.onnx", LIMITS[match])


def test_claims_about_inner_shapes_are_not_believed() -> None:
    """value_info of the file is dropped and shapes are computed, so a small claim cannot hide a large value."""

    def edit(proto: onnx.ModelProto) -> None:
        tile = np.array([1, 1, 2000, 2000], I64)
        proto.graph.initializer.append(numpy_helper.from_array(tile, "tile"))
        proto.graph.node.append(helper.make_node("Tile", ["depth", "tile"], ["big"]))
        proto.graph.value_info.append(helper.make_tensor_value_info("big", TensorProto.FLOAT, [1]))

    with pytest.raises(ModelError, match="costs too much"):
        describe_graph(edited_model(edit), "g.onnx")


def test_a_declared_output_that_differs_from_the_computed_one_is_refused() -> None:
    """Outputs are declared by the file and computed by the check; they must agree."""
    data = model([node("Relu", "x")], {}, (1, 4, 8, 8), (1, 4, 8, 9))
    with pytest.raises(ModelError, match="does not fit together"):
        describe_graph(data, "g.onnx")


@pytest.mark.parametrize("change", ["graph twice", "unknown model field", "unknown graph field", "group", "varint"])
def test_the_outline_is_refused_on_the_wire(change: str) -> None:
    """What another parser might read differently is refused before any parser runs."""
    data = good_model()
    nested: dict[str, Callable[[], bytes]] = {
        "graph twice": lambda: data + data[data.index(b":") :],
        "unknown model field": lambda: data + b"\xfa\x01\x00",
        "unknown graph field": lambda: b"\x08\x08\x3a\x03\xfa\x01\x00",
        "group": lambda: data + b"\x0b\x0c",
        "varint": lambda: data + b"\xff" * 11,
    }
    with pytest.raises(ModelError):
        scan_model(nested[change](), GraphLimits())


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_all_supported_opsets_are_accepted(opset: int) -> None:
    """From the oldest that JetPack needs to what exporters write today."""
    assert describe_graph(tiny_model(opset=opset), "g.onnx").opset == opset
