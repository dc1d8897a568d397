# SPDX-License-Identifier: Apache-2.0
"""8-bit integers where they do no harm: which calibration, and which stages stay in float, is decided by measurement.

The measure is what the user sees: the anomaly map and its score, against the float graph, on frames that calibrated
nothing: good parts, and the same parts with a synthetic defect drawn on them (DAS3D's, arXiv 2410.09821, eq. 1 to 7).
The frames that set ranges hold such defects too: a range that fits good parts cuts off what a defect does to the
network, and did more harm than all rounding together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import rasant
from rasant.engines import open_engine
from rasant.ops.score import score_map
from rasant.synthesis.skew_gauss import skew_gauss
from rasant_calibration.activation_ranges import METHODS, limits, measure_activations
from rasant_calibration.equaliser import equalise
from rasant_calibration.quantiser import Quantiser, Stage, stages

__all__ = ["Effect", "Int8Choice", "Probe", "choose_int8", "effect", "probes", "silent", "spoil"]

WORTH = 0.1  # a stage that does less than this part of the whole harm is not worth its time in float

FloatImage = npt.NDArray[np.float32]
Inputs = Mapping[str, FloatImage]


@dataclass(frozen=True)
class Probe:
    """One frame to measure on: network inputs (1, C, h, w), and the float graph's anomaly map (h, w) and score."""

    inputs: Inputs
    anomaly_map: FloatImage
    score: float


@dataclass(frozen=True)
class Effect:
    """Difference to the float graph over the probes: of the score (mean, largest) and of the map (RMS, largest)."""

    score_mean: float
    score_max: float
    map_rms: float
    map_max: float


@dataclass(frozen=True)
class Int8Choice:
    """The graph chosen, and everything that was measured on the way.

    methods: effect of each calibration with every stage in integers. alone: effect of each stage in integers alone,
    worst first. kept: stages in float, in the order in which they were left there, each with the effect that was left
    then. float_nodes: their nodes; float_share: their part of the multiply-adds.
    """

    model: bytes
    method: str
    effect: Effect
    methods: dict[str, Effect]
    alone: dict[str, Effect]
    kept: dict[str, Effect]
    float_nodes: tuple[str, ...]
    float_share: float


def silent(text: str) -> None:
    """A listener that says nothing of the progress."""


def probes(model: bytes, frames: Sequence[tuple[Inputs, npt.NDArray[np.bool_]]], kernel: int, seed: int) -> list[Probe]:
    """Each (inputs, foreground (h, w)) as it is and with a synthetic defect, with what the float graph says of it."""
    spoiled = [spoil(inputs, foreground, seed, index) for index, (inputs, foreground) in enumerate(frames)]
    every = [*(inputs for inputs, _ in frames), *spoiled]
    return [Probe(inputs, *result) for inputs, result in zip(every, _run(model, every, kernel), strict=True)]


def effect(model: bytes, on: Sequence[Probe], kernel: int) -> Effect:
    """What a graph makes of the probes, against the float graph."""
    scores, squares, largest = [], [], 0.0
    for probe, (anomaly_map, score) in zip(on, _run(model, [p.inputs for p in on], kernel), strict=True):
        difference = anomaly_map.astype(np.float64) - probe.anomaly_map
        scores.append(abs(score - probe.score))
        squares.append(float(np.mean(difference**2)))
        largest = max(largest, float(np.abs(difference).max()))
    return Effect(float(np.mean(scores)), max(scores), float(np.sqrt(np.mean(squares))), largest)


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
    quantiser, left = tried[method]
    every = {stage.name: stage for stage in stages(model)}
    alone: dict[str, Effect] = {}
    if left.score_mean > target and max_float > 0.0:
        alone = _alone(quantiser, every, on, kernel, progress)
    kept: dict[str, Effect] = {}
    worth = [name for name, found in alone.items() if found.score_mean >= WORTH * tried[method][1].score_mean]
    for name in worth:
        if left.score_mean <= target:
            break
        trial = [every[stage] for stage in (*kept, name)]
        if sum(stage.share for stage in trial) > max_float:
            continue
        found = effect(quantiser.build(_nodes(trial)), on, kernel)
        progress(f"{name} in float: mean score difference {found.score_mean:.4f}")
        if found.score_mean < left.score_mean:
            kept[name] = left = found
    chosen = [every[name] for name in kept]
    return Int8Choice(
        quantiser.build(_nodes(chosen)), method, left, {name: found for name, (_, found) in tried.items()}, alone, kept,
        _nodes(chosen), sum(stage.share for stage in chosen),
    )  # fmt: skip


def _alone(
    quantiser: Quantiser, every: Mapping[str, Stage], on: Sequence[Probe], kernel: int,
    progress: Callable[[str], object],
) -> dict[str, Effect]:
    """Effect of each stage in integers alone, worst first."""
    found = {}
    for name in every:
        others = [stage for stage in every.values() if stage.name != name]
        found[name] = effect(quantiser.build(_nodes(others)), on, kernel)
        progress(f"{name} alone in integers: mean score difference {found[name].score_mean:.4f}")
    return dict(sorted(found.items(), key=lambda item: -item[1].score_mean))


def _nodes(chosen: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(node for stage in chosen for node in stage.nodes)


def _run(model: bytes, frames: Sequence[Inputs], kernel: int) -> list[tuple[FloatImage, float]]:
    """(anomaly map, score) of each frame in ONNX Runtime."""
    found = []
    with open_engine("onnxruntime", model) as engine:
        for inputs in frames:
            for name, array in engine.inputs.items():
                np.copyto(array, inputs[name])
            engine.infer()
            raw = np.empty(engine.outputs["logits"].shape[2:], np.float32)
            result = score_map(engine.outputs["logits"][0], kernel=kernel, out_raw=raw)
            if result.nonfinite:
                raise rasant.ModelError(f"the graph gives {result.nonfinite} values that are not finite; do not use it")
            found.append((raw, result.score))
    return found


def spoil(inputs: Inputs, foreground: npt.NDArray[np.bool_], seed: int, index: int) -> Inputs:
    """The inputs with a synthetic defect on the part."""
    color, depth = inputs.get("color"), inputs.get("depth")
    found = skew_gauss(
        None if color is None else color[0], None if depth is None else depth[0, 0], foreground, seed=seed, index=index,
        sigma_px=(1.0, 5.0), lattice=(2, 4),
    )  # fmt: skip
    spoiled = {"color": found.color, "depth": found.depth}
    return {name: np.ascontiguousarray(spoiled[name]).reshape(array.shape) for name, array in inputs.items()}
