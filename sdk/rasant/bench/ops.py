# SPDX-License-Identifier: Apache-2.0
"""All comparisons of operations, in the order of the pipeline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import cv2

from rasant.bench import peers_depth, peers_engine, peers_metrics, peers_perlin, peers_post
from rasant.bench.case import Case, Row, measure

__all__ = ["all_cases", "engine_row", "rows"]


def all_cases(threads: int = 1) -> list[Case]:
    """Every case; ours uses `threads` threads."""
    return [
        *peers_perlin.cases(threads),
        *peers_depth.cases(threads),
        *peers_post.cases(threads),
        *peers_metrics.cases(),
    ]


def rows(threads: int = 1, *, seconds: float = 1.0, only: str = "") -> Iterator[Row]:
    """Measures the cases whose name holds `only`, one after the other; OpenCV gets as many threads as ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        for case in all_cases(threads):
            if only in case.op:
                yield measure(case, seconds)
        if only in "engine":
            yield engine_row(threads, seconds)
    finally:
        cv2.setNumThreads(before)


def engine_row(threads: int = 1, seconds: float = 1.0) -> Row:
    """Our engine against ONNX Runtime alone: medians, in turns. Its bound is ONNX Runtime's own call."""
    ours, peer = peers_engine.engine_pair(threads=threads)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 20:
        for call, found in zip((ours, peer), times, strict=True):
            begin = time.perf_counter()
            call()
            found.append(1e3 * (time.perf_counter() - begin))
    ms, peer_ms = (statistics.median(found) for found in times)
    target = 1 / peers_engine.TARGET
    ratio = peer_ms / ms
    return Row(
        "engine", "4 convolutions, 64x64", threads, ms, "onnxruntime, bound buffers", peer_ms, ratio, peer_ms,
        ms / peer_ms, target, None, ratio >= target,
    )  # fmt: skip
