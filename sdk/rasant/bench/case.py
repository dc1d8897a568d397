# SPDX-License-Identifier: Apache-2.0
"""One operation beside its peers: ours, programs that compute the same, and the bytes that must move, in turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["SIZES", "Case", "Operation", "Peer", "Row", "Size", "copy_of", "measure", "size_text"]

Call = Callable[[], object]
Size = tuple[int, int]  # rows, columns

SIZES: tuple[Size, ...] = ((256, 256), (512, 512), (480, 640), (800, 800), (720, 1280))
SHORTEST_S = 5e-4  # a repeat lasts about this long: the clock does not count, and a busy machine seldom interrupts it


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program for the same result. `name` says what it is; target: what peer / ours should reach."""

    name: str
    call: Call
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """An operation made ready at one size. `count` units of work are done by each call; times are given for one.

    peers: the naive form (the formula as papers' programs write it, fresh arrays and all), and the best assembly of
        numpy and OpenCV calls that we could write, which reuses its buffers as ours does.
    moved: bytes that any implementation reads and writes at least once in a unit; their memcpy is the bound.
    target_ms: what our time should not exceed on one thread of the reference machine (2 vCPU Xeon, AVX-512, 2.5 GHz).
    """

    ours: Call
    peers: tuple[Peer, ...]
    moved: int
    target_ms: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of the benchmark: `make(size, threads)` gives the case, for each of `sizes` and any other size."""

    name: str
    make: Callable[[Size, int], Case]
    sizes: tuple[Size, ...] = SIZES
    note: str = ""  # what the size does not say, such as "3 passes"
    threaded: bool = True  # False: ours runs in the calling thread alone

    def size_name(self, size: Size) -> str:
        """`640x480, 3 passes`."""
        return ", ".join(filter(None, (size_text(size), self.note)))


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one operation, size and peer; milliseconds. ratio: peer / ours; bound_ratio: ours / bound."""

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
    reached: bool | None  # ratio >= target; None without one


def size_text(size: Size) -> str:
    """Width x height, as a camera's data sheet has it."""
    return f"{size[1]}x{size[0]}"


def copy_of(moved: int) -> Call:
    """A memcpy that reads and writes `moved` bytes together."""
    source = np.ones(max(moved // 2, 1), np.uint8)
    target = np.ones_like(source)
    return lambda: np.copyto(target, source)


def measure(op: str, size: str, case: Case, *, threads: int = 1, seconds: float = 1.0, rounds: int = 3) -> list[Row]:
    """One row for each peer: the best of many short repeats, ours, peers and bound in turns.

    Turns take about `seconds` and are at least `rounds`; a peer whose call alone takes that long runs twice.
    Turns make a ratio that a busy machine hardly changes; the best is what the code can do.
    """
    calls = (case.ours, copy_of(case.moved * case.count), *(peer.call for peer in case.peers))
    first = [_seconds(call) for call in calls]  # warms up
    best = [float("inf")] * len(calls)
    end = time.perf_counter() + seconds
    for turn in itertools.count():
        if turn >= rounds and time.perf_counter() > end:
            break
        for i, call in enumerate(calls):
            if turn > 0 and best[i] > seconds:
                continue
            best[i] = min(best[i], _seconds(call, max(1, round(SHORTEST_S / max(min(first[i], best[i]), 1e-7)))))
    ours, bound, *others = (1e3 * value / case.count for value in best)
    return [_row(op, size, threads, case, peer, ours, ms, bound) for peer, ms in zip(case.peers, others, strict=True)]


def _row(op: str, size: str, threads: int, case: Case, peer: Peer, ours: float, ms: float, bound: float) -> Row:
    ratio = ms / ours
    reached = None if peer.target is None else ratio >= peer.target
    return Row(
        op, size, threads, ours, peer.name, ms, ratio, bound, ours / bound, peer.target, case.target_ms, reached
    )


def _seconds(call: Call, repeats: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats
