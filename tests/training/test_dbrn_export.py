# SPDX-License-Identifier: Apache-2.0
"""DBRN from good parts to a certified bundle: no chance is left in the graph, and every engine says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

import rasant
from labelled import write_dataset
from rasant.cli import app
from rasant.engines import open_engine
from rasant_training.export.onnx import to_onnx
from rasant_training.export.verify import compare, make_golden, random_inputs
from rasant_training.methods.dbrn.model import Dbrn, DbrnExport
from rasant_training.methods.dbrn.recipe import DbrnDeploy, DbrnNetwork

RANDOM_OPERATORS = {"Dropout", "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                    "RandomUniformLike"}  # fmt: skip
SMALL = {
    "settings.network.width": 8, "settings.network.depths": [2, 1], "settings.network.heads": [1, 2],
    "settings.network.window": 4, "settings.network.skip_rates": [0.5], "settings.network.pair_width": 4,
    "settings.network.multipliers": [1, 2], "preprocess.size": [32, 32],
    "preprocess.background": "none", "preprocess.depth_rule": "dbrn", "data.crop": 16, "data.batch": 4,
    "settings.synthesis.lattice": [0, 2],
    "loop.ema": 0.5, "loop.log_every": 2, "loop.picture_every": 0, "loop.threads": 1,
}  # fmt: skip


def run(*words: object) -> Any:
    """Call the rasant command in this process; the JSON of its last line, when it prints some."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    last = (result.stdout.splitlines() or [""])[-1]
    return json.loads(last) if last.startswith("{") else None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of plates: good ones to train and to calibrate on, and good, dented and stained ones to test."""
    test = ["good"] * 3 + ["dent", "stain"]
    splits = {"train": ["good"] * 4, "validation": ["good"] * 4, "test": test}
    return f"dataset:{write_dataset(tmp_path_factory.mktemp('plates'), 'plate', splits)}"


def test_train_export_calibrate_certify_evaluate(tmp_path: Path, data: str) -> None:
    """The commands that serve every method serve this one; two runs on one frame give the same bits."""
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    out, bundle = tmp_path / "run", tmp_path / "plate.rasant"
    run("train", "dbrn", *settings, "--data", data, "--out", out, "--steps", 4, "--precision", "32-true", "--json")
    report = run("export", out, "-o", bundle, "--json")
    assert report["parity_max_abs"] < 1e-4
    run("calibrate", "threshold", bundle, f"{data}?split=validation", "-o", bundle)
    run("certify", bundle, "--engine", "onnxruntime,openvino", "--threads", 1)
    manifest = rasant.read_bundle(bundle).manifest
    assert (manifest.method, len(manifest.certificates)) == ("dbrn", 2)
    assert manifest.decision.threshold is not None
    graph = onnx.load_model_from_string(rasant.read_bundle(bundle).graph()).graph
    assert not {node.op_type for node in graph.node} & RANDOM_OPERATORS
    with rasant.open_source(f"{data}?split=test") as source:
        frame = source.read()
    maps = []
    for _ in range(2):
        with rasant.load(bundle, "onnxruntime", threads=1, max_age_ms=None) as inspector:
            maps += [inspector(frame).anomaly_map.copy() for _ in range(2)]
    assert all(np.array_equal(maps[0], other) for other in maps)
    assert maps[0].std() > 0
    metrics = run("evaluate", bundle, data, "--json", "--threads", 1)
    assert 0 <= metrics["mean"]["i_auroc"] <= 1


def test_a_batch_of_masks_exports_without_chance_and_agrees_with_torch() -> None:
    """Depth alone, two masks, two scales: no random node; engines differ from torch by rounding, and repeat a run."""
    torch.manual_seed(4)
    network = DbrnNetwork(
        width=4, depths=(2, 1, 1), heads=(1, 1, 1), window=4, skip_rates=(0.6, 0.4), scales=2, head="expand",
        pair_width=4, multipliers=(1, 2),
    )  # fmt: skip
    model = Dbrn(network, ("depth",), [(32, 32)], DbrnDeploy("mc:2"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    module, shapes = DbrnExport(model).eval(), {"depth": (1, 1, 32, 32)}
    exported = to_onnx(module, {name: torch.zeros(shape) for name, shape in shapes.items()})
    nodes = onnx.load_model_from_string(exported.model).graph.node
    assert not {node.op_type for node in nodes} & RANDOM_OPERATORS
    golden = make_golden(module, random_inputs(shapes, 2, seed=1))
    scale = float(np.abs(golden.outputs["logits"]).max())
    for name in ("onnxruntime", "openvino"):
        with open_engine(name, exported.model, threads=1) as engine:
            assert compare(engine, golden).max_abs < 1e-4 * max(1.0, scale)
            first = {key: value.copy() for key, value in engine.outputs.items()}
            engine.infer()
            assert all(np.array_equal(first[key], value) for key, value in engine.outputs.items())
