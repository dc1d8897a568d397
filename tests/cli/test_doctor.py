# SPDX-License-Identifier: Apache-2.0
"""`rasant doctor`: tells what there is, and refuses what is not safe."""

from __future__ import annotations

import json

import cv2
import pytest
from typer.testing import CliRunner

from rasant import doctor
from rasant.cli import app
from rasant.engines import Probe

RUN = CliRunner()


def test_this_machine_may_inspect() -> None:
    """Everything that a runtime needs is here: native operations, an engine, a safe OpenCV."""
    result = RUN.invoke(app, ["doctor", "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and found["ok"] and found["problems"] == []
    assert "score_map" in found["native"]["operations"] and found["native"]["vector"]
    assert found["engines"]["onnxruntime"]["available"] and found["engines"]["onnxruntime"]["providers"]
    assert found["opencv"] == {"available": True, "version": cv2.__version__, "safe": True}
    assert set(found["extras"]) >= {"training"} and found["cpus"] >= 1
    assert isinstance(found["cuda"]["available"], bool) and (found["cuda"]["reason"] or found["cuda"]["devices"])


def test_the_text_says_the_same() -> None:
    """A person reads versions, engines, and whether it is ready."""
    result = RUN.invoke(app, ["doctor"])
    assert result.exit_code == 0 and "ready to inspect" in result.stdout
    assert "CPUExecutionProvider" in result.stdout and "[training]" in result.stdout


@pytest.mark.parametrize(("version", "safe"), [("4.10.0", False), ("4.11.0", True), ("4.9.1", False), ("5.0.0", True)])
def test_the_opencv_that_shows_stale_pixels_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str, safe: bool
) -> None:
    """OpenCV 4.10 fills a cut JPEG with the previous frame; below 4.11 the machine is not ready."""
    monkeypatch.setattr(cv2, "__version__", version)
    found = doctor.examine()
    assert found["opencv"]["safe"] is safe and found["ok"] is safe
    assert RUN.invoke(app, ["doctor"]).exit_code == (0 if safe else 3)


def test_without_an_engine_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of each engine is told, and the exit code is 3."""
    import rasant.engines

    monkeypatch.setattr(rasant.engines, "probe_engines", lambda: {"onnxruntime": Probe(False, "broken wheel")})
    found = doctor.examine()
    assert not found["ok"] and found["engines"]["onnxruntime"]["reason"] == "broken wheel"
    assert RUN.invoke(app, ["doctor", "--json"]).exit_code == 3


def test_broken_native_operations_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A native module that computes wrongly is a problem, not a detail."""
    from rasant.ops import score
    from rasant.ops.score import ScoreResult

    monkeypatch.setattr(score, "score_map", lambda *args, **options: ScoreResult(0.1, 0, 0, 0))
    assert any("compute wrongly" in problem for problem in doctor.examine()["problems"])
