# SPDX-License-Identifier: Apache-2.0
"""How well a bundle finds the defects of a labelled source: inspect every frame, then the field's metrics over them.

Pixel metrics are taken at network resolution, on the map that the manifest names (`pixel_map`: raw or pooled), against
the truth resized to it by nearest neighbour. A frame without a score (UNKNOWN before the network ran) cannot be ranked:
it is listed and left out. What is undefined is None, with a sentence in `reasons`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant import metrics
from rasant.errors import ConfigError
from rasant.intervals import auroc_interval, clopper_pearson
from rasant.metrics import ResizedTruth, resize_truth
from rasant.types import Frame, Inspection, Sample, Verdict

__all__ = ["LIMITS", "METRICS", "Record", "evaluate_records", "inspect_source", "map_truth", "with_levels"]

LIMITS = {"aupro_30": 0.3, "aupro_10": 0.1, "aupro_05": 0.05, "aupro_01": 0.01}
METRICS = ("i_auroc", "p_auroc", *LIMITS)

FloatMap = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Record:
    """One inspected part: what the metrics need of it.

    pixel_map: (h, w) float32 that the pixel metrics rank, or None without a verdict from the network.
    truth: (h, w) bool at the same resolution, or None where the source has no mask of a defective part.
    components, dropped: 8-connected parts of the truth in frame pixels, and those that vanish at network resolution.
    """

    sample: Sample
    inspection: Inspection
    pixel_map: FloatMap | None
    truth: Mask | None
    components: int = 0
    dropped: int = 0
    seconds: float = 0.0  # read and inspect
    level: str | None = None  # difficulty, where the data set states one

    @property
    def score(self) -> float:
        """Raw score; NaN where there is none."""
        return self.inspection.score

    @property
    def scored(self) -> bool:
        """True when the part can be ranked."""
        return self.pixel_map is not None and bool(np.isfinite(self.inspection.score))

    @property
    def identity(self) -> str:
        """split/label/name, as in a data set's meta.json."""
        return f"{self.sample.split}/{self.sample.label}/{self.sample.name}"


def inspect_source(
    inspector: Callable[[Frame], Inspection],
    frames: Iterable[Frame],
    *,
    pixel_map: str = "raw",
    observer: Callable[[Frame, Record], None] | None = None,
) -> list[Record]:
    """Inspect every frame of a labelled source; returns one record each.

    pixel_map: "raw" or "pooled", as in the manifest. observer: called with each frame and its record, for pictures.
    Raises ConfigError for a frame without a label.
    """
    records: list[Record] = []
    start = time.perf_counter()
    for frame in frames:
        if frame.sample is None:
            raise ConfigError(
                f"frame {frame.index} of {frame.source} has no label; evaluate a labelled source such as dataset:PATH, "
                "mvtec3d:PATH, or a recording of one"
            )
        inspection = inspector(frame)
        seconds = time.perf_counter() - start
        record = _record(frame.sample, inspection, pixel_map, seconds)
        if observer is not None:
            observer(frame, record)
        records.append(record)
        start = time.perf_counter()
    return records


def _record(sample: Sample, inspection: Inspection, pixel_map: str, seconds: float) -> Record:
    chosen = inspection.pooled_map if pixel_map == "pooled" else inspection.anomaly_map
    slim = replace(sample, truth=None)
    if chosen is None:
        return Record(slim, inspection, None, None, seconds=seconds)
    if sample.truth is not None:
        truth = map_truth(sample.truth, inspection.frame_from_map, chosen.shape)
        return Record(slim, inspection, chosen, *truth, seconds)
    truth_of_good = None if sample.defective else np.zeros(chosen.shape, np.bool_)
    return Record(slim, inspection, chosen, truth_of_good, seconds=seconds)


def map_truth(truth: Mask, frame_from_map: npt.NDArray[np.float64], size: tuple[int, ...]) -> ResizedTruth:
    """Truth (H, W) of a frame at the (h, w) resolution of its map, which may show a region of interest only.

    `components` counts the whole frame; `dropped` those that left no pixel in the map, for their size or their place.
    """
    rows, cols = size
    step_x, step_y = frame_from_map[0, 0], frame_from_map[1, 1]
    x, y = round(frame_from_map[0, 2] - 0.5 * step_x + 0.5), round(frame_from_map[1, 2] - 0.5 * step_y + 0.5)
    region = truth[y : y + round(step_y * rows), x : x + round(step_x * cols)]
    resized = resize_truth(region, (rows, cols))
    if region.shape == truth.shape:
        return resized
    components = resize_truth(truth, (truth.shape[0], truth.shape[1])).components
    kept = resized.components - resized.dropped
    return ResizedTruth(resized.mask, components, max(0, components - kept))


def evaluate_records(records: Sequence[Record], *, mvtec_compat: bool = False, seed: int = 0) -> dict[str, Any]:
    """The JSON object of `rasant evaluate`: `categories{name: {...}}` and `mean`. None, with a reason, where undefined.

    mvtec_compat: AUPRO from the official 100-threshold curve instead of the exact one.
    """
    names = list(dict.fromkeys(r.sample.category for r in records))
    categories = {
        name: _category([r for r in records if r.sample.category == name], mvtec_compat, seed) for name in names
    }
    mean: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for metric in METRICS:
        values = [entry[metric] for entry in categories.values() if entry[metric] is not None]
        mean[metric] = float(np.mean(values)) if values else None
        if len(values) < len(names):
            reasons[metric] = f"undefined for {len(names) - len(values)} of {len(names)} categories, which are left out"
        elif not names:
            reasons[metric] = "the source gave no frame"
    mean["n_categories"] = len(names)
    mean["reasons"] = reasons
    return {"categories": categories, "mean": mean, "aupro_curve": "100 thresholds" if mvtec_compat else "exact"}


def _category(records: Sequence[Record], mvtec_compat: bool, seed: int) -> dict[str, Any]:
    scored = [r for r in records if r.scored]
    good = [r for r in scored if not r.sample.defective]
    values, reasons = _metrics(scored, METRICS, mvtec_compat)
    interval = auroc_interval([r.score for r in scored], [r.sample.defective for r in scored], seed=seed)
    defect = [r for r in records if r.sample.defective]
    types = sorted({r.sample.label for r in defect})
    levels = _ordered({r.level for r in defect if r.level is not None})
    unknown = [r for r in records if not r.scored]
    return {
        **values,
        "i_auroc_interval": list(interval) if interval else None,
        "by_defect": {t: _group(good, [r for r in defect if r.sample.label == t], mvtec_compat) for t in types},
        "by_level": {v: _group(good, [r for r in defect if r.level == v], mvtec_compat) for v in levels},
        "n_good": len(records) - len(defect),
        "n_defect": len(defect),
        "n_unknown": len(unknown),
        "unknown": [
            {"id": r.identity, "reason": r.inspection.reason.value, "detail": r.inspection.detail} for r in unknown
        ],
        "components": sum(r.components for r in scored),
        "dropped_components": sum(r.dropped for r in scored),
        "at_threshold": _at_threshold(records),
        "reasons": reasons,
        "warnings": _warnings(records, unknown),
    }


def _ordered(levels: Iterable[str]) -> list[str]:
    """Levels from easy to hard, other names after them in alphabetical order."""
    known = ("easy", "medium", "hard")
    return sorted(levels, key=lambda v: (known.index(v) if v in known else len(known), v))


def _group(good: Sequence[Record], members: Sequence[Record], mvtec_compat: bool) -> dict[str, Any]:
    """Defective parts of one type or level against all good parts."""
    values, reasons = _metrics([*good, *(r for r in members if r.scored)], ("i_auroc", "aupro_30"), mvtec_compat)
    rejected = sum(r.inspection.verdict is Verdict.REJECT for r in members)
    entry: dict[str, Any] = {**values, "n": len(members), "n_rejected": rejected}
    return {**entry, "reasons": reasons} if reasons else entry


def _metrics(
    scored: Sequence[Record], wanted: Sequence[str], mvtec_compat: bool
) -> tuple[dict[str, float | None], dict[str, str]]:
    """The wanted metrics over records that have a score; None and a reason where one is undefined."""
    scores, labels = [r.score for r in scored], np.array([r.sample.defective for r in scored], np.bool_)
    masked = [(r.pixel_map, r.truth) for r in scored if r.pixel_map is not None and r.truth is not None]
    pixels = metrics.pixel_metrics(
        [pixel_map for pixel_map, _ in masked],
        [truth for _, truth in masked],
        tuple(LIMITS.values()),
        mvtec_compat=mvtec_compat,
    )
    found = {"i_auroc": metrics.image_auroc(scores, labels), "p_auroc": pixels.auroc}
    found.update({name: pixels.aupro[limit] for name, limit in LIMITS.items()})
    values = {name: None if found[name].reason else float(found[name]) for name in wanted}
    return values, {name: metrics.REASONS[found[name].reason] for name in wanted if found[name].reason}


def _at_threshold(records: Sequence[Record]) -> dict[str, Any] | None:
    """Verdict counts and the two error rates with 95 % intervals; None for a bundle without a threshold."""
    thresholds = [r.inspection.threshold for r in records if np.isfinite(r.inspection.threshold)]
    if not thresholds:
        return None
    counts = Counter((r.sample.defective, r.inspection.verdict) for r in records)
    good, defect = ({v.value.lower(): counts[side, v] for v in Verdict} for side in (False, True))
    return {
        "threshold": float(thresholds[0]),
        "good": good,
        "defect": defect,
        "false_reject": _rate(good["reject"] + good["unknown"], sum(good.values())),
        "escape": _rate(defect["pass"], sum(defect.values())),
    }


def _rate(hits: int, trials: int) -> dict[str, Any]:
    if not trials:
        return {"rate": None, "interval": None}
    return {"rate": hits / trials, "interval": list(clopper_pearson(hits, trials))}


def _warnings(records: Sequence[Record], unknown: Sequence[Record]) -> list[str]:
    found: list[str] = []
    if unknown:
        causes = Counter(r.inspection.reason.value for r in unknown)
        listed = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
        found.append(f"{len(unknown)} of {len(records)} parts have no score and are left out of the ranking: {listed}")
    blind = sum(r.scored and r.truth is None for r in records)
    if blind:
        found.append(f"{blind} defective parts have no truth mask and are left out of the pixel metrics")
    dropped = sum(r.dropped for r in records)
    if dropped:
        found.append(f"{dropped} truth components have no pixel left at network resolution and count nowhere")
    return found


def with_levels(records: Sequence[Record], levels: Mapping[str, Mapping[str, str]]) -> list[Record]:
    """Records with their difficulty, from {category: {split/label/name: level}}."""
    return [replace(r, level=levels.get(r.sample.category, {}).get(r.identity)) for r in records]
