# SPDX-License-Identifier: Apache-2.0
"""Inline SVG charts. Colours come from the page's style sheet, so that they follow its light or dark theme.

Every chart is a string of SVG; numbers are written with at most two decimals to keep the page small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

__all__ = ["histogram", "latency_chart", "pro_chart", "roc_chart", "stage_bars"]

Floats = npt.NDArray[np.float64]

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 14, 40
_BINS = 28


@dataclass(frozen=True, slots=True)
class _Axis:
    """A linear or logarithmic axis from `low` to `high` onto pixels `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(max(value, self.low)) if self.log else value
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Round values along the axis: decades, or steps of 1, 2 or 5."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**e for e in range(first, last + 1)]
        raw = (self.high - self.low) / 5 or 1.0
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _frame(title: str, x: _Axis, y: _Axis | None, x_name: str, y_name: str, body: str) -> str:
    """Axes, grid and names around a body; no grid without a vertical axis."""
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">',
        f"<title>{escape(title)}</title>",
    ]
    for at, tick in [] if y is None else [(y(tick), tick) for tick in y.ticks()]:
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.stop}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{x.start - 6}" y="{at + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x.ticks():
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{tick:g}</text>'
        )
    floor = _HEIGHT - _BOTTOM
    parts.append(f'<line class="axis" x1="{x.start}" x2="{x.stop}" y1="{floor}" y2="{floor}"/>')
    parts.append(body)
    across, down = (x.start + x.stop) / 2, (_TOP + floor) / 2
    named = 'class="name" text-anchor="middle"'
    parts.append(f'<text {named} x="{across}" y="{_HEIGHT - 6}">{escape(x_name)}</text>')
    parts.append(f'<text {named} x="12" y="{down}" transform="rotate(-90 12 {down})">{escape(y_name)}</text>')
    return "".join(parts) + "</svg>"


def _path(x: _Axis, y: _Axis, xs: Floats, ys: Floats) -> str:
    points = [f"{x(float(a)):.2f} {y(float(b)):.2f}" for a, b in zip(xs, ys, strict=True)]
    return "M" + "L".join(points)


def histogram(
    good: Sequence[float], defect: Sequence[float], threshold: float | None, score_name: str = "score"
) -> str:
    """Scores of good parts above, of defective parts below, on one axis, with the threshold across both."""
    values = np.array([*good, *defect], dtype=np.float64)
    if not len(values):
        return ""
    reach = np.append(values, threshold) if threshold is not None else values
    top = float(reach.max())
    log = bool(values.min() > 0 and np.median(values) < 0.04 * top)
    low = float(values.min()) * 0.9 if log else 0.0
    x = _Axis(low, top * (1.1 if log else 1.04) or 1.0, _LEFT, _WIDTH - _RIGHT, log)
    edges = np.geomspace(x.low, x.high, _BINS + 1) if log else np.linspace(x.low, x.high, _BINS + 1)
    counts = [np.histogram(side, edges)[0] for side in (good, defect)]
    tallest = max(1, int(max(c.max() for c in counts)))
    floor = _HEIGHT - _BOTTOM
    lane = (floor - _TOP - 12) / 2
    parts: list[str] = []
    for name, count, base in (("good", counts[0], _TOP + lane), ("defect", counts[1], float(floor))):
        for i, n in enumerate(count):
            if n:
                left, right = x(float(edges[i])) + 0.8, x(float(edges[i + 1])) - 0.8
                tall = max(2.0, (lane - 14) * n / tallest)
                box = f'x="{left:.2f}" y="{base - tall:.2f}" width="{max(right - left, 1):.2f}" height="{tall:.2f}"'
                text = f"{n} parts, {edges[i]:.3g} to {edges[i + 1]:.3g}"
                parts.append(f'<rect class="bar {name}" {box} rx="1.5"><title>{text}</title></rect>')
        label = "good" if name == "good" else "defective"
        parts.append(f'<line class="axis" x1="{x.start}" x2="{x.stop}" y1="{base:.1f}" y2="{base:.1f}"/>')
        css, total = f'class="lane {name}"', int(count.sum())
        parts.append(f'<text {css} x="{x.start - 6}" y="{base - 3:.1f}" text-anchor="end">{total}</text>')
        parts.append(f'<text {css} x="{x.start + 4}" y="{base - lane + 9:.1f}">{label}</text>')
    if threshold is not None:
        at = x(threshold)
        side, anchor = (4, "start") if at < 0.6 * _WIDTH else (-4, "end")
        parts.append(f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{floor}"/>')
        text = f"threshold {threshold:.3g}"
        parts.append(f'<text class="mark" x="{at + side:.1f}" y="{_TOP + 2}" text-anchor="{anchor}">{text}</text>')
    title = f"Scores of {len(good)} good and {len(defect)} defective parts"
    named = score_name + (" (logarithmic)" if log else "")
    return _frame(title, x, None, named, "parts", "".join(parts))


def roc_chart(false: Floats, true: Floats, area: float, operating: tuple[float, float] | None = None) -> str:
    """ROC of the image scores; `operating` is the (false, true) positive rate at the threshold."""
    x, y = _square(1.0)
    body = f'<path class="chance" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>{_filled(x, y, false, true)}'
    if operating is not None:
        text = f"at the threshold: {operating[1]:.0%} of defects caught, {operating[0]:.0%} of good parts rejected"
        place = f'cx="{x(operating[0]):.1f}" cy="{y(operating[1]):.1f}"'
        body += f'<circle class="operating" {place} r="5"><title>{text}</title></circle>'
    body += f'<text class="mark" x="{x.stop - 4}" y="{y(0) - 10}" text-anchor="end">area {area:.3f}</text>'
    return _frame(f"ROC, area {area:.3f}", x, y, "good parts rejected", "defects caught", body)


def pro_chart(false: Floats, overlap: Floats, area: float, limit: float = 0.3) -> str:
    """Mean region overlap against the share of good pixels flagged, up to `limit`."""
    inside = int(np.searchsorted(false, limit, side="right"))
    end = float(np.interp(limit, false, overlap))
    false, overlap = np.append(false[:inside], limit), np.append(overlap[:inside], end)
    x, y = _square(limit)
    body = _filled(x, y, false, overlap)
    body += f'<text class="mark" x="{x.stop - 4}" y="{y(0) - 10}" text-anchor="end">AUPRO@{limit:.0%} {area:.3f}</text>'
    return _frame(
        f"Per-region overlap, AUPRO at {limit:.0%} is {area:.3f}", x, y, "good pixels flagged", "region overlap", body
    )


def latency_chart(values: Sequence[float], reach: tuple[float, float], marks: Mapping[str, float]) -> str:
    """Milliseconds of single frames between `reach`; what lies beyond stands in the last bar. marks: name -> value."""
    x = _Axis(*reach, _LEFT, _WIDTH - _RIGHT)
    edges = np.linspace(*reach, 2 * _BINS + 1)
    counts = np.histogram(np.clip(values, *reach), edges)[0]
    y = _Axis(0.0, float(max(1, counts.max())), _HEIGHT - _BOTTOM, _TOP + 12)
    parts = []
    for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True):
        if n:
            box = f'x="{x(left) + 0.4:.2f}" y="{y(n):.2f}" width="{x(right) - x(left) - 0.8:.2f}"'
            text = f"{n} frames, {left:.3g} ms to {right:.3g} ms" + (" or more" if right == reach[1] else "")
            parts.append(f'<rect class="bar good" {box} height="{y(0) - y(n):.2f}"><title>{text}</title></rect>')
    for row, (name, value) in enumerate(marks.items()):
        at, (side, anchor) = x(value), (4, "start") if x(value) < 0.7 * _WIDTH else (-4, "end")
        parts.append(f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{y(0)}"/>')
        place = f'x="{at + side:.1f}" y="{_TOP + 4 + 13 * row}" text-anchor="{anchor}"'
        parts.append(f'<text class="mark" {place}>{escape(name)} {value:.3g}</text>')
    return _frame(f"Milliseconds of {len(values)} frames", x, y, "ms", "frames", "".join(parts))


def stage_bars(rows: Mapping[str, Mapping[str, float]]) -> str:
    """One bar for each row, made of the mean milliseconds of its stages: row -> stage -> ms. "" without any row."""
    longest = max((sum(stages.values()) for stages in rows.values()), default=0.0)
    if not longest:
        return ""
    x = _Axis(0.0, longest, _LEFT, _WIDTH - _RIGHT)
    lane = (_HEIGHT - _BOTTOM - _TOP) / len(rows)
    parts = []
    for row, (name, stages) in enumerate(rows.items()):
        top, start = _TOP + lane * row, 0.0
        tall = min(26.0, lane - 18)
        parts.append(f'<text class="lane" x="{x.start}" y="{top + 11:.1f}">{escape(name)}</text>')
        for stage, ms in stages.items():
            wide = x(start + ms) - x(start)
            box = f'x="{x(start):.2f}" y="{top + 16:.1f}" width="{wide:.2f}" height="{tall:.1f}"'
            parts.append(f'<rect class="bar {escape(stage)}" {box}><title>{escape(stage)} {ms:.3g} ms</title></rect>')
            start += ms
        place = f'x="{x.stop}" y="{top + 11:.1f}" text-anchor="end"'
        parts.append(f'<text class="mark" {place}>{start:.3g} ms</text>')
    return _frame("Mean milliseconds of each stage", x, None, "ms", "", "".join(parts))


def _square(reach: float) -> tuple[_Axis, _Axis]:
    return _Axis(0.0, reach, _LEFT, _WIDTH - _RIGHT), _Axis(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)


def _filled(x: _Axis, y: _Axis, xs: Floats, ys: Floats) -> str:
    line = _path(x, y, xs, ys)
    closed = f"{line}L{x(float(xs[-1])):.2f} {y(0)}L{x(0)} {y(0)}Z"
    return f'<path class="under" d="{closed}"/><path class="line" d="{line}"/>'
