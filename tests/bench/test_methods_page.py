# SPDX-License-Identifier: Apache-2.0
"""docs/methods.md is what its script makes of the stored results, and every figure on it can be traced."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rasant.bundle import read_bundle

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/benchmarks/methods.py."""
    monkeypatch.syspath_prepend(DOCS / "benchmarks")
    module = importlib.import_module("methods")
    for name in ("methods", "networks", "int8_accuracy"):
        sys.modules.pop(name, None)
    return module


@pytest.fixture
def found() -> dict[str, Any]:
    """docs/benchmarks/methods.json."""
    stored: dict[str, Any] = json.loads((DOCS / "benchmarks/methods.json").read_text(encoding="utf-8"))
    return stored


def test_the_page_shows_the_stored_results(methods: ModuleType, found: dict[str, Any]) -> None:
    """The page is what the script writes without measuring, and has every row, measured or published."""
    published = json.loads((DOCS / "benchmarks/published.json").read_text(encoding="utf-8"))
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert page == methods.page(found, published)
    for row in found["rows"]:
        assert f"| {methods.label(row)} | {methods.interval(row['found'])} |" in page
    assert all(row["i_auroc"] in page for row in published)


def test_the_readmes_show_the_stored_results(methods: ModuleType, found: dict[str, Any]) -> None:
    """The README of each method has its rows, each with a figure, as the script writes them."""
    for name in methods.NAMES:
        text = (methods.READMES / name / "README.md").read_text(encoding="utf-8")
        rows = [row for row in found["rows"] if row["method"] == name]
        assert rows and text == methods.readme(text, rows)
        cells = [(methods.label(row), f"`{row['category']}`", f"{row['found']['i_auroc']:.3f} (") for row in rows]
        assert all("| " + " | ".join(three) in text for three in cells)


def test_every_result_says_what_made_it(found: dict[str, Any]) -> None:
    """Each row has its bundle's hash, its seed, its steps and its budget, and every test part is accounted for."""
    for row in found["rows"]:
        assert len(row["sha256"]) == 64 and row["steps"] > 0
        assert row["note"] or (row["loop"]["minutes"], row["loop"]["threads"], row["seed"]) == (60.0, 1, 1)
        of = row["found"]
        assert (of["n_good"], of["n_defect"], of["n_unknown"]) == (14, 25, 0)
        low, high = of["i_auroc_interval"]
        assert low <= of["i_auroc"] <= high


def test_means_are_over_categories_that_all_share(methods: ModuleType) -> None:
    """A method that lacks a category is not in the table of means; the best stands first."""
    rows = [
        {
            "method": method, "preset": "edge", "modalities": "rgbd", "precision": "fp32", "category": category,
            "found": {"i_auroc": value, "aupro_30": value / 2},
        }
        for method, category, value in [
            ("dbrn", "a", 0.5), ("dbrn", "b", 0.7), ("das3d", "a", 0.8), ("das3d", "b", 0.9), ("draem", "a", 1.0)
        ]
    ]  # fmt: skip
    lines = methods.means_text(rows).splitlines()[2:]
    assert lines == ["| DAS3D | 0.800 | 0.900 | 0.850 | 0.425 |", "| DBRN | 0.500 | 0.700 | 0.600 | 0.300 |"]


def test_a_size_is_that_of_the_trained_network(methods: ModuleType) -> None:
    """Parameters and work of the committed bundle are those that its preset has."""
    found = methods.size(read_bundle(DOCS.parent / "examples/casting.rasant"))
    assert found["parameters"] == pytest.approx(2.60e6, rel=0.01) and found["gflop"] == pytest.approx(7.23, rel=0.01)
