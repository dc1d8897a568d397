# SPDX-License-Identifier: Apache-2.0
"""`rasant certify`: what is measured, what is stored, what is not certified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import rasant
from golden_bundle import rewrite, write_golden_bundle
from labelled import write_dataset
from rasant.bundle.manifest import Decision, Parity
from rasant.cli import app
from rasant.engines import open_engine
from rasant.errors import CertificateError, ConfigError
from rasant.intervals import auroc_change_interval, auroc_interval
from rasant_calibration.certify import certify_engine, rank_correlation
from tiny_bundle import write_tiny_bundle


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `rasant certify`."""
    result = CliRunner().invoke(app, ["certify", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny bundle with two golden frames."""
    return write_golden_bundle(tmp_path / "golden.rasant")


def test_certificates_of_both_engines_stand_in_the_bundle(bundle: Path) -> None:
    """Versions, machine, differences and tolerance; certifying again replaces, and other engines' stay."""
    code, text, error = run(str(bundle), "--engine", "onnxruntime,openvino", "--threads", "1", "--json")
    assert code == 0, error
    answer = json.loads(text)["certificates"]
    stored = rasant.read_bundle(bundle).manifest.certificates
    assert [one.engine for one in stored] == ["onnxruntime", "openvino"]
    assert [one.model_dump(mode="json") for one in stored] == answer
    for one in stored:
        assert one.frames == 2 and one.input_max == 0.0 and one.flips == 0
        assert one.map_max <= one.tolerance.map == 2e-4
        assert one.machine and one.version
    assert run(str(bundle), "--engine", "onnxruntime", "--threads", "1")[0] == 0
    again = rasant.read_bundle(bundle).manifest.certificates
    assert sorted(one.engine for one in again) == ["onnxruntime", "openvino"]


def test_a_data_set_is_compared_frame_by_frame(bundle: Path, tmp_path: Path) -> None:
    """Against a reference whose weights are 1 % off: maps and scores differ, order and verdicts do not."""
    write_dataset(tmp_path, "plate", {"test": ["good"] * 4 + ["dent"] * 3})
    other = rewrite(bundle, tmp_path / "other.rasant", weights=lambda w: w * 1.01, parity=Parity())
    code, text, error = run(
        str(bundle), "--data", f"dataset:{tmp_path}/plate?split=test", "--reference", str(other), "--threads", "1",
        "--json",
    )
    assert code == 0, error
    found = json.loads(text)["certificates"][0]["data"]
    assert found["n"] == 7 and found["n_unknown"] == 0 and found["flips"] == 0
    assert found["reference"] == rasant.read_bundle(other).sha256
    assert 0 < found["score_mean"] <= found["score_max"] < 0.2
    assert 0 < found["map_mean"] <= found["map_max"] < 0.2
    assert found["rank_correlation"] > 0.9
    assert found["i_auroc"] == found["i_auroc_reference"] == 1.0
    assert found["i_auroc_change"] == [0.0, 0.0]


def test_a_wrong_network_is_not_certified(bundle: Path, tmp_path: Path) -> None:
    """The command fails, names the difference, and leaves the file as it was."""
    wrong = rewrite(bundle, tmp_path / "wrong.rasant", weights=lambda w: w * 1.01)
    before = wrong.read_bytes()
    code, _, error = run(str(wrong), "--threads", "1")
    assert code != 0
    assert "E_CERTIFICATE" in error and "differ from the golden ones by 0." in error
    assert wrong.read_bytes() == before


def test_another_verdict_on_a_golden_frame_is_not_certified(bundle: Path, tmp_path: Path) -> None:
    """Within the limit of the map, and yet on the other side of the threshold."""
    packed = rasant.read_bundle(bundle)
    with open_engine("onnxruntime", packed.graph(), threads=1) as engine:
        from rasant.ops.score import score_map

        for name, array in engine.inputs.items():
            array[:] = packed.golden()[name][0]
        engine.infer()
        score = score_map(engine.outputs["logits"][0], kernel=packed.manifest.postprocess.kernel).score
    near = rewrite(
        bundle, tmp_path / "near.rasant", weights=lambda w: w * (1 + 1e-4), decision=Decision(threshold=score, n_good=1)
    )
    packed = rasant.read_bundle(near)
    with (
        open_engine("onnxruntime", packed.graph(), threads=1) as engine,
        pytest.raises(CertificateError, match="another verdict"),
    ):
        certify_engine(packed, engine)


def test_without_golden_frames_there_is_nothing_to_certify(tmp_path: Path) -> None:
    """The message says what to do."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant")
    packed = rasant.read_bundle(plain)
    with open_engine("onnxruntime", packed.graph(), threads=1) as engine, pytest.raises(ConfigError, match="export"):
        certify_engine(packed, engine)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    """Ties included, against scipy; None where one side is constant."""
    a, b = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
    found = rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-9)


def test_the_change_of_an_auroc_is_paired() -> None:
    """Equal scores change nothing at all, while each AUROC alone is uncertain; a shift of good parts is seen."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 0
    scores = random.normal(size=60) + labels
    alone = auroc_interval(scores, labels)
    assert alone is not None and alone[1] - alone[0] > 0.1
    assert auroc_change_interval(scores, scores, labels) == (0.0, 0.0)
    worse = auroc_change_interval(-scores, scores, labels)
    assert worse is not None and worse[0] < worse[1] < 0
    assert auroc_change_interval(scores, scores, np.zeros(60, bool)) is None
