# SPDX-License-Identifier: Apache-2.0
"""DRAEM (Zavrtanik et al., ICCV 2021): a reconstruction network and a discriminator that compares, on one image.

    image ── autoencoder ── reconstruction ─┐
      └─────────────────────────────────────┴─ UNet ─ two logits a pixel

The autoencoder learns to paint a normal part over a defect, the discriminator to say where the two images differ in a
way that matters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant_training.methods.draem.recipe import DraemNetwork
from rasant_training.nets.autoencoder import Autoencoder
from rasant_training.nets.blocks import initialise
from rasant_training.nets.reconstructing import CHANNELS, Outputs, gather, scatter
from rasant_training.nets.unet import UNet

__all__ = ["Draem"]


class Draem(nn.Module):
    """Both networks for one modality, "color" or "depth".

    With a stem above 1 both work on images whose blocks of stem x stem pixels were moved into the channels, and the
    logits are enlarged at the end.
    """

    def __init__(self, network: DraemNetwork, modality: str) -> None:
        super().__init__()
        self.stem = network.stem
        self.modalities = (modality,)
        paper = network.form == "paper"
        channels = CHANNELS[modality] * self.stem**2
        self.reconstruct = Autoencoder(
            channels, network.width, multipliers=network.multipliers, decoder_units=3 if paper else 2,
            align_corners=paper, bias=paper,
        )  # fmt: skip
        self.discriminate = UNet(
            2 * channels, network.discriminator_width, multipliers=network.discriminator_multipliers, narrow=paper,
            align_corners=paper, bias=paper,
        )  # fmt: skip
        self.apply(initialise) if paper else None

    def forward(self, images: dict[str, Tensor], *, whole: bool = True) -> Outputs:
        """images: modality -> (N, C, H, W) in network range; H and W divisible by stem * 2 ** (levels - 1).

        whole: the reconstruction as an image; otherwise as the stem folds it.
        """
        (name,) = self.modalities
        image = gather(images[name], self.stem)
        reconstruction = self.reconstruct(image).image
        logits = self.discriminate(torch.cat([reconstruction, image], dim=1))
        if self.stem > 1:
            logits = functional.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)
        return Outputs(logits, {name: scatter(reconstruction, self.stem if whole else 1)})
