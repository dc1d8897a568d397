# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about EasyNet; [P] the paper, [R] the authors' release, see README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from rasant_training.bounds import Weight, Width
from rasant_training.data.noise_defects import NoiseRecipe

__all__ = ["EasynetDeploy", "EasynetLoss", "EasynetNetwork", "EasynetRecipe"]


@dataclass(frozen=True, slots=True)
class EasynetNetwork:
    """Shape of the two branches and of the per-pixel heads; the defaults are the published ones."""

    # "paper": three units a stage, depth as three equal channels, logits normalised and rectified [R]; "edge": two
    # units, one channel, plain logits
    form: Literal["edge", "paper"] = "paper"
    stem: Annotated[int, Field(ge=1, le=8)] = 1  # space to depth by this factor; 1 = full resolution
    width: Width = 128  # w of the autoencoders
    multipliers: Annotated[tuple[Width, ...], Field(min_length=5, max_length=5)] = (1, 2, 4, 8, 8)
    layers: Annotated[int, Field(ge=1, le=3)] = 2  # levels that the heads see: full size, half, quarter
    hidden: Annotated[int, Field(ge=2)] = 512  # h: width of a merged level and of the heads' first layer


@dataclass(frozen=True, slots=True)
class EasynetLoss:
    """Weights of the terms. The published program goes backwards twice, once a head, each time with all
    reconstruction terms; so those count twice where both modalities are seen."""

    color: Weight = 1.0  # squared error
    ssim: Weight = 1.0
    depth: Weight = 1.0  # squared error
    focal: Weight = 1.0  # of either head
    positive: Weight = 1.0  # weight of anomalous pixels inside the focal loss


@dataclass(frozen=True, slots=True)
class EasynetDeploy:
    """What is left open until the bundle is written (`rasant export --set settings.deploy.gate=entropy`)."""

    # Which map counts where both modalities are seen: "open" the fused one; "off" the one of colour alone; "entropy"
    # the fused one where depth adds information. Only "open" needs nothing but the graph.
    gate: Literal["off", "open", "entropy"] = "open"


@dataclass(frozen=True, slots=True)
class EasynetRecipe:
    """Everything of EasyNet that a recipe file may set under [settings]."""

    network: EasynetNetwork = field(default_factory=EasynetNetwork)
    synthesis: NoiseRecipe = field(default_factory=NoiseRecipe)
    loss: EasynetLoss = field(default_factory=EasynetLoss)
    deploy: EasynetDeploy = field(default_factory=EasynetDeploy)
