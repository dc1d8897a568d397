# SPDX-License-Identifier: Apache-2.0
"""EasyNet's gate (Chen et al., ACM MM 2023, section 3.4): does depth add information, or does colour decide alone?

The network gives two maps, one of colour and depth together and one of colour alone, and the mean over the image of
each feature. The entropy of a set of such means, over a histogram, stands for its information. A histogram is no
operation of ONNX, so the gate is here and not in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["COLOR_HEAD", "FUSED_HEAD", "EntropyGate", "histogram_entropy"]

FUSED_HEAD, COLOR_HEAD = "logits", "logits_color"  # the network's outputs
BINS = 256

FloatArray = npt.NDArray[np.float32]


def histogram_entropy(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Shannon entropy in bits of each row's histogram of 256 equal bins over [0, 1], 1 in the last of them.

    values: (N, C) finite. Values outside of [0, 1] are not counted; a row without any other has the entropy 0.
    Returns (N,), each in [0, 8].
    """
    rows = np.asarray(values, np.float64)
    inside = (rows >= 0.0) & (rows <= 1.0)
    bins = np.minimum((np.where(inside, rows, 0.0) * BINS).astype(np.int64), BINS - 1)
    row = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
    counts = np.bincount((row * BINS + bins)[inside], minlength=len(rows) * BINS).reshape(-1, BINS)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    entropy: npt.NDArray[np.float64] = (share * -np.log2(np.where(counts > 0, share, 1.0))).sum(axis=1)
    return entropy


@dataclass(frozen=True, slots=True)
class EntropyGate:
    """Which head counts. mode: "open" the fused one, "off" that of colour, "entropy" the one that the features choose.

    color_features: so many of the pooled features are of colour; they come first. alpha: bits that depth has to add.
    """

    mode: Literal["off", "open", "entropy"]
    color_features: int
    alpha: float = 0.0

    def gain(self, pooled: FloatArray) -> npt.NDArray[np.float64]:
        """What depth adds, (N,) bits: the entropy of all features less that of colour's. pooled: (N, C)."""
        return histogram_entropy(pooled) - histogram_entropy(pooled[:, : self.color_features])

    def opens(self, pooled: FloatArray) -> npt.NDArray[np.bool_]:
        """True for each sample of a batch whose fused map counts. pooled: (N, C) finite."""
        if self.mode != "entropy":
            return np.full(len(pooled), self.mode == "open")
        return self.gain(pooled) >= self.alpha

    def logits(self, outputs: Mapping[str, FloatArray]) -> FloatArray:
        """The logits (N, 2, h, w) that count, of a network's outputs, each sample by itself.

        NaN for a sample with any value that is not finite, in whichever head: what cannot be trusted is no answer.
        """
        fused, color, pooled = outputs[FUSED_HEAD], outputs[COLOR_HEAD], outputs["pooled"]
        sound = [all(np.isfinite(one).all() for one in sample) for sample in zip(fused, color, pooled, strict=True)]
        chosen = np.where(self.opens(np.nan_to_num(pooled))[:, None, None, None], fused, color)
        chosen[np.logical_not(sound)] = np.nan
        return chosen
