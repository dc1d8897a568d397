# SPDX-License-Identifier: Apache-2.0
"""Measures what a conversion costs in accuracy, on labelled parts that neither training nor conversion saw.

    python docs/benchmarks/int8_accuracy.py --data "dataset:relief/{}?split=test" edge/casting=a.rasant:a-int8.rasant

Each argument names a preset and a category, the float bundle and the converted one. Float runs in ONNX Runtime, the
converted bundle in every engine that is installed. Adds to docs/benchmarks/int8_accuracy.json, which
`docs/benchmarks/networks.py --page` makes a table of.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import rasant
from rasant.bench.peers_engine import RAW
from rasant.engines import probe_engines
from rasant.intervals import auroc_change_interval, mean_auroc_change_interval
from rasant.metrics import image_auroc
from rasant_calibration.certify import Comparison, compare_on, rank_correlation

FOUND = Path(__file__).resolve().parent / "int8_accuracy.json"
HEAD = (
    "| network | category | engine | score difference, mean (largest) | rank correlation | I-AUROC fp32 | INT8 "
    "| change, points (95 %) |\n|---|---|---|---|---|---|---|---|"
)


def compare(reference: Path, converted: Path, engine: str, data: str) -> Comparison:
    """Both bundles on the same frames."""
    common: Any = {"require_threshold": False, "max_age_ms": None, "deadline_ms": None}
    with (
        rasant.load(converted, engine, **common) as ours,
        rasant.load(reference, "onnxruntime", **common) as theirs,
        rasant.open_source(data) as frames,
    ):
        return compare_on(frames, ours, theirs, Comparison())


def measure(pairs: Sequence[str], data: str) -> Iterator[dict[str, Any]]:
    """One row for each pair and engine, with the scores that the intervals are drawn from."""
    engines = sorted(name for name, probe in probe_engines().items() if probe.available and name in RAW)
    for pair in pairs:
        name, _, paths = pair.partition("=")
        preset, _, category = name.partition("/")
        reference, _, converted = paths.partition(":")
        for engine in engines:
            found = compare(Path(reference), Path(converted), engine, data.format(category))
            row = {
                "preset": preset, "category": category, "engine": engine, "unknown": found.unknown,
                "scores": found.scores, "reference": found.reference, "defective": found.defective,
                "sha256": rasant.read_bundle(converted).sha256,
            }  # fmt: skip
            print(line(row), flush=True)
            yield row


def line(row: dict[str, Any]) -> str:
    """A row of the table for one category."""
    labels, ours, theirs = row["defective"], row["scores"], row["reference"]
    differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    areas = [float(image_auroc(scores, labels)) for scores in (theirs, ours)]
    correlation = rank_correlation(np.array(ours), np.array(theirs))
    bounds = auroc_change_interval(ours, theirs, labels)
    assert bounds is not None, "test frames must hold good and defective parts"
    return (
        f"| {row['preset']} | {row['category']} | {row['engine']} | {sum(differences) / len(differences):.4f} "
        f"({max(differences):.4f}) | {correlation:.3f} | {areas[0]:.3f} | {areas[1]:.3f} | "
        f"{change(areas[1] - areas[0], *bounds)} |"
    )


def mean_line(rows: Sequence[dict[str, Any]]) -> str:
    """The mean over the categories of one preset in one engine."""
    areas = [[float(image_auroc(row[key], row["defective"])) for row in rows] for key in ("reference", "scores")]
    means = [sum(values) / len(values) for values in areas]
    bounds = mean_auroc_change_interval([(row["scores"], row["reference"], row["defective"]) for row in rows])
    assert bounds is not None
    name = f"**{rows[0]['preset']}** | **mean of {len(rows)}** | {rows[0]['engine']}"
    cost = change(means[1] - means[0], *bounds)
    return f"| {name} | | | {means[0]:.3f} | {means[1]:.3f} | **{cost}** |"


def change(value: float, low: float, high: float) -> str:
    """In points of I-AUROC."""
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows, and under each preset and engine the mean over its categories."""
    lines = [HEAD]
    for kind in dict.fromkeys((row["preset"], row["engine"]) for row in rows):
        group = [row for row in rows if (row["preset"], row["engine"]) == kind]
        lines += [*map(line, group), mean_line(group)]
    return "\n".join(lines)


def main() -> None:
    """Measure the pairs named, and put them in the place of older rows of the same preset and category."""
    parser = argparse.ArgumentParser(description="What a conversion costs in accuracy.")
    parser.add_argument("pairs", nargs="+", metavar="PRESET/CATEGORY=FLOAT:CONVERTED")
    parser.add_argument("--data", required=True, help="URI of the test frames, with {} for the category")
    options = parser.parse_args()
    rows = list(measure(options.pairs, options.data))
    measured = {(row["preset"], row["category"]) for row in rows}
    old = json.loads(FOUND.read_text(encoding="utf-8"))["rows"] if FOUND.exists() else []
    kept = [row for row in old if (row["preset"], row["category"]) not in measured]
    FOUND.write_text(json.dumps({"date": date.today().isoformat(), "rows": [*kept, *rows]}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
