# SPDX-License-Identifier: Apache-2.0
"""Two candidates side by side: how many times longer one takes than the other, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rasant.bench.latency import Ratio, ratio_of_medians

__all__ = ["compare"]


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios of medians a / b of `total` and `infer`, with 95 % intervals, and what stands between the two.

    Records of one run took turns and are compared turn by turn; others may have met another machine or load, and
    `caution` says in what they differ.
    """
    together = a["run"]["id"] == b["run"]["id"] and a["scenario"]["driver"] == "turns"
    ratios = {
        stage: ratio_of_medians(a["samples_ms"][stage], b["samples_ms"][stage], paired=together)
        for stage in ("total", "infer")
    }
    return {
        "a": a["name"], "b": b["name"], "in_turns": together,
        "ratio": {stage: None if ratio is None else asdict(ratio) for stage, ratio in ratios.items()},
        "throughput_ratio": _quotient(a["throughput_fps"], b["throughput_fps"]),
        "text": _text(a["name"], b["name"], ratios["total"]),
        "caution": [] if together else _differences(a, b),
    }  # fmt: skip


def _text(a: str, b: str, ratio: Ratio | None) -> str:
    """One sentence."""
    return f"{a} / {b}: no frame reached the network" if ratio is None else f"{a} / {b}, median of total: {ratio}"


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What differs between two runs besides the candidates."""
    found = ["measured one after the other, not in turns: the machine may have been busier for one of them"]
    for title, section, key in (
        ("processors", "host", "processor"), ("loads", "host", "load"), ("scenarios", "scenario", "name"),
        ("sources", "io", "source"), ("threads", "io", "threads"), ("power modes", "power", "mode"),
    ):  # fmt: skip
        left, right = a[section][key], b[section][key]
        if left != right:
            found.append(f"{title} differ: {left} and {right}")
    return found


def _quotient(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None
