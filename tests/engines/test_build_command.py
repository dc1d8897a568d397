# SPDX-License-Identifier: Apache-2.0
"""`rasant build`: what it prints, what it keeps, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import rasant
from engines.fake_tensorrt import fake_tensorrt
from golden_bundle import write_golden_bundle
from rasant.engines.build_command import build
from rasant.engines.tensorrt import TensorRTEngine, api
from rasant.errors import ConfigError, EngineUnavailable
from rasant_calibration.fp16_command import halve_bundle
from tiny_bundle import plate_frame, tiny_model

app = typer.Typer()
app.command()(build)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in of 10.3 that is found as the installed package."""
    module = fake_tensorrt("10.3.0")
    real = api.importlib.import_module
    monkeypatch.setattr(api.importlib, "import_module", lambda name: module if name == "tensorrt" else real(name))
    return module


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_plan_is_built_once_and_opened(trt: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    """One JSON object on stdout, nothing on stderr but progress; the engine then opens what was built."""
    command = (tiny_bundle, "--engine", "tensorrt", "--device", "emu", "--cache", tmp_path, "--json")
    results = [call(*command), call(*command), call(*command, "--rebuild")]
    assert [result.exit_code for result in results] == [0, 0, 0]
    told = [json.loads(result.stdout) for result in results]
    assert Path(told[0]["plan"]).stat().st_size == told[0]["bytes"]
    assert told[0]["built"] == told[1]["built"] < told[2]["built"]
    assert (told[0]["engine"], told[0]["version"], told[0]["precision"]) == ("tensorrt", "10.3.0", "fp32")
    assert len(trt.builds) == 2
    with TensorRTEngine(tiny_model(), device="emu", cache=tmp_path) as engine:
        engine.infer()


def test_a_text_says_the_same(trt: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    """Without --json: a line for each value."""
    result = call(tiny_bundle, "--device", "emu", "--cache", tmp_path)
    assert result.exit_code == 0
    assert "gpu: emulator\n" in result.stdout


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_precision_that_the_bundle_lacks_is_refused(
    trt: Any, tiny_bundle: Path, tmp_path: Path, precision: str
) -> None:
    """Precision lives in the graph: the refusal says which the bundle has, and the command that makes the other."""
    result = call(tiny_bundle, "--device", "emu", "--cache", tmp_path, "--precision", precision)
    assert isinstance(result.exception, ConfigError)
    made = tiny_bundle.with_name(f"{tiny_bundle.stem}-{precision}.rasant")
    assert f"is fp32, asked for is {precision}" in str(result.exception)
    assert f"`rasant calibrate {precision} {tiny_bundle} GOOD_PARTS -o {made}`" in str(result.exception)
    assert trt.builds == []


def test_a_float16_bundle_is_built_and_loaded_as_such(
    trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rasant calibrate fp16`, `rasant build --precision fp16`, `rasant.load`: one graph, one precision all the way,
    proven on the golden frames; and no way back to float32 but the bundle that it came from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = rasant.read_bundle(write_golden_bundle(tmp_path / "float.rasant"))
    manifest, files, _ = halve_bundle(source, [plate_frame(index=index) for index in range(4)])
    half = rasant.write_bundle(tmp_path / "half.rasant", manifest, files)
    told = json.loads(call(half, "--device", "emu", "--precision", "fp16", "--json").stdout)
    assert told["precision"] == "fp16"
    with rasant.load(half, "tensorrt", device="emu", require_threshold=False) as inspector:
        assert (inspector.info.name, inspector.info.precision) == ("tensorrt", "fp16")
        assert "not certified, yet within 0.03 of the golden maps" in inspector.info.proof
    for precision in ("fp32", "int8"):
        result = call(half, "--device", "emu", "--precision", precision)
        assert "start from the float32 bundle" in str(result.exception)


def test_a_long_build_tells_that_it_goes_on(
    trt: Any, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line each second on stderr, with the phase and how far it is: no one takes it for a hang."""
    trt.Builder.build_s = 4.8
    result = call(tiny_bundle, "--device", "emu", "--cache", tmp_path, "--json")
    lines = result.stderr.splitlines()
    assert 3 <= len(lines) <= 5
    assert all("s: Building engine" in line for line in lines)
    json.loads(result.stdout)


def test_without_tensorrt_the_command_says_what_is_missing(tiny_bundle: Path, tmp_path: Path) -> None:
    """No traceback: the package, and how to get it."""
    result = call(tiny_bundle, "--cache", tmp_path)
    if result.exit_code == 0:
        pytest.skip("this machine has TensorRT and a GPU")
    assert isinstance(result.exception, EngineUnavailable)


def test_what_was_built_inspects_frames(
    trt: Any, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rasant build`, then `rasant.load` with the engine: the verdicts of ONNX Runtime, from the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert call(tiny_bundle, "--device", "emu").exit_code == 0
    frames = [plate_frame(), plate_frame("dent"), plate_frame("stain")]
    with (
        rasant.load(tiny_bundle, "tensorrt", device="emu") as inspector,
        rasant.load(tiny_bundle, "onnxruntime") as reference,
    ):
        for frame in frames:
            ours, theirs = inspector(frame), reference(frame)
            assert ours.verdict is theirs.verdict
            assert ours.score == pytest.approx(theirs.score, abs=1e-6)
        assert inspector.status.engine == "tensorrt 10.3.0 TensorRT"
