# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about DBRN. The paper names the parts and few of their sizes; see README.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from rasant_training.bounds import Exponents, Positive, Share, Weight, Width
from rasant_training.data.places import PlaceRecipe

__all__ = ["DbrnDeploy", "DbrnLoss", "DbrnNetwork", "DbrnRecipe", "DbrnSynthesis"]

_Levels = Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)]
_Rates = Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1, max_length=7)]
_Swap = Annotated[float, Field(ge=0, le=0.5)]


@dataclass(frozen=True, slots=True)
class DbrnNetwork:
    """Shape of the two Swin-UNets and of the discriminator. Lengths in pixels, or in tokens where it says so."""

    patch: Width = 4  # side of the patch that becomes a token
    width: Width = 32  # of a token on the finest level; it doubles from level to level
    depths: _Levels = (2, 2, 4)  # blocks a level, in the encoder and again in the decoder
    heads: _Levels = (2, 4, 8)  # of the attention, a level
    window: Width = 8  # tokens
    skip_rates: _Rates = (0.6, 0.4)  # share that is dropped from each skip, the shallowest first
    scales: Annotated[int, Field(ge=1, le=4)] = 1  # reconstructions a modality, each half as fine as the one before
    # "expand": the finest reconstruction as published, each token growing to patch^2 wide ones; "direct": to pixels
    head: Literal["direct", "expand"] = "direct"
    pair_patch: Width = 4  # side of the patch embed of (original, reconstruction)
    pair_width: Width = 32  # as many numbers as a pair of patches of 4 has
    multipliers: _Levels = (1, 2, 4, 4)  # widths of the discriminator's levels in multiples of pair_width
    swap: _Swap = 0.25  # chance of each modality, never of both, to be judged against itself
    detach: bool = False  # keep the discriminator's gradient out of the reconstruction


@dataclass(frozen=True, slots=True)
class DbrnSynthesis(PlaceRecipe):
    """How normal crops and their synthetic defects are drawn; see `rasant.synthesis.zero_or_blend`."""

    unchanged: Share = 0.3  # 1 - epsilon_1
    zeroed: Share = 0.2  # epsilon_1 - epsilon_2; the rest is mixed with a picture
    opacity: Share = 0.8  # of the normal part in a mixture, at most
    lattice: Exponents = (2, 5)  # 2^k cells a crop and axis, k uniform in this range
    threshold: Share = 0.3  # of the noise


@dataclass(frozen=True, slots=True)
class DbrnLoss:
    """Weights of eq. 2 and 5."""

    background: Weight = 1.0  # lambda_1 to lambda_4
    foreground: Weight = 4.0
    mask: Weight = 10.0
    ssim: Weight = 1.0
    focal: Weight = 20.0
    positive: Positive = 1.0  # weight of anomalous pixels inside the focal loss


@dataclass(frozen=True, slots=True)
class DbrnDeploy:
    """What becomes of the skip dropout, which the paper keeps at test time. Any of them fits the trained weights."""

    # "seeded": one mask, drawn once and then constant; "mean": no mask, its expectation; "mc:k": the mean of k masks
    skip_dropout: Annotated[str, Field(pattern=r"^(seeded|mean|mc:([2-9]|1[0-6]))$")] = "seeded"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # of the first mask; the k masks have the seeds from here on

    @property
    def copies(self) -> int:
        """Passes through decoder and discriminator for one frame."""
        return int(self.skip_dropout.removeprefix("mc:")) if self.skip_dropout.startswith("mc:") else 1


@dataclass(frozen=True, slots=True)
class DbrnRecipe:
    """Everything of DBRN that a recipe file may set under [settings]."""

    network: DbrnNetwork = field(default_factory=DbrnNetwork)
    synthesis: DbrnSynthesis = field(default_factory=DbrnSynthesis)
    loss: DbrnLoss = field(default_factory=DbrnLoss)
    deploy: DbrnDeploy = field(default_factory=DbrnDeploy)
