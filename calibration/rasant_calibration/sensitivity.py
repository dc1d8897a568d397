# SPDX-License-Identifier: Apache-2.0
"""Which stages of a network a conversion harms: each is converted alone, and the worst go back to float first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rasant_calibration.int8 import WORTH, Effect
from rasant_calibration.quantiser import Stage

__all__ = ["Islands", "leave_in_float"]


@dataclass(frozen=True)
class Islands:
    """alone: effect of each stage converted alone, worst first. kept: stages in float, in the order in which they were
    left there, each with the effect that was left then. effect: of the conversion with these stages in float.
    """

    alone: dict[str, Effect]
    kept: dict[str, Effect]
    effect: Effect


def leave_in_float(
    stages: Sequence[Stage], measure: Callable[[Sequence[Stage]], Effect], *, target: float, max_float: float,
    progress: Callable[[str], object],
) -> Islands:
    """Leave stages in float until the mean score difference is at most `target`.

    measure: the effect of the conversion with these stages in float. max_float: share of the multiply-adds that may
    stay there.
    """
    whole = left = measure(())
    progress(f"every stage converted: mean score difference {left.score_mean:.3g}")
    alone: dict[str, Effect] = {}
    kept: dict[str, Effect] = {}
    if left.score_mean <= target or max_float <= 0.0:
        return Islands(alone, kept, left)
    for stage in stages:
        alone[stage.name] = measure([other for other in stages if other is not stage])
        progress(f"{stage.name} alone: mean score difference {alone[stage.name].score_mean:.3g}")
    alone = dict(sorted(alone.items(), key=lambda item: -item[1].map_rms))
    every: Mapping[str, Stage] = {stage.name: stage for stage in stages}
    for name, found in alone.items():
        trial = [every[stage] for stage in (*kept, name)]
        if left.score_mean <= target or found.map_rms < WORTH * whole.map_rms:
            break
        if sum(stage.share for stage in trial) > max_float:
            continue
        found = measure(trial)
        progress(f"{name} in float: mean score difference {found.score_mean:.3g}")
        if found.map_rms < left.map_rms:
            kept[name] = left = found
    return Islands(alone, kept, left)
