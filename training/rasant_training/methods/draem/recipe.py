# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about DRAEM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from rasant_training.bounds import Weight, Width
from rasant_training.data.noise_defects import NoiseRecipe

__all__ = ["DraemLoss", "DraemNetwork", "DraemRecipe"]


@dataclass(frozen=True, slots=True)
class DraemNetwork:
    """Shape of the two networks; the defaults are the published ones."""

    # "paper": published units and corners; "edge": two units a stage, no narrowing, no biases
    form: Literal["edge", "paper"] = "paper"
    stem: Annotated[int, Field(ge=1, le=8)] = 1  # space to depth by this factor; 1 = full resolution
    width: Width = 128
    multipliers: Annotated[tuple[Width, ...], Field(min_length=5, max_length=5)] = (1, 2, 4, 8, 8)
    discriminator_width: Width = 64
    discriminator_multipliers: Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)] = (1, 2, 4, 8, 8, 8)


@dataclass(frozen=True, slots=True)
class DraemLoss:
    """Weights of the three terms; the paper adds them unweighted."""

    reconstruction: Weight = 1.0  # squared error
    ssim: Weight = 1.0
    focal: Weight = 1.0
    positive: Weight = 1.0  # weight of anomalous pixels inside the focal loss


@dataclass(frozen=True, slots=True)
class DraemRecipe:
    """Everything of DRAEM that a recipe file may set under [settings]."""

    network: DraemNetwork = field(default_factory=DraemNetwork)
    synthesis: NoiseRecipe = field(default_factory=NoiseRecipe)
    loss: DraemLoss = field(default_factory=DraemLoss)
