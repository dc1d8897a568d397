# SPDX-License-Identifier: Apache-2.0
"""Which stages of a network a conversion harms: each is converted alone, and the worst go back to float first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rasant_calibration.effect import Effect
from rasant_calibration.quantiser import Stage

__all__ = ["Islands", "leave_in_float"]

WORTH = 0.1  # a stage that does less than this part of the whole harm is not worth its time in float


@dataclass(frozen=True)
class Islands:
    """alone: effect of each stage converted alone, worst first. kept: stages in float, in the order in which they were
    left there, each with the effect that was left then. effect: of the conversion with these stages in float.
    """

    alone: dict[str, Effect]
    kept: dict[str, Effect]
    effect: Effect


def leave_in_float(
    stages: Sequence[Stage], whole: Effect, measure: Callable[[Sequence[Stage]], Effect], *, target: float,
    max_float: float, progress: Callable[[str], object],
) -> Islands:
    """Leave stages in float until the mean score difference is at most `target`.

    whole: the effect with every stage converted. measure: with these stages in float. max_float: share of the
    multiply-adds that may stay there.
    """
    left = whole
    progress(f"every stage converted: mean score difference {left.score_mean:.3g}")
    alone: dict[str, Effect] = {}
    kept: dict[str, Effect] = {}
    if left.score_mean <= target or max_float <= 0.0:
        return Islands(alone, kept, left)
    for stage in stages:
        alone[stage.name] = measure([other for other in stages if other is not stage])
        progress(f"{stage.name} alone: mean score difference {alone[stage.name].score_mean:.3g}")
    alone = dict(sorted(alone.items(), key=lambda item: -item[1].score_mean))
    every: Mapping[str, Stage] = {stage.name: stage for stage in stages}
    for name, found in alone.items():
        trial = [every[stage] for stage in (*kept, name)]
        if left.score_mean <= target or found.score_mean < WORTH * whole.score_mean:
            break
        if sum(stage.share for stage in trial) > max_float:
            continue
        found = measure(trial)
        progress(f"{name} in float: mean score difference {found.score_mean:.3g}")
        if found.score_mean < left.score_mean:
            kept[name] = left = found
    return Islands(alone, kept, left)
