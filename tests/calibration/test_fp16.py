# SPDX-License-Identifier: Apache-2.0
"""Float16 by measurement: what it cannot hold and what it harms stays float32, and the bundle runs and is certified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from typer.testing import CliRunner

import rasant
from calibration.test_int8 import SIZE, frames, network
from golden_bundle import write_golden_bundle
from labelled import write_dataset
from rasant.cli import app
from rasant.errors import ConfigError
from rasant_calibration.activation_ranges import BINS
from rasant_calibration.effect import effect, probes
from rasant_calibration.fp16 import choose_fp16, out_of_range
from rasant_calibration.half_graph import LARGEST, SMALLEST, rounded


def on_probes(model: bytes) -> Any:
    """Six pictures, half of them with a defect."""
    return probes(model, [(inputs, np.ones((SIZE, SIZE), np.bool_)) for inputs in frames(3)], 3, 0)


def scaled(model: bytes, **factors: float) -> bytes:
    """The network with weights multiplied, by name."""
    proto: Any = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.name in factors:
            values = numpy_helper.to_array(tensor) * np.float32(factors[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return bytes(proto.SerializeToString())


def in_one_stage(model: bytes) -> bytes:
    """The network without the pooling between its first two convolutions."""
    proto: Any = onnx.load_model_from_string(model)
    named = {node.name: node for node in proto.graph.node}
    named["second"].input[0] = "b"
    proto.graph.node.remove(named["pool"])
    return bytes(proto.SerializeToString())


def test_nothing_stays_where_nothing_is_harmed() -> None:
    """A well-scaled network is float16 throughout, and the effect is that of the rounded form, not of a CPU."""
    model = network(difference=2.0)
    on = on_probes(model)
    found = choose_fp16(model, frames(4), on, kernel=3)
    assert (found.out_of_range, found.forced, found.kept, found.float_nodes) == ({}, (), {}, ())
    assert found.float_share == 0.0
    assert found.effect == effect(rounded(found.model), on, 3)
    assert 0.0 < found.effect.score_mean <= 0.001


@pytest.mark.parametrize(("up", "down"), [(1e5, 1e-5), (1e-6, 1e6)])
def test_what_float16_cannot_hold_stays_float32(up: float, down: float) -> None:
    """Values beyond the range, and values that would lose their digits: the stages around them are named and kept."""
    model = scaled(network(difference=2.0), subtract=up, logits_w=down)
    messages: list[str] = []
    found = choose_fp16(model, frames(4), on_probes(model), kernel=3, progress=messages.append)
    assert set(found.out_of_range) == {"d", "e"}
    assert found.forced == ("second", "third")
    assert set(found.float_nodes) == {"second", "pool_2", "third"}
    assert found.effect.score_mean <= 0.001
    assert any("d reaches" in text for text in messages)


def test_what_float16_harms_is_left_in_float32() -> None:
    """The stage that makes nearly equal values and subtracts them is found alone, left in float32, and the map is much
    better for it; where it is too much of the work, it is not."""
    model = in_one_stage(network(difference=4000.0))
    on = on_probes(model)
    found = choose_fp16(model, frames(4), on, kernel=3, target=1e-4, max_float=1.0)
    assert list(found.alone) == ["first", "third"]
    assert (list(found.kept), found.float_nodes) == (["first"], ("first", "second"))
    assert found.float_share == pytest.approx(116 / 120)
    bare = choose_fp16(model, frames(4), on, kernel=3, target=1e-4, max_float=0.9)
    assert (bare.kept, list(bare.alone)) == ({}, ["first", "third"])
    assert found.effect.map_rms < 0.1 * bare.effect.map_rms


def test_a_network_that_float16_cannot_hold_is_refused() -> None:
    """Every stage reaches beyond it: the user is told to stay with float32. So is one without good parts."""
    model = scaled(network(difference=2.0), spread=1e6)
    with pytest.raises(ConfigError, match="stay with the float32 bundle"):
        choose_fp16(model, frames(2), on_probes(model), kernel=3)
    with pytest.raises(ConfigError, match="give more parts"):
        choose_fp16(model, [], [], kernel=3)


@given(st.floats(1e-12, 1e12))
def test_the_range_is_judged_by_what_was_seen(largest: float) -> None:
    """Values spread evenly up to `largest` are in range where four times that can be held and most have all digits."""
    inside = not out_of_range({"x": (largest, np.ones(BINS, np.int64))})
    if 2.1 * SMALLEST < largest < LARGEST / 4:
        assert inside
    if largest < 1.9 * SMALLEST or largest > LARGEST / 4:
        assert not inside


def test_a_value_that_is_always_zero_is_in_range() -> None:
    """Nothing can be lost of it."""
    assert out_of_range({"x": (0.0, np.zeros(BINS, np.int64))}) == {}


def test_the_command_writes_a_bundle_that_is_certified_and_inspects(tmp_path: Path) -> None:
    """Float16, without the float graph's threshold, with the float network's answers kept; it opens in both engines."""
    write_dataset(tmp_path, "plate", {"train": ["good"] * 6, "validation": ["good"] * 5 + ["dent"]})
    source, out = write_golden_bundle(tmp_path / "float.rasant"), tmp_path / "fp16.rasant"
    train = f"dataset:{tmp_path}/plate?split=train"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr or result.exception
        return result.stdout

    answer = json.loads(run("calibrate", "fp16", str(source), train, "-o", str(out), "--json"))
    packed = rasant.read_bundle(out)
    assert (packed.manifest.detector.precision, packed.manifest.detector.file) == ("fp16", "detector.fp16.onnx")
    assert packed.manifest.decision.threshold is None
    record = packed.manifest.quantisation
    assert record is not None and (record.method, record.frames, record.probes) == ("fp16", 9, 6)
    assert record.score_mean == answer["effect"]["score_mean"]
    np.testing.assert_array_equal(packed.golden()["float.logits"], rasant.read_bundle(source).golden()["logits"])
    run("calibrate", "threshold", str(out), f"dataset:{tmp_path}/plate?split=validation", "-o", str(out))
    run("certify", str(out), "--engine", "onnxruntime,openvino", "--threads", "1")
    certificates = rasant.read_bundle(out).manifest.certificates
    assert [one.precision for one in certificates] == ["fp16", "fp16"]
    for engine in ("onnxruntime", "openvino"):
        with rasant.load(out, engine, threads=1) as inspector:
            assert "certified within 0.01" in inspector.info.proof
    text = run("calibrate", "fp16", str(source), train, "-o", str(tmp_path / "again.rasant"))
    assert "of the multiply-adds stay in float32" in text
    for command in ("fp16", "int8"):
        result = CliRunner().invoke(app, ["calibrate", command, str(out), train, "-o", str(tmp_path / "no.rasant")])
        assert "is fp16 already; start from the float32 bundle" in result.stderr
