# SPDX-License-Identifier: Apache-2.0
"""What the shortest operations spend their microseconds on, beside what memory takes for the same bytes.

`python docs/benchmarks/limits.py` prints the table of the page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from rasant.bench.peers_perlin import LATTICES, matmul_perlin
from rasant.bench.peers_post import KERNEL, logits
from rasant.ops.perlin import perlin_field
from rasant.ops.score import score_map


class Limit(NamedTuple):
    """Microseconds of one call, the best of many."""

    what: str
    us: float


def perlin_calls(side: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Fields of few and of many cells, the same bytes written by numpy, and the peer."""
    out, other = np.empty((1, side, side), np.float32), np.empty((side, side), np.float32)
    name, random = f"perlin {side}x{side}", np.random.default_rng(0)
    yield f"{name}: writing the same bytes (`ndarray.fill`)", lambda: out.fill(1.0)
    for cells in (LATTICES[0], LATTICES[-1]):
        field = partial(perlin_field, (side, side), (cells, cells), seed=1, out=out)
        yield f"{name}: lattice {cells}", field
        yield f"{name}: one matmul, lattice {cells}", partial(matmul_perlin, (side, side), cells, random, other)


def calls() -> Iterator[tuple[str, Callable[[], object]]]:
    """Everything that is timed, in turns."""
    dot, dots = np.empty((1, 1, 1), np.float32), np.zeros((4, 1, 1), np.float32)
    values = logits()
    raw, pooled = np.empty((2, 256, 256), np.float32)
    source, target = np.ones((2, 2, 256, 256), np.float32)
    yield "perlin: the call alone, a field of one pixel", partial(perlin_field, (1, 1), (1, 1), seed=1, out=dot)
    yield from perlin_calls(256)
    yield from perlin_calls(512)
    one = partial(score_map, dots[:2], kernel=1, out_raw=dots[2], out_pooled=dots[3])
    yield "score: the call alone, a map of one pixel", one
    yield "score 256x256: memcpy of the same bytes", lambda: np.copyto(target, source)
    for kernel in (1, KERNEL):
        score = partial(score_map, values, kernel=kernel, out_raw=raw, out_pooled=pooled)
        yield f"score 256x256: kernel {kernel}", score


def measure_limits(seconds: float = 10.0) -> list[Limit]:
    """One entry for each call; turns of a few calls each, so that a busy machine spoils none of them alone."""
    named = list(calls())
    best = [math.inf] * len(named)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i, (_, call) in enumerate(named):
            for _ in range(5):
                begin = time.perf_counter()
                call()
                best[i] = min(best[i], time.perf_counter() - begin)
    return [Limit(name, 1e6 * value) for (name, _), value in zip(named, best, strict=True)]


def limits_table(limits: list[Limit]) -> list[str]:
    """Markdown."""
    return ["| what | microseconds |", "|---|---|", *(f"| {limit.what} | {limit.us:.1f} |" for limit in limits)]


if __name__ == "__main__":
    print("\n".join(limits_table(measure_limits())))
