# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page from an evaluation: tiles, curves, tables, and a row of pictures for each part."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rasant import metrics
from rasant.evaluate import METRICS, Record
from rasant.report import charts, pictures
from rasant.types import Verdict

__all__ = ["METRIC_NAMES", "heat_top", "render", "write_report"]

METRIC_NAMES = {
    "i_auroc": "I-AUROC",
    "p_auroc": "P-AUROC",
    "aupro_30": "AUPRO@30%",
    "aupro_10": "AUPRO@10%",
    "aupro_05": "AUPRO@5%",
    "aupro_01": "AUPRO@1%",
}
_TEMPLATES = Path(__file__).parent / "templates"
_OUTCOMES = {  # (defective, verdict) -> (rank in the gallery, css class, words)
    (True, Verdict.PASS): (0, "bad", "missed defect"),
    (False, Verdict.REJECT): (1, "warn", "false reject"),
    (True, Verdict.UNKNOWN): (2, "none", "no verdict"),
    (False, Verdict.UNKNOWN): (2, "none", "no verdict"),
    (True, Verdict.REJECT): (3, "ok", "defect caught"),
    (False, Verdict.PASS): (4, "ok", "good part passed"),
}


@dataclass(frozen=True, slots=True)
class _Card:
    """One row of the gallery."""

    title: str
    level: str
    outcome: str
    css: str
    verdict: str
    detail: str
    score: float | None
    share: float  # of the score axis
    mark: float | None  # where the threshold stands on it
    pictures: list[tuple[str, str]]  # caption, data URI


@dataclass(frozen=True, slots=True)
class _Section:
    """One category."""

    name: str
    values: Mapping[str, Any]
    charts: list[tuple[str, str]]
    cards: list[_Card]
    left_out: int
    baseline: Mapping[str, Any] | None = None
    tiles: list[tuple[str, str, str, str]] = field(default_factory=list)  # name, value, note, css


def heat_top(records: Sequence[Record]) -> float:
    """The score at which the colours of a report saturate: twice the threshold, or without one the highest value."""
    peaks = [float(r.inspection.pooled_map.max()) for r in records if r.inspection.pooled_map is not None]
    top = max(peaks, default=1.0)
    thresholds = [r.inspection.threshold for r in records if np.isfinite(r.inspection.threshold)]
    return min(top, 2.0 * float(thresholds[0])) if thresholds else top


def write_report(
    path: str | os.PathLike[str],
    result: Mapping[str, Any],
    records: Sequence[Record],
    thumbnails: Sequence[pictures.Thumbnail],
    *,
    title: str,
    subtitle: str = "",
    facts: Mapping[str, str] | None = None,
    cards_per_category: int = 40,
) -> Path:
    """Write the HTML page of `evaluate_records`' object; returns its path.

    thumbnails: of a `PictureBook`, one for each record. facts: rows of the table of origin at the foot of the page.
    """
    paired = list(zip(records, thumbnails, strict=True))
    baseline = result.get("baseline")
    sections = []
    for name, values in result["categories"].items():
        members = [pair for pair in paired if pair[0].sample.category == name]
        peer = baseline["categories"].get(name) if baseline else None
        sections.append(_section(name, values, members, peer, cards_per_category))
    page = render(
        "page.html.j2",
        title=title,
        subtitle=subtitle,
        facts=facts or {},
        sections=sections,
        mean=result["mean"],
        baseline_mean=baseline["mean"] if baseline else None,
        baseline_name=baseline["name"] if baseline else "",
        metric_names=METRIC_NAMES,
        metrics=METRICS,
        curve=result["aupro_curve"],
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def render(template: str, **fields: Any) -> str:
    """A page from one of the templates beside this file, which extend `base.html.j2` (title, subtitle, facts).

    Filters: `number` and `percent` show None as a dash, `safe_svg` lets a chart through unescaped.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _number
    environment.filters["percent"] = _percent
    environment.filters["safe_svg"] = markupsafe.Markup
    return environment.get_template(template).render(**fields)


def _section(
    name: str,
    values: Mapping[str, Any],
    members: Sequence[tuple[Record, pictures.Thumbnail]],
    baseline: Mapping[str, Any] | None,
    limit: int,
) -> _Section:
    records = [record for record, _ in members]
    ranked = sorted(members, key=lambda pair: _rank(pair[0]))
    top = heat_top(records)
    scores = [r.score for r in records if r.scored]
    thresholds = [r.inspection.threshold for r in records if np.isfinite(r.inspection.threshold)]
    reach = max([*scores, *thresholds[:1], 1e-12])
    cards = [_card(record, thumb, top, reach) for record, thumb in ranked[:limit]]
    return _Section(
        name, values, _charts(values, records), cards, max(0, len(ranked) - limit), baseline, _tiles(values)
    )


def _rank(record: Record) -> tuple[int, float]:
    """Mistakes first; then caught defects and good parts, each from the most to the least certain mistake."""
    rank = _outcome(record)[0]
    score = record.score if record.scored else 0.0
    return rank, score if record.sample.defective else -score


def _outcome(record: Record) -> tuple[int, str, str]:
    if not np.isfinite(record.inspection.threshold):
        return (3, "none", "defective") if record.sample.defective else (4, "none", "good")
    return _OUTCOMES[record.sample.defective, record.inspection.verdict]


def _card(record: Record, thumb: pictures.Thumbnail, top: float, reach: float) -> _Card:
    inspection = record.inspection
    _, css, outcome = _outcome(record)
    shown: list[tuple[str, pictures.Picture | None]] = [("colour", thumb.color), ("depth", thumb.depth)]
    if record.pixel_map is not None:
        shown.append(("anomaly map", pictures.heat(record.pixel_map, thumb, top)))
    shown.append(("overlay", pictures.overlay(inspection, thumb, top)))
    shown.append(("truth", pictures.show_truth(thumb) if record.sample.defective else None))
    threshold = inspection.threshold if np.isfinite(inspection.threshold) else None
    return _Card(
        f"{record.sample.label} {record.sample.name}",
        record.level or "",
        outcome,
        css,
        inspection.verdict.value if threshold is not None else "",
        _detail(record),
        record.score if record.scored else None,
        min(1.0, record.score / reach) if record.scored else 0.0,
        None if threshold is None else min(1.0, threshold / reach),
        [(caption, pictures.data_uri(picture)) for caption, picture in shown if picture is not None],
    )


def _detail(record: Record) -> str:
    """What fired and where, or why there is no verdict."""
    inspection = record.inspection
    if inspection.verdict is Verdict.UNKNOWN:
        return f"{inspection.reason.value}: {inspection.detail}" if np.isfinite(inspection.threshold) else ""
    parts = []
    for region in inspection.regions[:2]:
        where = f"{region.width}×{region.height} px"
        if region.center_m is not None:
            x, y, z = (1000.0 * v for v in region.center_m)
            where += f" at ({x:+.0f}, {y:+.0f}, {z:.0f}) mm"
        parts.append(where + ("" if region.modality == "unknown" else f", seen in {region.modality}"))
    more = len(inspection.regions) - len(parts)
    stood_in = [] if inspection.stood_in is None else [inspection.detail]
    return "; ".join([*stood_in, *parts]) + (f"; and {more} more" if more > 0 else "")


def _charts(values: Mapping[str, Any], records: Sequence[Record]) -> list[tuple[str, str]]:
    scored = [r for r in records if r.scored]
    at = values["at_threshold"]
    good = [r.score for r in scored if not r.sample.defective]
    defect = [r.score for r in scored if r.sample.defective]
    drawn = [("Scores", charts.histogram(good, defect, at["threshold"] if at else None))]
    if values["i_auroc"] is not None:
        operating = None
        if at:
            limit = at["threshold"]
            operating = (float(np.mean([s >= limit for s in good])), float(np.mean([s >= limit for s in defect])))
        labels = [r.sample.defective for r in scored]
        roc = metrics.roc_curve([r.score for r in scored], labels)
        drawn.append(("ROC of parts", charts.roc_chart(roc.x, roc.y, values["i_auroc"], operating)))
    if values["aupro_30"] is not None:
        masked = [(r.pixel_map, r.truth) for r in scored if r.pixel_map is not None and r.truth is not None]
        curve = metrics.pro_curve([pixel_map for pixel_map, _ in masked], [truth for _, truth in masked])
        drawn.append(("Region overlap of pixels", charts.pro_chart(curve.x, curve.y, values["aupro_30"])))
    return [(name, svg) for name, svg in drawn if svg]


def _tiles(values: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The few numbers that a person reads first."""
    tiles: list[tuple[str, str, str, str]] = []
    at = values["at_threshold"]
    if at:
        caught, missed = at["defect"]["reject"] + at["defect"]["unknown"], at["defect"]["pass"]
        stopped = at["good"]["reject"] + at["good"]["unknown"]
        if values["n_defect"]:
            note = f"{missed} passed; escape rate {_span(at['escape']['interval'])}"
            tiles.append(("Defects stopped", f"{caught} / {values['n_defect']}", note, "bad" if missed else "ok"))
        if values["n_good"]:
            note = f"{stopped} stopped; false-reject rate {_span(at['false_reject']['interval'])}"
            passed = values["n_good"] - stopped
            tiles.append(("Good parts passed", f"{passed} / {values['n_good']}", note, "warn" if stopped else "ok"))
    interval = values["i_auroc_interval"]
    note = f"95\u00a0%: {interval[0]:.3f}–{interval[1]:.3f}" if interval else values["reasons"].get("i_auroc", "")
    tiles.append(("I-AUROC", _number(values["i_auroc"]), note, ""))
    for metric, note in (
        ("p_auroc", "every pixel ranked"),
        ("aupro_30", "region overlap"),
        ("aupro_05", "strict limit"),
    ):
        tiles.append((METRIC_NAMES[metric], _number(values[metric]), values["reasons"].get(metric, note), ""))
    return tiles


def _span(interval: Sequence[float] | None) -> str:
    return "unknown" if interval is None else f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f}\u00a0%"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100.0 * value:.0f} %"
