# SPDX-License-Identifier: Apache-2.0
"""Focal loss (Lin et al., 2017) on two logits a pixel, as DRAEM uses it: gamma 2, no class weight."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["focal_loss"]


def focal_loss(logits: Tensor, mask: Tensor, *, gamma: float = 2.0, positive: float = 1.0) -> Tensor:
    """Mean of (1 - p)^gamma * -log p over all pixels, p the probability of the true class.

    logits: (N, 2, H, W); mask: (N, H, W), 1 where anomalous. positive: weight of anomalous pixels (1 is the paper's).
    Computed from log-sigmoid, so that it needs no clamp.
    """
    difference = logits[:, 1] - logits[:, 0]
    signed = difference * (2 * mask - 1)  # > 0 where right
    weight = 1 + (positive - 1) * mask
    return (weight * functional.sigmoid(-signed) ** gamma * -functional.logsigmoid(signed)).mean()
