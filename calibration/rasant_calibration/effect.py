# SPDX-License-Identifier: Apache-2.0
"""What a conversion does to what the user sees: the anomaly map and its score, against the float graph.

Measured on frames that calibrated nothing: good parts, and the same parts with a synthetic defect drawn on them
(DAS3D's, arXiv 2410.09821, eq. 1 to 7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import rasant
from rasant.engines import open_engine
from rasant.ops.score import score_map
from rasant.synthesis.skew_gauss import skew_gauss

__all__ = ["Effect", "Inputs", "Probe", "effect", "probes", "silent", "spoil"]

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


def spoil(inputs: Inputs, foreground: npt.NDArray[np.bool_], seed: int, index: int) -> Inputs:
    """The inputs with a synthetic defect on the part."""
    color, depth = inputs.get("color"), inputs.get("depth")
    found = skew_gauss(
        None if color is None else color[0], None if depth is None else depth[0, 0], foreground, seed=seed, index=index,
        sigma_px=(1.0, 5.0), lattice=(2, 4),
    )  # fmt: skip
    spoiled = {"color": found.color, "depth": found.depth}
    return {name: np.ascontiguousarray(spoiled[name]).reshape(array.shape) for name, array in inputs.items()}


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
