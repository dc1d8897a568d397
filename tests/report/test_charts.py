# SPDX-License-Identifier: Apache-2.0
"""Charts are well-formed SVG that shows the numbers it was given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.report.charts import histogram, latency_chart, pro_chart, roc_chart, stage_bars

SVG = "{http://www.w3.org/2000/svg}"
FLOATS = st.floats(0, 1, allow_nan=False)


def parse(svg: str) -> ElementTree.Element:
    """The chart as a tree; fails on anything that is not well formed."""
    return ElementTree.fromstring(svg)


def inside(svg: str) -> bool:
    """Whether every coordinate lies in the picture."""
    numbers = [float(v) for v in re.findall(r'(?:x1|x2|cx|x)="(-?[\d.]+)"', svg)]
    return all(0 <= v <= 360 for v in numbers)


@settings(max_examples=50, deadline=None)
@given(good=st.lists(FLOATS, max_size=30), defect=st.lists(FLOATS, max_size=30), threshold=st.none() | FLOATS)
def test_any_scores_make_a_chart(good: list[float], defect: list[float], threshold: float | None) -> None:
    """Every part is in exactly one bar, whatever the scores: equal, zero, tiny or none."""
    svg = histogram(good, defect, threshold)
    if not good and not defect:
        assert svg == ""
        return
    parse(svg)
    assert inside(svg)
    counts = [int(n) for n in re.findall(r"<title>(\d+) parts,", svg)]
    assert sum(counts) == len(good) + len(defect)


def test_the_threshold_stands_between_the_groups() -> None:
    """The threshold line lies right of the good bars and left of the defective ones, and is labelled."""
    tree = parse(histogram([0.1, 0.12], [0.8, 0.9], 0.5))
    line = next(e for e in tree.iter("line") if e.get("class") == "threshold")
    bars = {name: [e for e in tree.iter("rect") if e.get("class") == f"bar {name}"] for name in ("good", "defect")}
    at = float(line.get("x1", 0))
    assert max(float(b.get("x", 0)) + float(b.get("width", 0)) for b in bars["good"]) < at
    assert min(float(b.get("x", 0)) for b in bars["defect"]) > at
    assert any("threshold 0.5" in (e.text or "") for e in tree.iter("text"))


def test_scores_over_decades_get_a_logarithmic_axis() -> None:
    """Where most scores crowd near zero the axis is logarithmic and says so."""
    assert "logarithmic" in histogram([1e-4, 2e-4, 3e-4, 5e-4], [0.9], 0.01)
    assert "logarithmic" not in histogram([0.2, 0.3], [0.9], 0.5)


def test_roc_shows_area_and_operating_point() -> None:
    """The area is written, and the operating point lies where its rates are."""
    tree = parse(roc_chart(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), 1.0, (0.0, 1.0)))
    point = next(e for e in tree.iter("circle"))
    assert float(point.get("cx", 0)) == pytest.approx(46)
    assert float(point.get("cy", 0)) == pytest.approx(14)
    assert any(e.text == "area 1.000" for e in tree.iter("text"))


def test_pro_is_cut_at_its_limit() -> None:
    """The curve ends exactly at the limit, by linear interpolation."""
    svg = pro_chart(np.array([0.0, 0.2, 0.4, 1.0]), np.array([0.0, 0.5, 0.7, 1.0]), 0.5, 0.3)
    path = next(e for e in parse(svg).iter("path") if e.get("class") == "line").get("d", "")
    x, y = (float(v) for v in path.split("L")[-1].split())
    assert x == pytest.approx(346)
    assert y == pytest.approx(210 - 0.6 * (210 - 14), abs=0.01)


def test_names_are_escaped() -> None:
    """A hostile axis name cannot leave its text node."""
    assert "<script>" not in histogram([0.1], [0.2], None, "<script>")


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(1e-3, 1e5, allow_nan=False), max_size=40))
def test_any_latencies_make_a_chart(values: list[float]) -> None:
    """Every frame is in exactly one bar, those beyond the reach in the last; nothing is drawn outside."""
    svg = latency_chart(values, (1.0, 100.0), {"p50": 20.0, "p95": 99.0})
    root = parse(svg)
    bars = [title.text or "" for title in root.iterfind(".//rect/title")]
    assert sum(int(text.split()[0]) for text in bars) == len(values) and inside(svg)


def test_stage_bars_are_as_long_as_their_time() -> None:
    """The longest row fills the axis, the others in proportion, stage after stage; no rows make no chart."""
    svg = stage_bars({"a@x": {"preprocess": 1.0, "infer": 8.0, "score": 1.0}, "b<y": {"infer": 5.0}})
    wide = [float(bar.get("width", "0")) for bar in parse(svg).iterfind(".//rect")]
    assert wide == pytest.approx([30, 240, 30, 150], abs=0.02) and inside(svg) and "b&lt;y" in svg
    assert stage_bars({}) == stage_bars({"a": {"infer": 0.0}}) == ""
