# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of weights: the averaged network is the one that is shown and exported."""

from __future__ import annotations

import torch

__all__ = ["WeightAverage"]


class WeightAverage:
    """Shadow of a network's parameters. The decay rises as (1 + n) / (10 + n) to its limit: early steps fade.

    Buffers (BatchNorm statistics) are not averaged: `weights` takes them from the network as they are.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Take in the parameters after one optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in model.named_parameters():
            self.shadow[name].lerp_(value.detach(), 1.0 - decay)

    def weights(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """State dictionary with averaged parameters and the network's own buffers."""
        return {**model.state_dict(), **self.shadow}
