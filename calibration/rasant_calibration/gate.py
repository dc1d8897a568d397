# SPDX-License-Identifier: Apache-2.0
"""How much depth must add before it counts: the alpha of EasyNet's gate, from good parts and synthetic defects alone.

The published alphas, one a class, can only have been chosen on labelled defects of the test set. Here the good parts
are taken as they are and with drawn defects (DAS3D's, arXiv 2410.09821), and that alpha is chosen whose image scores
tell both apart best. Where several do equally well, the one that opens the gate most often: depth is trusted until it
is shown to do harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import rasant
from rasant.engines import open_engine
from rasant.entropy_gate import COLOR_HEAD, FUSED_HEAD, EntropyGate
from rasant.ops.ranking import auroc
from rasant.ops.score import score_map
from rasant_calibration.effect import Inputs

__all__ = ["Evidence", "GateChoice", "choose_alpha", "gate_evidence"]

ALWAYS, NEVER = -8.0, 8.0  # bits: an entropy lies between 0 and 8, so what depth adds lies between these


@dataclass(frozen=True)
class Evidence:
    """What the network says of some frames, each (N,): bits that depth adds, image scores of either head, and truth."""

    gain: npt.NDArray[np.float64]
    fused: npt.NDArray[np.float64]
    color: npt.NDArray[np.float64]
    defective: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GateChoice:
    """An alpha and what it buys: I-AUROC with it, always open and always closed, and the share of frames it opens."""

    alpha: float
    auroc: float
    auroc_open: float
    auroc_closed: float
    opened: float
    good: int
    defective: int


def gate_evidence(
    model: bytes, frames: Sequence[Inputs], defective: Sequence[bool], gate: EntropyGate, kernel: int
) -> Evidence:
    """Run each frame's network inputs in ONNX Runtime. Raises ModelError for values that are not finite."""
    gain, scores = [], []
    with open_engine("onnxruntime", model) as engine:
        for inputs in frames:
            for name, array in engine.inputs.items():
                np.copyto(array, inputs[name])
            engine.infer()
            pooled = engine.outputs["pooled"]
            both = [score_map(engine.outputs[head][0], kernel=kernel).score for head in (FUSED_HEAD, COLOR_HEAD)]
            if not np.isfinite([*both, *pooled[0]]).all():
                raise rasant.ModelError("the graph gives values that are not finite; do not use it")
            gain.append(float(gate.gain(pooled)[0]))
            scores.append(both)
    fused, color = np.array(scores, np.float64).T
    return Evidence(np.array(gain), fused, color, np.array(defective, np.bool_))


def choose_alpha(seen: Evidence) -> GateChoice:
    """The alpha of the highest I-AUROC, halfway between two frames' gains. Raises ConfigError without both kinds."""
    if seen.defective.all() or not seen.defective.any():
        raise rasant.ConfigError("expected frames with and without a defect; give more good parts")
    steps = np.unique(seen.gain)
    candidates = [ALWAYS, *((steps[1:] + steps[:-1]) / 2), NEVER]
    tried = [(_auroc(seen, float(alpha)), float(alpha)) for alpha in candidates]
    best, alpha = max(tried, key=lambda one: (one[0], -one[1]))
    return GateChoice(
        alpha=alpha, auroc=best, auroc_open=tried[0][0], auroc_closed=tried[-1][0],
        opened=float(np.mean(seen.gain >= alpha)), good=int((~seen.defective).sum()),
        defective=int(seen.defective.sum()),
    )  # fmt: skip


def _auroc(seen: Evidence, alpha: float) -> float:
    return auroc(np.where(seen.gain >= alpha, seen.fused, seen.color), seen.defective)
