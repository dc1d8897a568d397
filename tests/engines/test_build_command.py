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
from rasant.engines.build_command import build
from rasant.engines.tensorrt import TensorRTEngine, api
from rasant.errors import ConfigError, EngineUnavailable
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


@pytest.mark.parametrize(
    ("precision", "text"), [("fp16", "take the fp16 graph"), ("int8", "has no int8 graph, only fp32")]
)
def test_a_precision_that_the_bundle_lacks_is_refused(
    trt: Any, tiny_bundle: Path, tmp_path: Path, precision: str, text: str
) -> None:
    """Precision lives in the graph: the refusal says which the bundle has."""
    result = call(tiny_bundle, "--device", "emu", "--cache", tmp_path, "--precision", precision)
    assert isinstance(result.exception, ConfigError)
    assert text in str(result.exception)


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
