# SPDX-License-Identifier: Apache-2.0
"""One comparison: ours, a peer that computes the same, and the bytes that must move; timed in turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Case", "Row", "copy_of", "measure"]

Call = Callable[[], object]
SHORTEST_S = 5e-4  # a repeat lasts about this long: the clock does not count, and a busy machine seldom interrupts it


@dataclass(frozen=True, slots=True)
class Case:
    """What is compared. `count` units of work are done by each call; times are given for one of them.

    moved: bytes that any implementation reads and writes at least once in a unit; their memcpy is the bound.
    target: what the ratio peer / ours should reach; target_ms: what our time should not exceed on one thread of the
        reference machine (2 vCPU Xeon, AVX-512, 2.5 GHz).
    """

    op: str
    size: str
    ours: Call
    peer: str
    peer_call: Call
    moved: int
    target: float | None = None
    target_ms: float | None = None
    threads: int = 1
    count: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one case; milliseconds. ratio: peer / ours; bound_ratio: ours / bound."""

    op: str
    size: str
    threads: int
    ms: float
    peer: str
    peer_ms: float
    ratio: float
    bound_ms: float
    bound_ratio: float
    target: float | None
    target_ms: float | None
    reached: bool | None  # None without a target


def copy_of(moved: int) -> Call:
    """A memcpy that reads and writes `moved` bytes together."""
    source = np.ones(max(moved // 2, 1), np.uint8)
    target = np.ones_like(source)
    return lambda: np.copyto(target, source)


def measure(case: Case, seconds: float = 1.0, rounds: int = 3) -> Row:
    """The best of many short repeats, ours, peer and bound in turns, for about `seconds` and at least `rounds` rounds.

    Turns make a ratio that a busy machine hardly changes; the best is what the code can do.
    """
    calls = (case.ours, case.peer_call, copy_of(case.moved * case.count))
    repeats = [_repeats(call) for call in calls]
    best = [float("inf")] * len(calls)
    end = time.perf_counter() + seconds
    for turn in itertools.count():
        if turn >= rounds and time.perf_counter() > end:
            break
        for i, call in enumerate(calls):
            best[i] = min(best[i], _seconds(call, repeats[i]))
    ours, peer, bound = (1e3 * value / case.count for value in best)
    ratio = peer / ours
    reached = None if case.target is None else ratio >= case.target
    return Row(
        case.op, case.size, case.threads, ours, case.peer, peer, ratio, bound, ours / bound, case.target,
        case.target_ms, reached,
    )  # fmt: skip


def _seconds(call: Call, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def _repeats(call: Call) -> int:
    """How many calls fill a repeat; the first call, which warms up, does not count."""
    call()
    return max(1, round(SHORTEST_S / max(_seconds(call, 1), 1e-7)))
