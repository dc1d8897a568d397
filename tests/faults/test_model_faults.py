# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged graphs, weights and thresholds are refused before any runtime sees a byte (M1-M6, M9, C3)."""

from __future__ import annotations

import os
import pickle  # noqa: TID251 (what a bundle must survive)
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hostile_bundle import bundle_bytes, edited_model, good_model
from rasant.bundle.graph_check import describe_graph
from rasant.bundle.reader import read_bundle_bytes
from rasant.errors import BundleError, IntegrityError, ManifestError, ModelError
from tiny_bundle import tiny_model

Edit = Callable[[onnx.ModelProto], object]
EVENTS: list[tuple[str, str]] = []
WATCHED = {"open", "pickle.find_class", "os.system", "subprocess.Popen"}


def _record(event: str, args: tuple[Any, ...]) -> None:
    if event in WATCHED:
        EVENTS.append((event, str(args[0])))


sys.addaudithook(_record)


@pytest.fixture(autouse=True)
def no_side_effects() -> Iterator[None]:
    """Reading a bundle from memory opens no data file, unpickles nothing and starts no process."""
    EVENTS.clear()
    yield
    events = [(event, name) for event, name in EVENTS if event != "open" or not name.endswith((".py", ".pyc", ".so"))]
    events = [(event, name) for event, name in events if "site-packages" not in name and not name.isdigit()]
    assert events == []


def refuse(model: bytes, match: str | None = None) -> None:
    with pytest.raises(ModelError, match=match):
        read_bundle_bytes(bundle_bytes(model))


def test_the_unharmed_bundle_is_read() -> None:
    """The cases below fail for their fault alone: the same bundle without it is read."""
    assert read_bundle_bytes(bundle_bytes()).manifest.method == "tiny"


# M1: damaged files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_m1_truncated_graph_is_refused(share: float) -> None:
    """A graph that was cut short anywhere is refused."""
    model = good_model()
    refuse(model[: int(len(model) * share)])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 4096, b"\xff" * 4096, b"<html>404</html>", b"\x7fELF\2\1", b'{"graph": 1}', b"\x08\x08", b":\x00"],
    ids=["empty", "zeros", "ones", "html", "elf", "json", "header only", "empty graph"],
)
def test_m1_other_data_instead_of_a_graph_is_refused(data: bytes) -> None:
    """What is not a graph is refused, whatever it is."""
    refuse(data)


@pytest.mark.parametrize("seed", range(10))
def test_m1_random_bytes_are_refused(seed: int) -> None:
    """Random bytes instead of a graph are refused."""
    refuse(np.random.default_rng(seed).bytes(5000))


# M2: external data ---------------------------------------------------------------------------------------------------

LOCATIONS = ["../secret.bin", "/etc/passwd", "/proc/self/environ", "weights.bin", "link/x.bin", "C:\\secret.bin", ""]


def _external(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("location", LOCATIONS)
def test_m2_weights_in_other_files_are_refused(location: str) -> None:
    """A weight with external data is refused, wherever it points; the autouse fixture shows that nothing was opened."""
    refuse(edited_model(lambda model: _external(model.graph.initializer[0], location)), "another file")


@pytest.mark.parametrize("location", LOCATIONS)
def test_m2_constants_in_other_files_are_refused(location: str) -> None:
    """The same inside the attribute of a node."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = numpy_helper.from_array(np.ones(3, np.float32))
        _external(tensor, location)
        model.graph.node.append(helper.make_node("Constant", [], ["extra"], value=tensor))

    refuse(edited_model(edit), "another file")


@pytest.mark.parametrize("field", ["location", "entries"])
def test_m2_half_external_data_is_refused(field: str) -> None:
    """Either half of an external reference is enough to be refused, even beside real data."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        if field == "location":
            tensor.data_location = TensorProto.EXTERNAL
        else:
            tensor.external_data.add(key="location", value="../x")

    refuse(edited_model(edit), "another file")


# M3: what is not a plain list of standard operators ------------------------------------------------------------------


def _first_node(model: onnx.ModelProto, **values: str) -> None:
    for name, value in values.items():
        setattr(model.graph.node[0], name, value)


def _branch() -> onnx.GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "branch", [], [output])


def _function(index: int) -> onnx.FunctionProto:
    inner = helper.make_node(f"f{index + 1}", ["x"], ["y"], domain="chain")
    return helper.make_function("chain", f"f{index}", ["x"], ["y"], [inner], [helper.make_opsetid("chain", 1)])


def _function_chain(model: onnx.ModelProto) -> None:
    model.functions.extend(_function(index) for index in range(3000))


def _append(*nodes: onnx.NodeProto) -> Edit:
    return lambda model: model.graph.node.extend(nodes)


NOT_PLAIN: dict[str, tuple[Edit, str]] = {
    "node of a custom domain": (lambda m: _first_node(m, domain="com.evil"), "standard operators"),
    "contrib operator": (lambda m: _first_node(m, domain="com.microsoft", op_type="FusedConv"), "standard operators"),
    "Python operator": (lambda m: _first_node(m, domain="ai.onnx.contrib", op_type="PyOp"), "standard operators"),
    "imported custom domain": (lambda m: m.opset_import.add(domain="com.evil", version=1), "standard operators"),
    "ml domain": (lambda m: m.opset_import.add(domain="ai.onnx.ml", version=3), "standard operators"),
    "no opset": (lambda m: m.ClearField("opset_import"), "standard operators"),
    "two opsets": (lambda m: m.opset_import.add(domain="", version=18), "standard operators"),
    "opset of the future": (lambda m: setattr(m.opset_import[0], "version", 99), "opset must be"),
    "old IR": (lambda m: setattr(m, "ir_version", 3), "IR version"),
    "one function": (lambda m: m.functions.append(_function(0)), "functions"),
    "3000 nested functions": (_function_chain, "functions"),
    "If": (_append(helper.make_node("If", ["c"], ["z"], then_branch=_branch(), else_branch=_branch())), "sub-graph"),
    "Loop": (_append(helper.make_node("Loop", ["", ""], ["z"], body=_branch())), "sub-graph"),
    "Scan": (_append(helper.make_node("Scan", ["x"], ["z"], body=_branch(), num_scan_inputs=1)), "sub-graph"),
    "sub-graph in a plain node": (_append(helper.make_node("Abs", ["color"], ["z"], body=_branch())), "sub-graph"),
    "random numbers": (_append(helper.make_node("RandomNormal", [], ["z"], shape=[1])), "not an allowed"),
    "maximum that hides NaN": (_append(helper.make_node("GlobalMaxPool", ["color"], ["z"])), "not an allowed"),
    "strings": (_append(helper.make_node("StringNormalizer", ["s"], ["z"])), "not an allowed"),
    "overload": (lambda m: _first_node(m, overload="x"), "overload"),
    "training graph": (lambda m: m.training_info.add(), "training"),
    "sparse weight": (lambda m: m.graph.sparse_initializer.add(), "sparse"),
    "string constant": (_append(helper.make_node("Constant", [], ["z"], value_strings=[b"x"])), "must be of float32"),
    "attribute of a function": (lambda m: m.graph.node[0].attribute.add(name="a", ref_attr_name="b"), "a function"),
    "cycle": (lambda m: m.graph.node[0].input.__setitem__(0, "logits"), "before anything defines it"),
    "value defined twice": (lambda m: m.graph.node.append(m.graph.node[0]), "a name that is taken"),
    "weight with an input's name": (lambda m: setattr(m.graph.initializer[0], "name", "color"), "a name that is taken"),
    "stride 0": (lambda m: _set_ints(m, "AveragePool", "strides", [0, 0]), "must lie between"),
    "huge pad": (lambda m: _set_ints(m, "AveragePool", "pads", [2**62] * 4), "must lie between"),
}  # fmt: skip


def _set_ints(model: onnx.ModelProto, kind: str, name: str, values: list[int]) -> None:
    node = next(node for node in model.graph.node if node.op_type == kind)
    attribute = next(attribute for attribute in node.attribute if attribute.name == name)
    attribute.ints[:] = values


@pytest.mark.parametrize("case", NOT_PLAIN, ids=str)
def test_m3_what_is_no_plain_list_of_standard_operators_is_refused(case: str) -> None:
    """Foreign code, control flow, functions and malformed wiring are refused by the allow-list."""
    edit, match = NOT_PLAIN[case]
    refuse(edited_model(edit), match)


# M4: cost ------------------------------------------------------------------------------------------------------------


def _from_constant(op: str, *values: Any, data: str = "depth", **attributes: Any) -> Edit:
    """Append a node that takes `data` and int64 or float constants."""

    def edit(model: onnx.ModelProto) -> None:
        names = [data] if data else []
        for index, value in enumerate(values):
            names.append("" if value is None else f"k{index}")
            if value is not None:
                model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"k{index}"))
        model.graph.node.append(helper.make_node(op, names, ["big"], **attributes))

    return edit


COSTLY = {
    "ConstantOfShape 200000 x 200000": _from_constant("ConstantOfShape", [200_000, 200_000], data=""),
    "Expand": _from_constant("Expand", [1, 1, 200_000, 64 * 3125, 64, 64]),
    "Tile": _from_constant("Tile", [1, 1, 5000, 5000]),
    "Resize": _from_constant("Resize", None, np.array([1, 1, 3000, 3000], np.float32), mode="nearest"),
    "Pad": _from_constant("Pad", [0, 0, 0, 0, 0, 0, 100_000, 100_000]),
    "ConvTranspose": _from_constant("ConvTranspose", np.ones((1, 1, 2, 2), np.float32), strides=[4000, 4000]),
}


@pytest.mark.parametrize("case", COSTLY)
def test_m4_a_value_that_would_fill_memory_is_refused(case: str) -> None:
    """Small files that ask a runtime for gigabytes are refused by their shapes alone."""
    refuse(edited_model(COSTLY[case]), "costs too much|no static shape|does not fit")


def test_m4_a_million_nodes_are_refused_without_parsing_them() -> None:
    """2 MB of empty nodes are counted on the wire, where they cost nothing."""
    nodes = b"\x0a\x00" * 1_000_000
    refuse(b"\x08\x08\x3a" + _varint(len(nodes)) + nodes, "more than 20000 nodes")


@pytest.mark.parametrize(
    "path",
    [b"\x3a\x0a\x2a", b"\x3a\x0a\x2a\x52", b"\x3a\x5a\x12", b"\x72"],
    ids=["attributes", "tensors", "types", "notes"],
)
def test_m4_millions_of_empty_messages_are_refused_without_parsing_them(path: bytes) -> None:
    """2 MB of empty messages at any depth would make a parser allocate hundreds of megabytes."""
    *outer, last = path
    data = bytes([last, 0]) * 1_000_000
    for key in reversed(outer):
        data = bytes([key]) + _varint(len(data)) + data
    with pytest.raises(ModelError, match="200000 parts"):
        describe_graph(data, "g.onnx")


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def test_m4_weights_that_claim_more_than_they_carry_are_refused() -> None:
    """A 2 GB weight that is declared and not there, and one whose product of sizes overflows 64 bits."""
    for dims in ([512, 1024, 1024], [2**32, 2**32, 2], [-1, 3]):

        def edit(model: onnx.ModelProto, dims: list[int] = dims) -> None:
            model.graph.initializer[0].dims[:] = dims

        refuse(edited_model(edit), "declares shape|expected at most 8 sizes")


def test_m4_endless_work_on_small_values_is_refused() -> None:
    """Ten thousand convolutions of 64 channels fit in memory and would run for minutes."""

    def edit(model: onnx.ModelProto) -> None:
        weight = np.ones((512, 512, 9, 9), np.float16)
        model.graph.initializer.append(numpy_helper.from_array(np.ones((512, 1, 1, 1), np.float16), "w0"))
        model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
        model.graph.node.append(helper.make_node("Cast", ["depth"], ["h"], to=TensorProto.FLOAT16))
        model.graph.node.append(helper.make_node("Conv", ["h", "w0"], ["x0"]))
        for index in range(40):
            model.graph.node.append(helper.make_node("Conv", [f"x{index}", "w"], [f"x{index + 1}"], pads=[4] * 4))

    refuse(edited_model(edit), "multiply-adds")


# M5: the graph's border ----------------------------------------------------------------------------------------------


def _border(model: onnx.ModelProto, kind: str, edit: Callable[[onnx.ValueInfoProto], None]) -> None:
    edit(getattr(model.graph, kind)[0])


def _set_dim(value: onnx.ValueInfoProto, axis: int, size: int | str | None) -> None:
    dim = value.type.tensor_type.shape.dim[axis]
    dim.Clear()
    if isinstance(size, str):
        dim.dim_param = size
    elif size is not None:
        dim.dim_value = size


def _set_type(value: onnx.ValueInfoProto, kind: int) -> None:
    value.type.tensor_type.elem_type = kind


BORDERS: dict[str, Edit] = {
    "dynamic height": lambda m: _border(m, "input", lambda v: _set_dim(v, 2, "rows")),
    "dynamic batch": lambda m: _border(m, "input", lambda v: _set_dim(v, 0, "batch")),
    "unknown width": lambda m: _border(m, "input", lambda v: _set_dim(v, 3, None)),
    "zero height": lambda m: _border(m, "input", lambda v: _set_dim(v, 2, 0)),
    "other height": lambda m: _border(m, "input", lambda v: _set_dim(v, 2, 128)),
    "batch of 2": lambda m: _border(m, "input", lambda v: _set_dim(v, 0, 2)),
    "float64 input": lambda m: _border(m, "input", lambda v: _set_type(v, TensorProto.DOUBLE)),
    "uint8 input": lambda m: _border(m, "input", lambda v: _set_type(v, TensorProto.UINT8)),
    "no shape": lambda m: _border(m, "input", lambda v: v.type.tensor_type.ClearField("shape")),
    "sequence": lambda m: _border(m, "input", lambda v: v.type.sequence_type.SetInParent()),
    "one input less": lambda m: m.graph.input.pop(),
    "one input more": lambda m: m.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])),
    "other input name": lambda m: _border(m, "input", lambda v: setattr(v, "name", "rgb")),
    "output without residual": lambda m: m.graph.output.pop(),
    "undefined output": lambda m: m.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])),
    "output of other shape": lambda m: _border(m, "output", lambda v: _set_dim(v, 1, 3)),
    "no output": lambda m: m.graph.ClearField("output"),
}


@pytest.mark.parametrize("case", BORDERS, ids=str)
def test_m5_a_graph_with_another_border_is_refused(case: str) -> None:
    """Number, names, shapes and types of inputs and outputs are static and those of the manifest."""
    refuse(edited_model(BORDERS[case]))


def test_m5_a_model_exported_with_dynamic_shapes_is_refused() -> None:
    """The exporter's own dynamic axes, not only edited ones."""
    refuse(tiny_model(dynamic=True), "dynamic")


# M6: weights that are not finite -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["raw32", "typed32", "raw16", "typed16", "constant", "attribute", "last of a million"])
def test_m6_weights_that_are_not_finite_are_refused(kind: str, value: float) -> None:
    """One NaN or infinity is found in every way that ONNX has to store a number."""

    def edit(model: onnx.ModelProto) -> None:
        nodes, weights = model.graph.node, model.graph.initializer
        numbers = np.array([1.0, value], np.float16 if kind.endswith("16") else np.float32)
        if kind.startswith("raw"):
            weights.append(numpy_helper.from_array(numbers, "bad"))
        elif kind == "typed32":
            weights.append(helper.make_tensor("bad", TensorProto.FLOAT, [2], numbers))
        elif kind == "typed16":
            bits = numbers.view(np.uint16).astype(np.int32)
            weights.append(TensorProto(name="bad", data_type=TensorProto.FLOAT16, dims=[2], int32_data=bits))
        elif kind == "constant":
            nodes.append(helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(numbers)))
        elif kind == "attribute":
            nodes.append(helper.make_node("LeakyRelu", ["color"], ["z"], alpha=value))
        else:
            many = np.zeros(1_000_000, np.float32)
            many[-1] = value
            weights.append(numpy_helper.from_array(many, "bad"))

    refuse(edited_model(edit), "NaN or infinity|not finite")


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.BFLOAT16, TensorProto.STRING, 77])
def test_m6_number_types_that_engines_differ_on_are_refused(kind: int) -> None:
    """float64, bfloat16, strings and unknown types are refused by name."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_type = kind

    refuse(edited_model(edit), "has data type")


# M9: pickles in disguise ---------------------------------------------------------------------------------------------


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["detector.onnx", "golden.safetensors", "weights.npy", "mask.png", "net.pt", "x.pkl"])
def test_m9_a_pickle_in_disguise_is_refused_and_never_read(name: str, protocol: int, tmp_path: Path) -> None:
    """A pickle under any name is refused; no class is looked up and its payload does not run."""
    attack = pickle.dumps(_Attack(tmp_path / "owned"), protocol)
    EVENTS.clear()
    if name == "detector.onnx":
        data = bundle_bytes(attack)
    else:
        data = bundle_bytes(files={name: attack}, edit=_use(name))
    with pytest.raises(BundleError):
        read_bundle_bytes(data)
    assert not (tmp_path / "owned").exists()


def _use(name: str) -> Callable[[dict[str, Any]], None]:
    """Point the manifest at a file, so that it is not refused for being unused."""

    def edit(manifest: dict[str, Any]) -> None:
        if name == "golden.safetensors":
            manifest["parity"]["golden"] = name
        if name == "mask.png":
            manifest["postprocess"]["ignore_mask"] = name

    return edit


def test_m9_numpy_files_have_no_place_in_a_bundle() -> None:
    """.npy and .npz may hold pickles, so even honest ones are refused."""
    with pytest.raises(IntegrityError, match="others are refused"):
        read_bundle_bytes(bundle_bytes(files={"golden.npy": b"\x93NUMPY"}))


# C3: thresholds that decide nothing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Infinity", "not a finite number"), ("-Infinity", "not a finite number"), ("NaN", "not a finite number"),
        ("1e999", "decision.threshold"), ("1.0", "would pass everything"), ("1.5", "would pass everything"),
        ("0.0", "would reject everything"), ("-0.1", "would reject everything"), ('"0.5"', "decision.threshold"),
        ('"0,5"', "decision.threshold"), ("true", "decision.threshold"), ("[0.5]", "decision.threshold"),
    ],
)  # fmt: skip
def test_c3_a_threshold_that_decides_nothing_is_refused_by_name(text: str, match: str) -> None:
    """Infinite, NaN, unreachable, negative or mistyped thresholds are refused, and the error names the key."""
    import json

    from hostile_bundle import entry, manifest_json, zip_bytes

    manifest = manifest_json()
    manifest["files"] = {"detector.onnx": entry(good_model())}
    manifest["decision"]["threshold"] = 12345
    raw = json.dumps(manifest).replace("12345", text).encode()
    with pytest.raises(ManifestError, match=match):
        read_bundle_bytes(zip_bytes({"manifest.json": raw, "detector.onnx": good_model()}))
