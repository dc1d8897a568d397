# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks/methods.py: how results of several methods are put beside each other, and what a size is."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

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
