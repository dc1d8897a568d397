# SPDX-License-Identifier: Apache-2.0
"""How fast a bundle inspects a source on this machine: latency of each stage, and throughput."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.types import Frame, Inspection, Timings

__all__ = ["bench_bundle", "summary"]

WARM_UP = 3  # frames that are inspected first and not counted


def bench_bundle(
    bundle: Path, source: str, *, frames: int = 100, engine: str = "auto", threads: int = 0
) -> dict[str, Any]:
    """Inspects `frames` frames of a source after a warm-up; a source that ends is read again from memory.

    Frames are read before the clock starts, so the figures are those of the inspector: no camera, no decoding.

    Raises ConfigError for fewer than one frame, SourceError where the source gives none, and what `rasant.load` raises.
    """
    from rasant.inspector import load

    if frames < 1:
        raise ConfigError(f"frames must be at least 1, got {frames}; 100 gives steady percentiles")
    parts = _read(source, min(frames, 32))
    with load(bundle, engine, require_threshold=False, threads=threads, max_age_ms=None) as inspector:
        for i in range(WARM_UP):
            inspector(parts[i % len(parts)])
        inspections = []
        begin = time.perf_counter()
        for i in range(frames):
            inspections.append(inspector(parts[i % len(parts)]))
        seconds = time.perf_counter() - begin
        status = inspector.status
    return {**summary(inspections, seconds), "engine": status.engine, "source": source, "distinct_frames": len(parts)}


def summary(inspections: Sequence[Inspection], seconds: float) -> dict[str, Any]:
    """Percentiles in milliseconds of each stage, frames a second, and what the verdicts were."""
    stages = [field.name for field in fields(Timings) if field.name != "acquire_ms"]
    percentiles = {}
    for stage in stages:
        values = [getattr(inspection.timings, stage) for inspection in inspections]
        p50, p90, p95 = np.percentile(values, [50, 90, 95])
        percentiles[stage.removesuffix("_ms")] = {"p50": float(p50), "p90": float(p90), "p95": float(p95)}
    reasons = Counter(inspection.reason.value for inspection in inspections)
    return {
        "frames": len(inspections),
        "frames_per_second": len(inspections) / seconds,
        "stages_ms": percentiles,
        "reasons": dict(reasons),
    }


def _read(uri: str, count: int) -> list[Frame]:
    from rasant.sensors import open_source

    found: list[Frame] = []
    with open_source(uri) as source:
        while len(found) < count:
            try:
                found.append(source.read())
            except EndOfStream:
                break
            except FrameError:
                continue
    if not found:
        raise SourceError(f"{uri} gave no frame; there is nothing to time")
    return found
