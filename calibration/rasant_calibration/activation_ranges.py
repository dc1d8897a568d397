# SPDX-License-Identifier: Apache-2.0
"""How far every activation of a graph reaches on good frames, as histograms that all calibration rules share.

Two passes over the frames: the largest magnitude of each activation, then a histogram of magnitudes up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import rasant

__all__ = ["METHODS", "Histogram", "limits", "measure_activations"]

BINS = 2048
LEVELS = 128  # steps of a signed 8-bit integer on one side of zero
_STRIDE = 16  # of the limits that the entropy rule tries, in bins

Inputs = Mapping[str, npt.NDArray[np.float32]]
Histogram = tuple[float, npt.NDArray[np.int64]]  # largest magnitude, counts of BINS equal bins up to it


def measure_activations(model: bytes, frames: Sequence[Inputs]) -> dict[str, Histogram]:
    """Histogram of every float32 value in the graph over all frames, by name.

    model: a float32 graph. frames: network inputs by name. Raises ModelError where a value is not finite.
    """
    import onnxruntime

    graph = _all_outputs(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def values(frame: Inputs) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        yield from frame.items()
        yield from zip(names, session.run(names, dict(frame)), strict=True)

    largest: dict[str, float] = {}
    for frame in frames:
        for name, value in values(frame):
            largest[name] = max(largest.get(name, 0.0), float(value.max()), -float(value.min()))
    damaged = [name for name, value in largest.items() if not np.isfinite(value)]
    if damaged:
        raise rasant.ModelError(f"{damaged[0]!r} is not finite on a good frame; the network cannot be quantised")
    counts = {name: np.zeros(BINS, np.int64) for name in largest}
    for frame in frames:
        for name, value in values(frame):
            if largest[name] > 0:
                counts[name] += _histogram(value, largest[name])
    return {name: (largest[name], counts[name]) for name in largest}


def limits(histograms: Mapping[str, Histogram], method: str) -> dict[str, float]:
    """The magnitude that becomes 127, for every activation, by one of METHODS."""
    rule = METHODS[method]
    return {name: rule(largest, counts) for name, (largest, counts) in histograms.items()}


def _percentile(share: float) -> Callable[[float, npt.NDArray[np.int64]], float]:
    def limit(largest: float, counts: npt.NDArray[np.int64]) -> float:
        """The magnitude that `share` of all values stay below."""
        reached = np.searchsorted(np.cumsum(counts), share * counts.sum())
        return largest * min(int(reached) + 1, BINS) / BINS

    return limit


def _entropy(largest: float, counts: npt.NDArray[np.int64]) -> float:
    """The limit at which LEVELS steps keep most of the distribution: least Kullback-Leibler divergence.

    Szymon Migacz, "8-bit inference with TensorRT", GTC 2017. Zeros, which every scale keeps, do not count.
    """
    mass = counts.astype(np.float64)
    mass[0] = 0.0
    if mass.sum() == 0.0:
        return largest
    return largest * min(range(LEVELS, BINS + 1, _STRIDE), key=lambda stop: _divergence(mass, stop)) / BINS


def _divergence(counts: npt.NDArray[np.float64], stop: int) -> float:
    """Between the values clipped at bin `stop`, and the same spread evenly inside each of LEVELS steps."""
    clipped = counts[:stop].copy()
    level = np.arange(stop) * LEVELS // stop
    filled = counts[:stop] > 0
    mass = np.bincount(level, counts[:stop], LEVELS)
    bins = np.maximum(np.bincount(level, filled, LEVELS), 1)
    spread = np.where(filled, (mass / bins)[level], 0.0)
    clipped[-1] += counts[stop:].sum()
    p, q = clipped / clipped.sum(), spread / max(float(spread.sum()), 1e-300)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q == 0)].sum())  # what the steps cannot hold at all
    return float(np.sum(p[both] * np.log(p[both] / q[both]))) + 10.0 * lost


# Rule -> limit from the largest magnitude and the histogram: over everything seen, or cutting rare values off for
# finer steps.
METHODS: dict[str, Callable[[float, npt.NDArray[np.int64]], float]] = {
    "minmax": _percentile(1.0),
    "percentile-99.999": _percentile(0.99999),
    "percentile-99.99": _percentile(0.9999),
    "entropy": _entropy,
}


def _histogram(value: npt.NDArray[np.float32], largest: float) -> npt.NDArray[np.int64]:
    magnitude = np.abs(value.ravel())
    magnitude *= np.float32(BINS / largest)
    return np.bincount(np.minimum(magnitude.astype(np.int32), BINS - 1), minlength=BINS)


def _all_outputs(model: bytes) -> Any:
    """The graph with each of its float32 values among the outputs."""
    proto: Any = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    known = {output.name for output in proto.graph.output}
    inner = [v for v in proto.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    proto.graph.output.extend(value for value in inner if value.name not in known)
    del proto.graph.value_info[:]
    return proto.SerializeToString()
