# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md is what its script makes of the stored measurements, and a curve is drawn for what grows."""

from __future__ import annotations

import importlib
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = ("make", "curve", "elsewhere", "limits", "overhead")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/benchmarks/make.py."""
    monkeypatch.syspath_prepend(DOCS / "benchmarks")
    module = importlib.import_module("make")
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.path.remove(str(DOCS / "benchmarks"))
    return module


def test_the_page_shows_the_stored_rows(make: ModuleType) -> None:
    """The page and the curve are what --page writes; each row has every field of the contract."""
    found = json.loads((DOCS / "benchmarks/rows.json").read_text(encoding="utf-8"))
    fields = "op size threads ms peer peer_ms ratio bound_ms bound_ratio".split()
    assert len(found["rows"]) > 50 and all(name in row for row in found["rows"] for name in fields)
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == make.page(found)
    svg = make.curve_svg([make.Curve(**curve) for curve in found["curves"]])
    assert (DOCS / "benchmarks/curve.svg").read_text(encoding="utf-8") == svg and len(svg) < 100_000


def test_the_curve_is_well_formed(make: ModuleType) -> None:
    """A proportional time is parallel to the dashed line; the SVG parses, with a label for each curve."""
    sides = (256, 512, 1024, 2048, 4096)
    copy = tuple(side**2 * 5e-7 * (1 + (side == 4096)) for side in sides)
    curves = [
        make.Curve(name, tuple(k * side**2 * 1e-6 for side in sides), copy) for k, name in ((1, "one"), (9, "nine"))
    ]
    root = ET.fromstring(make.curve_svg(curves))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one", "nine"} <= set(texts)
    assert make.curve_table(curves)[2] == "| one | " + "1.00 / 0.50 | " * 4 + "1.00 / 1.00 | 1.0 / 2.0 |"
