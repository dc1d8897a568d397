# SPDX-License-Identifier: Apache-2.0
"""Every method goes the same way, by the same commands: train, export, choose a threshold, certify, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import rasant
from rasant.bundle import read_bundle
from rasant.cli import app
from training.boxes import picture, write_split

SMALL = ["preprocess.size=[64, 64]", "preprocess.inlier_m=0.002", "preprocess.border_px=6", "data.crop=64",
         "data.batch=4", "data.whole_share=0.0", "loop.precision=32-true", "loop.threads=1", "loop.picture_every=0",
         "loop.ema=0.0", "settings.network.width=4", "postprocess.kernel=5"]  # fmt: skip
EASYNET = ["settings.network.hidden=8"]
CASES = {
    "easynet": ("rgbd", EASYNET, ["--set", "settings.deploy.gate=entropy"]),
    "draem": ("rgb", ["settings.network.discriminator_width=4"], []),
}


def run(*words: object) -> dict[str, Any]:
    """The last JSON line of a rasant command, which must succeed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    lines: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good boxes to train and validate on, and a test split whose defect is a box of another height."""
    root = write_split(tmp_path_factory.mktemp("data") / "box", (picture(n) for n in range(4)))
    write_split(root, (picture(n) for n in range(20, 24)), split="validation")
    write_split(root, (picture(n) for n in range(30, 32)), split="test")
    return write_split(root, (picture(n, height_m=0.02) for n in range(40, 42)), split="test", label="tall")


def made(folder: Path, source: str, method: str, modalities: str, extra: list[str], export: list[str]) -> Path:
    """A bundle of three training steps."""
    settings = [word for setting in [*SMALL, *extra] for word in ("--set", setting)]
    run("train", method, "--data", source, "--out", folder / "run", "--steps", 3, "--modalities", modalities, *settings,
        "--json")
    run("export", folder / "run", "-o", folder / "bare.rasant", *export, "--json")
    return folder / "bare.rasant"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    """A bundle of each method."""
    return {
        method: made(tmp_path_factory.mktemp(method), f"dataset:{data}", method, *case)
        for method, case in CASES.items()
    }


@pytest.mark.parametrize("method", CASES)
def test_from_good_parts_to_figures(tmp_path: Path, data: Path, bundles: dict[str, Path], method: str) -> None:
    """The bundle declares its modalities and its own threshold, is certified, and gets finite metrics."""
    decided = tmp_path / "station.rasant"
    run("calibrate", "threshold", bundles[method], f"dataset:{data}?split=validation", "-o", decided, "--engine",
        "onnxruntime", "--threads", 1, "--json")
    run("certify", decided, "--engine", "onnxruntime", "--json")
    manifest = read_bundle(decided).manifest
    assert (manifest.method, manifest.preprocess.modalities) == (method, CASES[method][0])
    assert manifest.decision.threshold is not None
    assert [one.engine for one in manifest.certificates] == ["onnxruntime"]
    found = run("evaluate", decided, f"dataset:{data}?split=test", "--engine", "onnxruntime", "--json")
    box = found["categories"]["box"]
    assert (box["n_good"], box["n_defect"], box["n_unknown"]) == (2, 2, 0)
    assert 0.0 <= box["i_auroc"] <= 1.0


def test_the_gate_decides_on_the_host(tmp_path: Path, data: Path, bundles: dict[str, Path]) -> None:
    """One graph with two heads: the manifest's gate says which map a frame gets; closed, open, and by its features."""
    bundle = read_bundle(bundles["easynet"])
    gate = bundle.manifest.gate
    assert gate is not None
    assert (gate.mode, gate.alpha, gate.color_features) == ("entropy", 0.0, 16)
    with rasant.open_source(f"dataset:{data}?split=test") as source:
        frame = source.read()
    maps = {}
    for mode, alpha in (("open", 0.0), ("off", 0.0), ("entropy", -8.0), ("entropy", 8.0)):
        changed = bundle.manifest.model_copy(update={"gate": gate.model_copy(update={"mode": mode, "alpha": alpha})})
        path = tmp_path / f"{mode}{alpha}.rasant"
        rasant.write_bundle(path, changed, bundle.files)
        with rasant.load(path, "onnxruntime", require_threshold=False, threads=1, max_age_ms=None) as inspector:
            maps[mode, alpha] = inspector(frame).anomaly_map
    assert not np.array_equal(maps["open", 0.0], maps["off", 0.0])
    assert np.array_equal(maps["entropy", -8.0], maps["open", 0.0])
    assert np.array_equal(maps["entropy", 8.0], maps["off", 0.0])


def test_alpha_is_chosen_from_good_parts_and_drawn_defects(
    tmp_path: Path, data: Path, bundles: dict[str, Path]
) -> None:
    """`rasant calibrate gate` stores alpha with its evidence, and takes the old threshold away; others are refused."""
    decided, gated = tmp_path / "decided.rasant", tmp_path / "gated.rasant"
    good = f"dataset:{data}?split=validation"
    run("calibrate", "threshold", bundles["easynet"], good, "-o", decided, "--engine", "onnxruntime", "--json")
    found = run("calibrate", "gate", decided, good, "-o", gated, "--json")
    manifest = read_bundle(gated).manifest
    assert manifest.gate is not None
    assert (manifest.gate.mode, manifest.gate.alpha) == ("entropy", found["alpha"])
    assert (found["good"], found["defective"]) == (4, 8)
    assert "8 synthetic defects" in manifest.gate.rule
    assert found["auroc"] >= max(found["auroc_open"], found["auroc_closed"])
    assert manifest.decision.threshold is None
    refused = CliRunner().invoke(app, ["calibrate", "gate", str(bundles["draem"]), good, "-o", str(gated)])
    assert refused.exit_code == 2
    assert "has no gate" in refused.output


@pytest.mark.captures
def test_real_pictures_without_depth_need_no_special_case(tmp_path: Path, captures: Path) -> None:
    """The RGB mode trains on tires of MVTec 3D-AD and evaluates them: too few for a figure, all get a score."""
    where = f"mvtec3d:{captures / 'mvtec3d_tire_rgb_gt'}"
    found = run("evaluate", made(tmp_path, where, "easynet", "rgb", EASYNET, []), f"{where}?split=test", "--engine",
                "onnxruntime", "--json")
    (category,) = found["categories"].values()
    assert category["n_unknown"] == 0
    assert category["n_defect"] > 0
