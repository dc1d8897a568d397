# SPDX-License-Identifier: Apache-2.0
"""8-bit integers where they do no harm: which calibration, and which stages stay in float, is decided by measurement.

The measure is `rasant_calibration.effect`. The frames that set ranges hold synthetic defects, as its probes do: a range
that fits good parts cuts off what a defect does to the network, and did more harm than all rounding together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rasant
from rasant_calibration.activation_ranges import METHODS, limits, measure_activations
from rasant_calibration.effect import Effect, Inputs, Probe, effect, silent
from rasant_calibration.equaliser import equalise
from rasant_calibration.quantiser import Quantiser, Stage, stages
from rasant_calibration.sensitivity import leave_in_float

__all__ = ["Int8Choice", "choose_int8"]


@dataclass(frozen=True)
class Int8Choice:
    """The graph chosen, and everything that was measured on the way.

    methods: effect of each calibration with every stage in integers. alone, kept: see `Islands`. float_nodes: the nodes
    of the stages in float; float_share: their part of the multiply-adds.
    """

    model: bytes
    method: str
    effect: Effect
    methods: dict[str, Effect]
    alone: dict[str, Effect]
    kept: dict[str, Effect]
    float_nodes: tuple[str, ...]
    float_share: float


def choose_int8(
    model: bytes, frames: Sequence[Inputs], on: Sequence[Probe], *, kernel: int, methods: Sequence[str] = (),
    target: float = 0.01, max_float: float = 0.1, progress: Callable[[str], object] = silent,
) -> Int8Choice:
    """Quantise `model`, ranges from `frames`, choices by the effect on the probes `on`.

    methods: calibrations to try, all of METHODS if empty. target: mean score difference that is good enough.
    max_float: share of the multiply-adds that may stay in float. Raises ConfigError for no frames, an unknown method or
    a graph that is quantised already.
    """
    wanted = tuple(methods) or tuple(METHODS)
    if not set(wanted) <= METHODS.keys():
        raise rasant.ConfigError(f"a calibration must be one of {sorted(METHODS)}, got {wanted}")
    if not frames or not on:
        raise rasant.ConfigError(f"expected good frames and probes, got {len(frames)} and {len(on)}; give more parts")
    model = equalise(model, frames)
    histograms = measure_activations(model, frames)
    tried: dict[str, tuple[Quantiser, Effect]] = {}
    for method in wanted:
        quantiser = Quantiser(model, limits(histograms, method))
        tried[method] = quantiser, effect(quantiser.build(), on, kernel)
        progress(f"{method}: mean score difference {tried[method][1].score_mean:.4f}")
    method = min(tried, key=lambda name: tried[name][1].score_mean)
    quantiser, whole = tried[method]
    every = stages(model)

    def measure(kept: Sequence[Stage]) -> Effect:
        return effect(quantiser.build(_nodes(kept)), on, kernel)

    found = leave_in_float(every, whole, measure, target=target, max_float=max_float, progress=progress)
    chosen = [stage for stage in every if stage.name in found.kept]
    return Int8Choice(
        quantiser.build(_nodes(chosen)), method, found.effect, {name: tried[name][1] for name in tried}, found.alone,
        found.kept, _nodes(chosen), sum(stage.share for stage in chosen),
    )  # fmt: skip


def _nodes(chosen: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(node for stage in chosen for node in stage.nodes)
