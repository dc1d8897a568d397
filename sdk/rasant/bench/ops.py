# SPDX-License-Identifier: Apache-2.0
"""All operations of the benchmark, in the order of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from rasant.bench import (
    peers_align,
    peers_background,
    peers_defect,
    peers_depth,
    peers_engine,
    peers_metrics,
    peers_overlay,
    peers_perlin,
    peers_points,
    peers_post,
    peers_structured_light,
)
from rasant.bench.case import Operation, Row, measure, size_text

__all__ = ["OPERATIONS", "rows"]

# One line for each module of peers; each brings its own table.
OPERATIONS: tuple[Operation, ...] = (
    *peers_perlin.OPERATIONS,
    *peers_align.OPERATIONS,
    *peers_depth.OPERATIONS,
    *peers_background.OPERATIONS,
    *peers_post.OPERATIONS,
    *peers_overlay.OPERATIONS,
    *peers_metrics.OPERATIONS,
    *peers_engine.OPERATIONS,
    *peers_defect.OPERATIONS,
    *peers_points.OPERATIONS,
    *peers_structured_light.OPERATIONS,
)


def rows(threads: int = 1, *, seconds: float = 1.0, only: str = "", sizes: tuple[str, ...] = ()) -> Iterator[Row]:
    """Measures, one after the other, what `only` is a part of the name of, at `sizes` such as "640x480" (empty: all).

    OpenCV gets as many threads as ours.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        for op in OPERATIONS:
            for size in op.sizes if only in op.name else ():
                if not sizes or size_text(size) in sizes:
                    used = threads if op.threaded else 1
                    yield from measure(op.name, op.size_name(size), op.make(size, used), threads=used, seconds=seconds)
    finally:
        cv2.setNumThreads(before)
