# SPDX-License-Identifier: Apache-2.0
"""Float16 where it does no harm. Which stages stay in float32 is decided by measurement, on what the user sees.

Two things harm: values beyond the range of float16, which the activations show, and digits that are lost. The effect of
these is measured on the anomaly map and its score with every value rounded as a GPU rounds it (`half_graph.rounded`),
on good parts and on the same parts with a synthetic defect, as for 8-bit integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import rasant
from rasant_calibration.activation_ranges import BINS, Histogram, measure_activations
from rasant_calibration.effect import Effect, Inputs, Probe, effect, silent
from rasant_calibration.half_graph import LARGEST, SMALLEST, HalfGraph, rounded
from rasant_calibration.quantiser import Stage, stages
from rasant_calibration.sensitivity import leave_in_float

__all__ = ["MARGIN", "Fp16Choice", "choose_fp16", "out_of_range"]

MARGIN = 4.0  # times what was seen must fit: another part, or a defect, may reach further


@dataclass(frozen=True)
class Fp16Choice:
    """The graph chosen, and everything that was measured on the way.

    out_of_range: largest magnitude of each value that float16 cannot hold; forced: the stages that stay in float32 for
    it, or for their weights. alone, kept: see `Islands`. float_nodes: convolutions, products and sums in float32;
    float_share: the stages' part of the multiply-adds.
    """

    model: bytes
    effect: Effect
    out_of_range: dict[str, float]
    forced: tuple[str, ...]
    alone: dict[str, Effect]
    kept: dict[str, Effect]
    float_nodes: tuple[str, ...]
    float_share: float


def choose_fp16(
    model: bytes, frames: Sequence[Inputs], on: Sequence[Probe], *, kernel: int, target: float = 0.001,
    max_float: float = 0.1, progress: Callable[[str], object] = silent,
) -> Fp16Choice:
    """Convert `model`: ranges from `frames`, the rest by the effect on the probes `on`.

    target: mean score difference that is good enough. max_float: share of the multiply-adds that may stay in float32
    for it. Raises ConfigError for no frames, a graph that is not float32, and one that float16 cannot hold at all.
    """
    if not frames or not on:
        raise rasant.ConfigError(f"expected good frames and probes, got {len(frames)} and {len(on)}; give more parts")
    graph = HalfGraph(model)
    beyond = out_of_range(measure_activations(model, frames))
    held = {*graph.nodes_at(beyond), *graph.in_float()}
    every = stages(model)
    forced = [stage for stage in every if held & set(stage.nodes)]
    rest = [stage for stage in every if stage not in forced]
    if not rest:
        raise rasant.ConfigError(
            f"float16 cannot hold this network: all of its {len(every)} stages have values or weights beyond it; stay "
            "with the float32 bundle"
        )
    for name, largest in beyond.items():
        progress(f"{name} reaches {largest:.3g}: its nodes stay in float32")

    def kept_nodes(kept: Sequence[Stage]) -> tuple[str, ...]:
        return (*graph.nodes_at(beyond), *(node for stage in (*forced, *kept) for node in stage.nodes))

    def measure(kept: Sequence[Stage]) -> Effect:
        return effect(rounded(graph.build(kept_nodes(kept))), on, kernel)

    found = leave_in_float(rest, measure(()), measure, target=target, max_float=max_float, progress=progress)
    kept = [stage for stage in rest if stage.name in found.kept]
    keep = kept_nodes(kept)
    return Fp16Choice(
        graph.build(keep), found.effect, beyond, tuple(stage.name for stage in forced), found.alone, found.kept,
        graph.in_float(keep), sum(stage.share for stage in (*forced, *kept)),
    )  # fmt: skip


def out_of_range(histograms: Mapping[str, Histogram]) -> dict[str, float]:
    """Largest magnitude of each value that float16 cannot hold, by name: MARGIN times it is beyond the range, or most
    of what is seen is too small for all digits. The lowest bin, which has the zeros, does not count.
    """
    found = {}
    for name, (largest, counts) in histograms.items():
        small = int(BINS * SMALLEST / largest) if largest > SMALLEST / BINS else BINS
        if largest * MARGIN > LARGEST or 2 * counts[1:small].sum() > counts[1:].sum():
            found[name] = largest
    return found
