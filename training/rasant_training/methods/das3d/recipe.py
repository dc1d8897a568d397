# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about DAS3D. The paper gives the formulas and almost none of the constants; see README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rasant.ops.defect import MAX_SIGMA
from rasant_training.bounds import Exponents, Positive, PositiveRange, Share, Shares, Weight, Width, rising
from rasant_training.data.places import PlaceRecipe

__all__ = ["Das3dLoss", "Das3dNetwork", "Das3dRecipe", "Das3dSynthesis"]


_Sigma = Annotated[float, Field(gt=0, le=MAX_SIGMA, allow_inf_nan=False)]
_Sigmas = Annotated[tuple[_Sigma, _Sigma], AfterValidator(rising)]
_FiveLevels = Annotated[tuple[Width, ...], Field(min_length=5, max_length=5)]
_Levels = Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)]


@dataclass(frozen=True, slots=True)
class Das3dNetwork:
    """Shape of the three networks."""

    # "paper": published units and corners; "edge": two units a stage, no narrowing, no biases
    form: Literal["edge", "paper"] = "edge"
    stem: Annotated[int, Field(ge=1, le=8)] = 2  # space to depth by this factor; 1 = full resolution
    width: Width = 24  # w of the autoencoders
    multipliers: _FiveLevels = (1, 2, 4, 4, 4)  # level widths in multiples of w
    discriminator_width: Width = 24
    discriminator_multipliers: _Levels = (1, 2, 4, 4, 4)
    # "early": one discriminator sees the features of both modalities (eq. 11); "late": each modality has its own, and
    # the one that is surer of a defect decides
    fusion: Literal["early", "late"] = "early"


@dataclass(frozen=True, slots=True)
class Das3dSynthesis(PlaceRecipe):
    """How synthetic defects are drawn. Heights in millimetres, lengths in network pixels."""

    lattice: Exponents = (2, 5)  # 2^k cells a crop and axis, k uniform in this range
    threshold: Shares = (0.25, 0.6)  # t_p
    sigma_px: _Sigmas = (0.6, 5.0)  # s of the skew-Gaussian kernel, log-uniform
    skew: Weight = 0.5  # a uniform in +-, 1/pixel
    amplitude_mm: PositiveRange = (0.4, 6.0)  # p_z, log-uniform
    visible_mm: Positive = 0.25  # t_h
    opacity: Share = 0.8  # b uniform in [0, opacity]: share of the normal image kept under a texture
    tint_share: Share = 0.5  # colour defects made of the part's own surface
    dropout: Share = 0.5  # p_d of each modality
    textures: str = ""  # folder of pictures; empty = procedural


@dataclass(frozen=True, slots=True)
class Das3dLoss:
    """Weights of the terms of eq. 13; the paper adds them unweighted."""

    color: Weight = 1.0
    ssim: Weight = 1.0
    depth: Weight = 1.0
    focal: Weight = 1.0
    positive: Weight = 1.0  # weight of anomalous pixels inside the focal loss


@dataclass(frozen=True, slots=True)
class Das3dRecipe:
    """Everything of DAS3D that a recipe file may set under [settings]."""

    network: Das3dNetwork = field(default_factory=Das3dNetwork)
    synthesis: Das3dSynthesis = field(default_factory=Das3dSynthesis)
    loss: Das3dLoss = field(default_factory=Das3dLoss)
