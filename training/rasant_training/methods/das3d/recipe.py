# SPDX-License-Identifier: Apache-2.0
"""What can be chosen about DAS3D. The paper gives the formulas and almost none of the constants; see README.md."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Das3dLoss", "Das3dNetwork", "Das3dRecipe", "Das3dSynthesis"]


@dataclass(frozen=True, slots=True)
class Das3dNetwork:
    """Shape of the three networks."""

    form: str = "edge"  # "paper": published units and corners; "edge": two units a stage, no narrowing, no biases
    stem: int = 2  # space to depth by this factor; 1 = full resolution
    width: int = 24  # w of the autoencoders
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4)  # level widths in multiples of w
    discriminator_width: int = 24
    discriminator_multipliers: tuple[int, ...] = (1, 2, 4, 4, 4)


@dataclass(frozen=True, slots=True)
class Das3dSynthesis:
    """How normal crops and their synthetic defects are drawn. Heights in millimetres, lengths in network pixels."""

    rotation_deg: float = 15.0  # of the normal crop, uniform in +-, with rotation_share
    rotation_share: float = 0.5  # the rest is cut without resampling, so that sensor noise keeps its look
    gain: float = 0.1  # brightness and contrast of the normal crop vary by this much
    lattice: tuple[int, int] = (2, 5)  # 2^k cells a crop and axis, k uniform in this range
    threshold: tuple[float, float] = (0.25, 0.6)  # t_p
    gate_px: tuple[float, float] = (5.0, 48.0)  # radius of the discs that let a few Perlin blobs through, log-uniform
    stroke_share: float = 0.3  # crops whose mask is a thin stroke
    sigma_px: tuple[float, float] = (0.6, 5.0)  # s of the skew-Gaussian kernel, log-uniform
    skew: float = 0.5  # a uniform in +-, 1/pixel
    amplitude_mm: tuple[float, float] = (0.4, 6.0)  # p_z, log-uniform
    visible_mm: float = 0.25  # t_h
    opacity: float = 0.8  # b uniform in [0, opacity]: share of the normal image kept under a texture
    tint_share: float = 0.5  # colour defects made of the part's own surface
    dropout: float = 0.5  # p_d of each modality
    textures: str = ""  # folder of pictures; empty = procedural


@dataclass(frozen=True, slots=True)
class Das3dLoss:
    """Weights of the terms of eq. 13; the paper adds them unweighted."""

    color: float = 1.0
    ssim: float = 1.0
    depth: float = 1.0
    focal: float = 1.0
    positive: float = 1.0  # weight of anomalous pixels inside the focal loss


@dataclass(frozen=True, slots=True)
class Das3dRecipe:
    """Everything of DAS3D that a recipe file may set under [method]."""

    network: Das3dNetwork = field(default_factory=Das3dNetwork)
    synthesis: Das3dSynthesis = field(default_factory=Das3dSynthesis)
    loss: Das3dLoss = field(default_factory=Das3dLoss)
