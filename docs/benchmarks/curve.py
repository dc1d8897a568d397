# SPDX-License-Identifier: Apache-2.0
"""How the time of each operation grows with the image, beside a memcpy: a table of ns a pixel and an SVG."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import cv2

from rasant.bench.case import SIZES, Operation, copy_of
from rasant.bench.ops import OPERATIONS

SIDES = (256, 512, 1024, 2048, 4096)
NOT_BY_PIXEL = ("plane fit", "pack", "engine", "auroc+aupro", "perlin batch", "align_color")
MAP_SIZED = ("score", "regions")  # benched at network sizes, and grow all the same
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 960, 620, 70, 30, 220, 60
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")


class Curve(NamedTuple):
    """Best milliseconds of one operation at each of SIDES, and of a memcpy of the bytes that it must move."""

    name: str
    ms: tuple[float, ...]
    copy_ms: tuple[float, ...]


def grows(op: Operation) -> bool:
    """True for an operation whose work is that of an image of any size."""
    return op.name not in NOT_BY_PIXEL and (op.sizes == SIZES or op.name in MAP_SIZED)


def measure_curves(seconds: float = 0.6) -> list[Curve]:
    """One thread; the best of several turns of ours and the memcpy in about `seconds`, at least 3.

    In CPU time of the thread: a call on a large image outlasts what a busy machine leaves it in one piece.
    """
    cv2.setNumThreads(1)
    operations = [op for op in OPERATIONS if grows(op)]
    times: list[list[tuple[float, float]]] = [[] for _ in operations]
    for side in SIDES:  # sizes outside, so that the scene of a size is made once
        for found, op in zip(times, operations, strict=True):
            case = op.make((side, side), 1)
            calls = (case.ours, copy_of(case.moved * case.count))
            best = [math.inf, math.inf]
            end, turns = time.perf_counter() + seconds, 0
            while turns < 4 or time.perf_counter() < end:  # the first turn warms up
                for i, call in enumerate(calls):
                    begin = time.thread_time()
                    call()
                    best[i] = min(best[i], time.thread_time() - begin)
                turns += 1
            found.append((1e3 * best[0] / case.count, 1e3 * best[1] / case.count))
    names = [", ".join(filter(None, (op.name, op.note))) for op in operations]
    return [Curve(name, *zip(*found, strict=True)) for name, found in zip(names, times, strict=True)]


def curve_table(curves: Sequence[Curve]) -> list[str]:
    """Markdown: nanoseconds a pixel, ours / memcpy; how much both rise from the smallest to the largest image."""
    lines = [
        "| operation | " + " | ".join(f"{side}²" for side in SIDES) + " | rise |",
        "|---" * (len(SIDES) + 2) + "|",
    ]
    for curve in curves:
        pairs = [
            (1e6 * ms / side**2, 1e6 * copy / side**2)
            for ms, copy, side in zip(curve.ms, curve.copy_ms, SIDES, strict=True)
        ]
        rise = (pairs[-1][0] / pairs[0][0], pairs[-1][1] / pairs[0][1])
        cells = [*(f"{ours:.2f} / {copy:.2f}" for ours, copy in pairs), f"{rise[0]:.1f} / {rise[1]:.1f}"]
        lines.append(f"| {curve.name} | " + " | ".join(cells) + " |")
    return lines


def curve_svg(curves: Sequence[Curve]) -> str:
    """Milliseconds over pixels, both logarithmic, with a dashed line of slope 1."""
    low = math.floor(math.log10(min(min(curve.ms) for curve in curves)))
    high = math.ceil(math.log10(max(max(curve.ms) for curve in curves)))
    first, last = 2 * math.log2(SIDES[0]), 2 * math.log2(SIDES[-1])

    def x(side: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (2 * math.log2(side) - first) / (last - first)

    def y(ms: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(ms)) / (high - low)

    font = 'font-family="Helvetica, Arial, sans-serif" font-size="13"'
    title = 'role="img" aria-label="Time of each operation over the pixels of the image"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font} {title}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for side in SIDES:
        parts.append(f'<path d="M{x(side):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x(side):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{side} x {side}</text>')
    for power in range(low, high + 1):
        parts.append(f'<path d="M{LEFT} {y(10.0**power):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(10.0**power) + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
    start = 10.0**low * 1.2
    ideal = f"M{x(SIDES[0]):.1f} {y(start):.1f}L{x(SIDES[-1]):.1f} {y(start * (SIDES[-1] / SIDES[0]) ** 2):.1f}"
    parts.append(f'<path d="{ideal}" stroke="#000000" stroke-dasharray="6 5" fill="none"/>')
    label_at = -math.inf
    for i, curve in enumerate(sorted(curves, key=lambda curve: curve.ms[-1], reverse=True)):
        color = COLORS[i % len(COLORS)]
        points = "L".join(f"{x(side):.1f} {y(ms):.1f}" for side, ms in zip(SIDES, curve.ms, strict=True))
        # At the end of its line, and below the label before: downwards there is room for all.
        label_at = max(y(curve.ms[-1]) + 4, label_at + 14)
        parts.append(f'<path d="M{points}" stroke="{color}" stroke-width="2" fill="none"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{label_at:.1f}" fill="{color}">{curve.name}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    note = "pixels; one thread; dashed: time in proportion to pixels"
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 15}" text-anchor="middle">{note}</text></svg>')
    return "\n".join(parts) + "\n"
