# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate stand-in`: what is lost on labelled parts, as declared, and when it is no longer true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import rasant
from labelled import labelled_frames, write_dataset
from rasant.cli import app
from rasant.errors import ConfigError
from rasant.types import Reason, Verdict
from rasant_calibration.certify import PairedScores
from rasant_calibration.conversion import Evidence, convert_bundle
from rasant_calibration.effect import Effect, Probe
from rasant_calibration.stand_in import declare_loss, labelled
from tiny_bundle import plate_frame, write_tiny_bundle

SPLITS = {"validation": ["good"] * 8, "test": ["good"] * 5 + ["dent"] * 3 + ["stain"] * 2}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of both modalities and of each alone, and labelled plates."""
    root = tmp_path_factory.mktemp("plates")
    write_dataset(root, "plate", SPLITS)
    write_tiny_bundle(root / "both.rasant")
    write_tiny_bundle(root / "colour.rasant", modalities="rgb", size=(48, 48))
    write_tiny_bundle(root / "raw.rasant", modalities="rgb", threshold=None)
    write_tiny_bundle(root / "bracket.rasant", modalities="rgb", category="bracket")
    return root


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `rasant calibrate`."""
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_what_colour_alone_loses_is_declared_and_then_said(plates: Path, tmp_path: Path) -> None:
    """It does not see dents: three of five defects escape, as the command says, the manifest holds and a frame without
    depth is told. The networks' maps need not be of one size. Graph and threshold stay."""
    one, both, out = plates / "colour.rasant", plates / "both.rasant", tmp_path / "out.rasant"
    source = f"dataset:{plates}/plate?split=test"
    code, text, error = run("stand-in", one, both, source, "-o", out, "--threads", 1, "--json")
    assert code == 0, error
    answer = json.loads(text)
    bundle = rasant.read_bundle(out)
    declared = bundle.manifest.stand_in
    assert declared is not None and answer == {
        **declared.model_dump(mode="json"), "source": source, "output": str(out),
    }  # fmt: skip
    assert declared.of == rasant.read_bundle(both).sha256
    assert (declared.n_good, declared.n_defective, declared.n_unknown) == (5, 5, 0)
    assert (declared.escapes, declared.escapes_of) == (3, 0)
    assert (declared.false_rejects, declared.false_rejects_of) == (0, 0)
    low, high = declared.i_auroc_change
    assert declared.i_auroc_of == 1.0 and low <= declared.i_auroc - 1.0 <= high <= 0.0
    before = rasant.read_bundle(one)
    assert dict(bundle.files) == dict(before.files) and bundle.manifest.decision == before.manifest.decision
    with rasant.load(both, stand_in=out) as inspector:
        found = inspector(replace(plate_frame(), depth=None))
    assert (found.verdict, found.stood_in) == (Verdict.PASS, Reason.DEPTH_MISSING)
    assert "of 5 defective parts it passes 3 instead of 0, of 5 good ones it rejects 0 instead of 0" in found.detail


def test_the_text_is_plain(plates: Path, tmp_path: Path) -> None:
    """A person reads what escapes, how sure it is, and what to run next."""
    one, both, out = plates / "colour.rasant", plates / "both.rasant", tmp_path / "out.rasant"
    code, text, error = run("stand-in", one, both, f"dataset:{plates}/plate", "-o", out, "--threads", 1)
    assert code == 0, error
    assert "of 5 defective parts it passes 3 instead of 0" in text and "at 95 %)" in text
    assert "frames without a score: 0" in text and f"rasant inspect {both} SOURCE --stand-in {out}" in text


def test_another_threshold_or_graph_is_another_loss(plates: Path, tmp_path: Path) -> None:
    """`calibrate threshold` and conversions drop the declaration, so that load asks for it again."""
    one, both, out = plates / "colour.rasant", plates / "both.rasant", tmp_path / "out.rasant"
    assert run("stand-in", one, both, f"dataset:{plates}/plate", "-o", out, "--threads", 1)[0] == 0
    again = tmp_path / "again.rasant"
    code, _, error = run("threshold", out, f"dataset:{plates}/plate?split=validation", "-o", again, "--threads", 1)
    assert code == 0, error
    assert rasant.read_bundle(again).manifest.stand_in is None
    with pytest.raises(ConfigError, match=r"rasant calibrate stand-in again\.rasant both\.rasant"):
        rasant.load(both, stand_in=again)
    packed = rasant.read_bundle(out)
    picture = np.zeros((48, 48), np.float32)
    evidence = Evidence([{}], [Probe({}, picture, 0.0)], "0" * 64)
    manifest, _ = convert_bundle(
        packed, packed.graph(), "half.onnx", evidence, method="fp16", effect=Effect(0.0, 0.0, 0.0, 0.0),
        float_nodes=(), float_share=0.0,
    )  # fmt: skip
    assert manifest.stand_in is None


@pytest.mark.parametrize(
    ("one", "both", "source", "code", "words"),
    [
        ("both", "both", "plate", "E_CONFIG", "both.rasant sees colour and depth; train one with --modalities"),
        ("colour", "colour", "plate", "E_CONFIG", "colour.rasant sees colour alone"),
        ("bracket", "both", "plate", "E_CONFIG", "bracket.rasant is for 'bracket' and both.rasant for 'plate'"),
        ("raw", "both", "plate", "E_THRESHOLD", "rasant calibrate threshold raw.rasant"),
        ("colour", "both", "plate?split=validation", "E_CONFIG", "8 good and 0 defective"),
    ],
)
def test_what_proves_nothing_is_refused(
    plates: Path, tmp_path: Path, one: str, both: str, source: str, code: str, words: str
) -> None:
    """Exit code 2, what was wrong, and no file."""
    out = tmp_path / "out.rasant"
    names = [plates / f"{name}.rasant" for name in (one, both)]
    exit_code, _, error = run("stand-in", *names, f"dataset:{plates}/{source}", "-o", out, "--threads", 1, "--json")
    found = json.loads(error.splitlines()[-1])["error"]
    assert (exit_code, found["code"]) == (2, code) and words in found["message"] and not out.exists()


def test_frames_without_a_label_are_refused() -> None:
    """At the first one, with its place."""
    frames = labelled(iter([*labelled_frames(["good"]), plate_frame(index=7)]))
    assert next(frames).index == 0
    with pytest.raises(ConfigError, match="frame 7 of plate has no label"):
        next(frames)


def test_counts_are_those_at_each_ones_own_threshold(plates: Path) -> None:
    """By hand: a score that reaches its threshold is a reject, on either side."""
    found = PairedScores(
        scores=[0.1, 0.4, 0.6, 0.3, 0.4], reference=[0.1, 0.2, 0.3, 0.7, 0.69], sha256="0" * 64, unknown=2,
        defective=[False, False, False, True, True],
    )  # fmt: skip
    loss = declare_loss(found, rasant.read_bundle(plates / "both.rasant"), (0.4, 0.7))
    assert (loss.escapes, loss.false_rejects) == (1, 2)
    assert (loss.escapes_of, loss.false_rejects_of) == (1, 0)
    assert (loss.n_good, loss.n_defective, loss.n_unknown) == (3, 2, 2)
    assert (loss.i_auroc, loss.i_auroc_of) == (pytest.approx(2.5 / 6), 1.0)
    with pytest.raises(rasant.ThresholdError, match="would pass everything: all of 2 defective parts"):
        declare_loss(found, rasant.read_bundle(plates / "both.rasant"), (0.5, 0.7))
