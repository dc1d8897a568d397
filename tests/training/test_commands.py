# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import rasant
from rasant.bundle import read_bundle
from rasant.cli import app
from rasant.engines.onnxruntime import OnnxRuntimeEngine
from rasant_training.contamination import odd_parts
from rasant_training.data.parts import prepare_parts
from rasant_training.rundir import read_run
from training.boxes import picture, write_split

TINY = ["training.tiny_method", "--preset", "test", "--json", "--set", "preprocess.inlier_m=0.002"]


def run(*words: object) -> Result:
    """Call the rasant command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def events(result: Result) -> list[dict[str, Any]]:
    """The JSON lines that a command printed."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A category with five good training parts and two for validation."""
    root = write_split(tmp_path / "box", (picture(n) for n in range(5)))
    return write_split(root, (picture(n) for n in range(20, 22)), split="validation")


def test_from_good_parts_to_a_bundle(tmp_path: Path, data: Path) -> None:
    """Train, resume and export: the bundle loads, says what it was trained on, and its golden outputs repeat."""
    out, bundle_path = tmp_path / "run", tmp_path / "box.rasant"
    lines = events(run("train", *TINY, "--data", f"dataset:{data}", "--out", out, "--steps", 5, "--seed", 3))
    seen = [line["event"] for line in lines if line["event"] != "note"]
    assert seen == ["start", "step", "step", "checkpoint", "end"]
    assert (out / "recipe.toml").is_file()
    lines = events(run("train", "--resume", "--out", out, "--steps", 9, "--json"))
    assert (lines[0]["step"], lines[-1]["step"]) == (5, 9)
    report = json.loads(run("export", out, "-o", bundle_path, "--json").stdout)
    assert report["parity_max_abs"] < 1e-5
    bundle = read_bundle(bundle_path)
    manifest, record = bundle.manifest, read_run(out)
    assert (manifest.category, manifest.preset) == ("box", "test")
    assert (manifest.training.steps, manifest.training.seed) == (9, 3)
    assert manifest.preprocess.to_params() == record.recipe.preprocess
    assert manifest.training.data_sha256 == prepare_parts(f"dataset:{data}", manifest.preprocess.to_params(),
                                                          record.recipe.data).sha256
    assert manifest.decision.threshold is None
    assert manifest.attribution.color is not None and manifest.attribution.depth is not None
    assert manifest.validity.depth_range_m[0] < 0.49 < 0.5 < manifest.validity.depth_range_m[1]
    golden = bundle.golden()
    with OnnxRuntimeEngine(bundle.graph(), threads=1) as engine:
        for frame in range(manifest.parity.records[0].frames):
            for name in ("color", "depth"):
                np.copyto(engine.inputs[name], golden[name][frame : frame + 1])
            engine.infer()
            np.testing.assert_allclose(engine.outputs["logits"][0], golden["logits"][frame], atol=1e-5)


def test_a_bundle_of_tiles(tmp_path: Path, data: Path) -> None:
    """A network trained on crops is exported for tiles of their size, and inspects the whole image with them."""
    out, bundle_path = tmp_path / "run", tmp_path / "box.rasant"
    events(run("train", *TINY, "--data", f"dataset:{data}", "--out", out, "--steps", 2))
    run("export", out, "-o", bundle_path, "--tile-overlap", 4)
    manifest = read_bundle(bundle_path).manifest
    assert manifest.tiles is not None and (manifest.tiles.size, manifest.tiles.overlap) == ((16, 16), 4)
    assert manifest.preprocess.size == (32, 32) and manifest.detector.inputs[0].shape == (1, 3, 16, 16)
    with rasant.open_source(f"dataset:{data}?split=validation") as source:
        frame = source.read()
    with rasant.load(bundle_path, "onnxruntime", require_threshold=False, threads=1, max_age_ms=None) as inspector:
        assert inspector(frame).anomaly_map.shape == (32, 32)
    refused = run("export", out, "-o", bundle_path, "--tile-overlap", 16)
    assert refused.exit_code == 2 and "16 pixels" in refused.output


def test_a_run_is_neither_overwritten_nor_changed_on_the_way(tmp_path: Path, data: Path) -> None:
    """A second start in the same folder, another rate, or other data on resuming are refused with exit code 2."""
    out, start = tmp_path / "run", ("train", *TINY, "--data", f"dataset:{data}", "--steps", 2)
    events(run(*start, "--out", out))
    for words, message in (
        ((*start, "--out", out), "holds a run already"),
        (("train", "--resume", "--out", out, "--set", "optimizer.learning_rate=1e-4"), "optimizer.learning_rate"),
        (("train", "--resume", "--out", tmp_path / "none"), "not the folder of a run"),
        (("train", *TINY, "--out", tmp_path / "b"), "--data is missing"),
        (("train", "das4d", "--data", "x"), "unknown method 'das4d'"),
        (("train", "das3d", "--preset", "huge", "--data", "x"), "unknown preset 'huge'"),
        (("export", tmp_path / "none", "-o", tmp_path / "x.rasant"), "not the folder of a run"),
    ):
        result = run(*words)
        assert result.exit_code == 2, result.output
        assert message in result.stderr.replace("\n", " ")
    write_split(data, [picture(n) for n in range(6)])
    result = run("train", "--resume", "--out", out, "--steps", 4)
    assert result.exit_code == 2
    assert "changed since" in result.stderr


def test_a_part_that_the_trained_network_doubts_is_named(tmp_path: Path, data: Path, monkeypatch: Any) -> None:
    """A training part whose score is far above the others is reported after training, and kept in the run's notes."""
    from rasant_training import contamination

    scores = [0.01, 0.02, 0.01, 0.6, 0.015]
    monkeypatch.setattr(contamination, "part_scores", lambda *_: scores)
    out = tmp_path / "run"
    lines = events(run("train", *TINY, "--data", f"dataset:{data}", "--out", out, "--steps", 2))
    (note,) = [line["text"] for line in lines if line["event"] == "note" and "after training" in line["text"]]
    assert note.startswith("box/train/good/003 scores 0.600")
    assert note in read_run(out).notes


def test_scores_of_good_parts_are_those_of_the_trained_network(tmp_path: Path, data: Path) -> None:
    """The check after training really runs the network: one score a part, within the score's range."""
    from rasant_training.contamination import part_scores

    out = tmp_path / "run"
    events(run("train", *TINY, "--data", f"dataset:{data}", "--out", out, "--steps", 2))
    record = read_run(out)
    parts = prepare_parts(record.data, record.recipe.preprocess, record.recipe.data, estimate=False)
    scores = part_scores(out, record.recipe, parts)
    assert len(scores) == 5
    assert all(0 < score < 1 for score in scores)
    assert odd_parts(out, record.recipe, parts) == []


def test_the_command_modules_cost_no_torch() -> None:
    """Importing the commands, as `rasant train --help` does, loads neither torch nor Fabric."""
    code = "import sys, rasant_training.commands; print('torch' in sys.modules, 'lightning_fabric' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert "Example: rasant train" in run("train", "--help").stdout
