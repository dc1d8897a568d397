# SPDX-License-Identifier: Apache-2.0
"""`rasant evaluate` on real files keeps its contract: one JSON object, tables, and a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelled import write_dataset
from rasant.cli import app
from tiny_bundle import write_tiny_bundle

METRICS = {"i_auroc", "p_auroc", "aupro_30", "aupro_10", "aupro_05", "aupro_01"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of plates with train and test splits."""
    root = tmp_path_factory.mktemp("plates")
    test = ["good"] * 4 + ["dent"] * 2 + ["stain"] * 2
    write_dataset(root, "plate", {"train": ["good"] * 6, "test": test})
    write_dataset(root, "lid", {"train": ["good"] * 3, "test": ["good"] * 2 + ["bump"]}, levels=False)
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny filter, with its threshold."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.rasant")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `rasant evaluate`."""
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_json_contract(bundle: Path, dataset: Path) -> None:
    """One object with categories and mean; every category has the six metrics, groups and counts."""
    code, text, error = run(str(bundle), f"dataset:{dataset}", "--json")
    assert code == 0, error
    result = json.loads(text)
    assert result["categories"].keys() == {"plate", "lid"}
    for entry in result["categories"].values():
        assert METRICS | {"by_defect", "by_level", "n_good", "n_defect", "dropped_components"} <= entry.keys()
    plate = result["categories"]["plate"]
    assert (plate["n_good"], plate["n_defect"], plate["n_unknown"]) == (4, 4, 0)
    assert plate["by_defect"].keys() == {"dent", "stain"}
    assert plate["by_level"].keys() == {"easy", "hard"}
    assert result["categories"]["lid"]["by_level"] == {}
    assert plate["i_auroc"] == 1.0  # the filter was made for these plates
    assert plate["aupro_30"] > 0.8
    assert METRICS <= result["mean"].keys()
    assert result["warnings"] == ["the bundle was trained on 'plate'; foreign to it: lid"]


def test_one_category_can_be_named(bundle: Path, dataset: Path) -> None:
    """PATH/CATEGORY evaluates that category alone, with its levels."""
    code, text, error = run(str(bundle), f"dataset:{dataset}/plate", "--json")
    assert code == 0, error
    result = json.loads(text)
    assert list(result["categories"]) == ["plate"]
    assert result["categories"]["plate"]["by_level"]["hard"]["n"] == 2


def test_report_and_baseline(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    """--report writes the page, --baseline measures the trivial detector in the same run."""
    page = tmp_path / "new" / "report.html"
    options = ("--report", str(page), "--baseline", "train-mean", "--json")
    code, text, error = run(str(bundle), f"dataset:{dataset}", *options)
    assert code == 0, error
    baseline = json.loads(text)["baseline"]
    assert baseline["name"] == "train-mean"
    assert baseline["categories"]["plate"]["i_auroc"] > 0.5
    assert baseline["categories"]["plate"]["at_threshold"] is None
    content = page.read_text(encoding="utf-8")
    assert "plate, train-mean" in content
    assert "tiny.rasant" in content


def test_a_bundle_without_threshold_is_evaluated(dataset: Path, tmp_path: Path) -> None:
    """Metrics need no threshold; the page and the tables do not pretend to have one."""
    plain = write_tiny_bundle(tmp_path / "plain.rasant", threshold=None)
    code, text, error = run(str(plain), f"dataset:{dataset}/plate", "--json", "--report", str(tmp_path / "r.html"))
    assert code == 0, error
    assert json.loads(text)["categories"]["plate"]["at_threshold"] is None
    assert json.loads(text)["categories"]["plate"]["i_auroc"] == 1.0


def test_the_tables_for_a_person(bundle: Path, dataset: Path) -> None:
    """Without --json there are two tables and the warnings."""
    code, text, error = run(str(bundle), f"dataset:{dataset}", "--baseline", "train-mean", "--mvtec-compat")
    assert code == 0, error
    assert "I-AUROC" in text
    assert "train-mean" in text
    assert "foreign to it: lid" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--baseline", "magic"], "train-mean"),
        (["--levels", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_options_are_refused_with_code_2(bundle: Path, dataset: Path, options: list[str], words: str) -> None:
    """An unknown baseline or a missing levels file is named."""
    code, _, error = run(str(bundle), f"dataset:{dataset}/plate", *options)
    assert code == 2
    assert words in error


def test_unlabelled_frames_are_refused(bundle: Path, dataset: Path) -> None:
    """A source without labels cannot be evaluated: exit code 2 and what would work."""
    folder = dataset / "plain"
    if not folder.exists():
        (folder / "color").mkdir(parents=True)
        (folder / "depth").mkdir()
        good = dataset / "plate" / "test" / "good"
        for kind in ("color", "depth"):
            (folder / kind / "000.png").write_bytes((good / kind / "000.png").read_bytes())
        (folder / "camera.json").write_bytes((dataset / "plate" / "camera.json").read_bytes())
    code, _, error = run(str(bundle), f"folder:{folder}", "--json")
    assert code == 2
    assert "has no label" in error


def test_training_parts_flatter(bundle: Path, dataset: Path) -> None:
    """Evaluating on the train split warns that the figures flatter."""
    code, text, error = run(str(bundle), f"dataset:{dataset}/plate?split=all", "--json")
    assert code == 0, error
    assert any("train split" in warning for warning in json.loads(text)["warnings"])
