# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate threshold` on real files: what is printed, what is stored, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rasant
from labelled import write_dataset
from rasant.cli import app
from tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 good plates to calibrate with, 10 that trained the detector, and some defects."""
    root = tmp_path_factory.mktemp("plates")
    splits = {"train": ["good"] * 10, "validation": ["good"] * 70, "test": ["good"] * 3 + ["dent"] * 3 + ["stain"] * 2}
    write_dataset(root, "plate", splits)
    return root


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def calibrated(tmp_path: Path, source: str, *options: str, **bundle: object) -> tuple[dict[str, object], Path]:
    """The JSON object and the written bundle."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", threshold=None, **bundle)
    out = tmp_path / "station.rasant"
    code, text, error = run("calibrate", "threshold", str(plain), source, "-o", str(out), "--json", *options)
    assert code == 0, error
    return json.loads(text), out


def test_the_decision_is_stored_with_its_evidence(tmp_path: Path, dataset: Path) -> None:
    """Threshold, rule, target, counts, bound and data hash stand in the manifest; the graph stays the same file."""
    answer, out = calibrated(tmp_path, f"dataset:{dataset}/plate?split=validation")
    bundle = rasant.read_bundle(out)
    decision = bundle.manifest.decision
    assert decision.threshold == answer["threshold"]
    assert (decision.rule, decision.target_false_reject, decision.n_good) == ("conformal", 0.05, 70)
    assert decision.data_sha256 == answer["data_sha256"]
    assert decision.false_reject_bound is not None
    assert decision.false_reject_bound.low <= 0.05 <= decision.false_reject_bound.high
    before = rasant.read_bundle(tmp_path / "plain.rasant")
    assert dict(bundle.files) == dict(before.files)
    assert before.manifest.decision.threshold is None


def test_the_calibrated_bundle_decides(tmp_path: Path, dataset: Path) -> None:
    """With the threshold in place defects are rejected and most good plates pass; without it load refuses."""
    _, out = calibrated(tmp_path, f"dataset:{dataset}/plate?split=validation")
    with pytest.raises(rasant.ThresholdError, match="calibrate threshold"):
        rasant.load(tmp_path / "plain.rasant")
    with rasant.load(out) as inspector, rasant.open_source(f"dataset:{dataset}/plate") as source:
        verdicts = {frame.name: inspector(frame).verdict for frame in source}
    rejected = [name for name, verdict in verdicts.items() if verdict is rasant.Verdict.REJECT]
    assert sum("dent" in name or "stain" in name for name in rejected) == 5
    assert sum("good" in name for name in rejected) <= 1


def test_few_parts_warn_with_the_bound(tmp_path: Path, dataset: Path) -> None:
    """Ten parts are too few for 5 %: the margin rule, and a warning with what ten parts allow."""
    answer, _ = calibrated(tmp_path, f"dataset:{dataset}/plate?split=train")
    assert answer["rule"] == "max_margin"
    warnings = answer["warnings"]
    assert isinstance(warnings, list)
    assert any("30.8 %" in text and "needs 60 parts" in text for text in warnings)
    assert any("trained the detector" in text for text in warnings)


def test_defects_in_the_source_are_ignored(tmp_path: Path, dataset: Path) -> None:
    """Frames labelled as defective never touch the threshold; they are counted in a warning."""
    answer, _ = calibrated(tmp_path, f"dataset:{dataset}/plate?split=test")
    assert (answer["n_good"], answer["n_ignored"]) == (3, 5)
    assert isinstance(answer["scores"], dict)
    assert all("good" in name for name in answer["scores"])


def test_the_same_parts_give_the_same_bytes(tmp_path: Path, dataset: Path) -> None:
    """Calibration is deterministic, down to the bundle's bytes; it may also replace the bundle it read."""
    source = f"dataset:{dataset}/plate?split=validation"
    _, first = calibrated(tmp_path, source)
    content = first.read_bytes()
    code, _, error = run("calibrate", "threshold", str(first), source, "-o", str(first))
    assert code == 0, error
    assert first.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--margin", "1.0"], "would pass everything"),
        (["--false-reject", "0"], "false_reject must"),
        (["--confidence", "1"], "confidence must"),
    ],
)
def test_what_makes_no_sense_is_refused_with_code_2(
    tmp_path: Path, dataset: Path, options: Sequence[str], words: str
) -> None:
    """C3 and wrong rates: exit code 2, a sentence, and no bundle written."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", threshold=None)
    out = tmp_path / "out.rasant"
    code, _, error = run(
        "calibrate", "threshold", str(plain), f"dataset:{dataset}/plate?split=train", "-o", str(out), *options
    )
    assert code == 2
    assert words in error
    assert not out.exists()


def test_a_source_of_defects_alone_has_no_threshold(tmp_path: Path, dataset: Path) -> None:
    """Zero good parts: ThresholdError, exit code 2 (C4)."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", threshold=None)
    source = f"dataset:{dataset}/plate?split=test&label=dent"
    code, _, error = run("calibrate", "threshold", str(plain), source, "-o", str(tmp_path / "out.rasant"))
    assert code == 2
    assert "no good part got a score" in error


def test_parts_without_a_verdict_are_listed(tmp_path: Path, dataset: Path) -> None:
    """Where the limits refuse every part, the answer is not a threshold but the reason."""
    from rasant.bundle.manifest import Validity

    plain = write_tiny_bundle(
        tmp_path / "plain.rasant", threshold=None, validity=Validity(min_valid_depth=0.999, max_age_ms=None)
    )
    source = f"dataset:{dataset}/plate?split=train"
    code, _, error = run("calibrate", "threshold", str(plain), source, "-o", str(tmp_path / "out.rasant"))
    assert code == 2
    assert "10 are UNKNOWN" in error


def test_the_text_form_says_what_matters(tmp_path: Path, dataset: Path) -> None:
    """Without --json a person reads threshold, rule, rate and where the bundle went."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", threshold=None)
    source = f"dataset:{dataset}/plate?split=validation"
    code, text, error = run("calibrate", "threshold", str(plain), source, "-o", str(tmp_path / "out.rasant"))
    assert code == 0, error
    assert "rule conformal" in text
    assert "target 5 %" in text
    assert "out.rasant" in text
