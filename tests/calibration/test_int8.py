# SPDX-License-Identifier: Apache-2.0
"""Quantisation: ranges as a twin finds them, graphs that every engine takes, and float where integers do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import rasant
from golden_bundle import write_golden_bundle
from labelled import write_dataset
from rasant.bundle.graph_check import describe_graph
from rasant.cli import app
from rasant.engines import open_engine
from rasant.errors import ConfigError, ModelError
from rasant_calibration.activation_ranges import BINS, METHODS, limits, measure_activations
from rasant_calibration.effect import effect, probes
from rasant_calibration.int8 import choose_int8
from rasant_calibration.quantiser import Quantiser, stages

SIZE = 32


def network(difference: float = 400.0) -> bytes:
    """Three stages. The second subtracts two channels that are nearly equal and amplifies the rest by `difference`:
    what 8 bits cannot hold. The last scales it into logits."""
    random = np.random.default_rng(0)
    spread = random.uniform(0.2, 1.0, (4, 3, 3, 3)).astype(np.float32) / 9
    spread[1] = spread[0] * np.float32(1.0 - 1.0 / difference)
    subtract = np.zeros((2, 4, 1, 1), np.float32)
    subtract[0, :2, 0, 0] = difference, -difference
    subtract[1, 2:, 0, 0] = 0.5
    logits = np.array([[-1.0, 0.1], [1.0, -0.1]], np.float32).reshape(2, 2, 1, 1)
    weights = {"spread": spread, "subtract": subtract, "logits_w": logits}
    nodes = [
        helper.make_node("Conv", ["color", "spread"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["c", "subtract"], ["d"], name="second"),
        helper.make_node("MaxPool", ["d"], ["e"], name="pool_2", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["e", "logits_w"], ["logits"], name="third"),
    ]
    shape = [1, 3, SIZE, SIZE]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("color", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, SIZE, SIZE])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def frames(count: int) -> list[dict[str, Any]]:
    """Smooth random pictures, each of another contrast."""
    random = np.random.default_rng(1)
    found = []
    for index in range(count):
        coarse = random.uniform(0.0, 0.4 + 0.5 * index / count, (1, 3, 4, 4)).astype(np.float32)
        found.append({"color": np.kron(coarse, np.ones((1, 1, 8, 8), np.float32))})
    return found


def on_probes(model: bytes) -> Any:
    """Six pictures, half of them with a defect."""
    return probes(model, [(inputs, np.ones((SIZE, SIZE), np.bool_)) for inputs in frames(3)], 3, 0)


def test_histograms_cover_every_value_and_no_more() -> None:
    """The graph's input, every convolution and the output; counts are the number of values of all frames."""
    given_frames = frames(3)
    found = measure_activations(network(), given_frames)
    assert set(found) == {"color", "a", "b", "c", "d", "e", "logits"}
    largest, counts = found["color"]
    assert largest == max(float(frame["color"].max()) for frame in given_frames)
    assert counts.sum() == 3 * 3 * SIZE * SIZE
    twin = np.histogram(np.stack([frame["color"] for frame in given_frames]), BINS, (0.0, largest))[0]
    assert np.abs(counts - twin).sum() <= 0.001 * counts.sum()  # values at the edge of a bin, in float32


@settings(deadline=None)
@given(st.integers(0, 100), st.floats(0.1, 1e3))
def test_limits_lie_inside_what_was_seen(seed: int, scale: float) -> None:
    """No rule reaches beyond the largest value; percentiles are those of numpy within a bin; minmax is the largest."""
    values = np.abs(np.random.default_rng(seed).standard_normal(5000)) * scale
    histogram = {"x": (float(values.max()), np.histogram(values, BINS, (0.0, values.max()))[0])}
    found = {method: limits(histogram, method)["x"] for method in METHODS}
    assert found["minmax"] == pytest.approx(values.max(), rel=1e-6)
    width = values.max() / BINS
    assert found["percentile-99.99"] == pytest.approx(np.quantile(values, 0.9999, method="higher"), abs=1.01 * width)
    assert 0 < found["entropy"] <= values.max()
    assert found["percentile-99.99"] <= found["percentile-99.999"] <= found["minmax"]


def test_entropy_cuts_off_what_is_rare_and_far() -> None:
    """One value at ten times the rest would waste nine tenths of the steps."""
    values = np.append(np.abs(np.random.default_rng(0).standard_normal(100_000)), 40.0)
    histogram = {"x": (40.0, np.histogram(values, BINS, (0.0, 40.0))[0])}
    assert 2.0 < limits(histogram, "entropy")["x"] < 10.0
    assert limits({"x": (0.0, np.zeros(BINS, np.int64))}, "entropy")["x"] == 0.0


def test_the_graph_is_one_that_tensorrt_takes_too() -> None:
    """int8 around zero everywhere, weights by output channel, standard operators alone; kept nodes have no integers."""
    model = network()
    found = Quantiser(model, limits(measure_activations(model, frames(2)), "minmax")).build(["second"])
    assert describe_graph(found, "a.onnx").precision == "int8"
    graph = onnx.load_model_from_string(found).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        assert values[node.input[2]].dtype == np.int8 and not values[node.input[2]].any()
    scales = {node.input[1] for node in pairs if node.input[0].startswith("spread")}
    assert {values[name].shape for name in scales} == {(4,)}
    made_by = {output: node for node in graph.node for output in node.output}
    kept = next(node for node in graph.node if node.name == "second")
    assert kept.input[1] == "subtract"
    first = next(node for node in graph.node if node.name == "first")
    assert made_by[first.input[0]].op_type == "DequantizeLinear"
    with pytest.raises(ConfigError, match="quantised already"):
        Quantiser(found, {})


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_one_graph_runs_in_every_engine(engine: str) -> None:
    """Near the float graph where nothing is subtle, in both."""
    model = network(difference=2.0)
    quantised = Quantiser(model, limits(measure_activations(model, frames(4)), "minmax")).build()
    with (
        open_engine(engine, quantised, precision="int8", threads=1) as ours,
        open_engine("onnxruntime", model) as float32,
    ):
        for opened in (ours, float32):
            opened.inputs["color"][:] = frames(4)[2]["color"]
            opened.infer()
        spread = np.ptp(float32.outputs["logits"])
        assert np.abs(ours.outputs["logits"] - float32.outputs["logits"]).max() < 0.03 * spread


def test_stages_end_where_the_size_changes() -> None:
    """By name of their first node, with their share of the work."""
    found = stages(network())
    assert [stage.nodes for stage in found] == [("first",), ("second",), ("third",)]
    assert sum(stage.share for stage in found) == pytest.approx(1.0)
    assert found[0].share == pytest.approx(4 * 27 / (4 * 27 + 2 * 4 + 2 * 2))


def test_what_integers_harm_is_left_in_float() -> None:
    """The stage that subtracts nearly equal values is found, left in float, and the map is better for it."""
    model = network()
    on = on_probes(model)
    messages: list[str] = []
    found = choose_int8(model, frames(4), on, kernel=3, target=1e-4, max_float=0.2, progress=messages.append)
    assert "second" in tuple(found.alone)[:2]
    assert next(iter(found.kept)) == "second" and "second" in found.float_nodes
    assert found.effect.score_mean < found.methods[found.method].score_mean
    assert found.float_share <= 0.2
    assert effect(found.model, on, 3) == found.effect
    assert any("second alone" in text for text in messages)
    whole = choose_int8(model, frames(4), on, kernel=3, max_float=0.0)
    assert whole.kept == {} and whole.alone == {}


def test_wrong_requests_are_refused() -> None:
    """Unknown rules, no frames, a network that gives NaN."""
    model = network()
    with pytest.raises(ConfigError, match="must be one of"):
        choose_int8(model, frames(1), on_probes(model), kernel=3, methods=("magic",))
    with pytest.raises(ConfigError, match="give more parts"):
        choose_int8(model, [], [], kernel=3)
    with pytest.raises(ModelError, match="not finite"):
        measure_activations(model, [{"color": np.full((1, 3, SIZE, SIZE), np.inf, np.float32)}])


def test_the_command_writes_a_bundle_that_can_be_calibrated_and_certified(tmp_path: Path) -> None:
    """Quantised, without the float graph's threshold, with the float network's answers kept beside its own."""
    write_dataset(tmp_path, "plate", {"train": ["good"] * 6, "validation": ["good"] * 5 + ["dent"]})
    source = write_golden_bundle(tmp_path / "float.rasant")
    out = tmp_path / "int8.rasant"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    answer = json.loads(run(
        "calibrate", "int8", str(source), f"dataset:{tmp_path}/plate?split=train", "-o", str(out), "--method", "minmax",
        "--json",
    ))  # fmt: skip
    packed = rasant.read_bundle(out)
    assert packed.manifest.detector.precision == "int8"
    assert packed.manifest.decision.threshold is None
    record = packed.manifest.quantisation
    assert record is not None and (record.method, record.frames, record.probes) == ("minmax", 9, 6)
    assert record.score_mean == answer["effect"]["score_mean"]
    golden, before = packed.golden(), rasant.read_bundle(source).golden()
    np.testing.assert_array_equal(golden["float.logits"], before["logits"])
    assert not np.array_equal(golden["logits"], before["logits"])
    run("calibrate", "threshold", str(out), f"dataset:{tmp_path}/plate?split=validation", "-o", str(out))
    run("certify", str(out), "--engine", "onnxruntime,openvino", "--threads", "1")
    certificates = rasant.read_bundle(out).manifest.certificates
    assert [one.precision for one in certificates] == ["int8", "int8"]
    assert certificates[0].map_max == 0.0
    assert all(one.float_map_max is not None and one.float_map_max > 0 for one in certificates)
    again = tmp_path / "again.rasant"
    train = f"dataset:{tmp_path}/plate?split=train"
    text = run("calibrate", "int8", str(source), train, "-o", str(again), "--method", "minmax")
    assert "<- chosen" in text and "multiply-adds stay in float" in text
