# SPDX-License-Identifier: Apache-2.0
"""The certificate of an engine: what it makes of the golden frames and of a data set, beside the reference.

On golden frames the reference is the network as it was trained; on a data set it is the float bundle, or the same
bundle, in ONNX Runtime.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

import rasant
from rasant import metrics
from rasant.bundle.conversion_schema import DataSetResult, Tolerance
from rasant.bundle.manifest import Certificate
from rasant.certificate import FLOORS, INPUT_LIMIT, LIMITS, measure_agreement, refusal
from rasant.engines import Engine
from rasant.intervals import auroc_change_interval
from rasant_calibration.good_parts import hash_pixels

__all__ = ["Comparison", "PairedScores", "certify_engine", "compare_on", "rank_correlation"]

MARGIN = 2.0  # a target may differ by so many times what was measured here

Inspect = Callable[[rasant.Frame], rasant.Inspection]
Pairs = TypeVar("Pairs", bound="PairedScores")


def certify_engine(bundle: rasant.Bundle, engine: Engine, data: DataSetResult | None = None) -> Certificate:
    """Measure an open engine on the bundle's golden frames.

    Raises CertificateError where it differs by more than the limit of the graph's precision, or gives another verdict
    on a golden frame; ConfigError for a bundle without golden frames.
    """
    found = measure_agreement(bundle, engine)
    if found is None:
        raise rasant.ConfigError("the bundle has no golden frames to certify with; export it again")
    precision = bundle.manifest.detector.precision
    text = refusal(found, INPUT_LIMIT, LIMITS[precision])
    if not text and found.flips:
        text = f"{found.flips} of {found.frames} golden frames get another verdict than from the reference"
    if text:
        raise rasant.CertificateError(f"{engine.info} is not certified: {text}")
    return Certificate(
        engine=engine.info.name, version=engine.info.version, provider=engine.info.provider,
        device=engine.info.device.partition(":")[0], precision=precision, machine=machine(),
        created=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0), frames=found.frames,
        input_max=found.input_max, map_max=found.map_max, map_mean=found.map_mean, score_max=found.score_max,
        float_map_max=found.float_map_max, flips=found.flips,
        tolerance=Tolerance(input=INPUT_LIMIT, map=max(FLOORS[precision], MARGIN * found.map_max)), data=data,
    )  # fmt: skip


@dataclass
class PairedScores:
    """Scores of two inspectors on the same frames, frame by frame."""

    scores: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    defective: list[bool | None] = field(default_factory=list)  # None: not labelled
    unknown: int = 0
    sha256: str = ""

    def add(self, frame: rasant.Frame, ours: rasant.Inspection, theirs: rasant.Inspection) -> None:
        """Count one frame; without a score in both it is unknown."""
        if ours.anomaly_map is None or theirs.anomaly_map is None:
            self.unknown += 1
            return
        self.scores.append(float(ours.score))
        self.reference.append(float(theirs.score))
        self.defective.append(None if frame.sample is None else frame.sample.defective)


@dataclass
class Comparison(PairedScores):
    """Scores and maps of two inspectors with one size of map and one threshold."""

    flips: int = 0
    map_max: float = 0.0
    map_sum: float = 0.0

    def add(self, frame: rasant.Frame, ours: rasant.Inspection, theirs: rasant.Inspection) -> None:
        """Count one frame; without a score in both it is unknown."""
        super().add(frame, ours, theirs)
        if ours.anomaly_map is None or theirs.anomaly_map is None:
            return
        difference = np.abs(ours.anomaly_map - theirs.anomaly_map)
        self.map_max = max(self.map_max, float(difference.max()))
        self.map_sum += float(difference.mean())
        self.flips += (ours.score >= ours.threshold) != (theirs.score >= ours.threshold)

    def result(self, source: str, reference: rasant.Bundle, *, with_threshold: bool, seed: int = 0) -> DataSetResult:
        """The figures of a certificate. Raises ConfigError where no frame had a score."""
        if not self.scores:
            raise rasant.ConfigError(f"{source} gave no frame with a score; there is nothing to compare")
        scores, others = np.array(self.scores), np.array(self.reference)
        labelled = None not in self.defective
        labels = np.array(self.defective, np.bool_) if labelled else np.zeros(0, np.bool_)
        areas = [_auroc(values, labels) if labelled else None for values in (scores, others)]
        return DataSetResult(
            source=source, data_sha256=self.sha256, reference=reference.sha256, n=len(scores), n_unknown=self.unknown,
            map_max=self.map_max, map_mean=self.map_sum / len(scores), score_max=float(np.abs(scores - others).max()),
            score_mean=float(np.abs(scores - others).mean()), rank_correlation=rank_correlation(scores, others),
            flips=self.flips if with_threshold else None, i_auroc=areas[0], i_auroc_reference=areas[1],
            i_auroc_change=auroc_change_interval(scores, others, labels, seed=seed) if labelled else None,
        )  # fmt: skip


def compare_on(frames: Iterable[rasant.Frame], ours: Inspect, theirs: Inspect, found: Pairs) -> Pairs:
    """Inspect every frame with both, and add what comes out to `found`, which is empty before."""
    digest = hashlib.sha256()
    for frame in frames:
        hash_pixels(digest, frame)
        found.add(frame, ours(frame), theirs(frame))
    found.sha256 = digest.hexdigest()
    return found


def rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation with mean ranks for ties; None where one of them is constant."""
    ranks = []
    for values in (a, b):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        rank = (np.cumsum(counts) - 0.5 * (counts - 1))[place]
        ranks.append(rank - rank.mean())
    norm = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return None if norm == 0.0 else float(np.clip((ranks[0] * ranks[1]).sum() / norm, -1.0, 1.0))


def machine() -> str:
    """What kind of machine this is, without its name."""
    model = platform.machine()
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else model}, {os.cpu_count()} cores, {platform.system()} {model}"


def _auroc(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float | None:
    found = metrics.image_auroc(scores.tolist(), labels)
    return None if found.reason else float(found)
