# SPDX-License-Identifier: Apache-2.0
"""DAS3D (Li et al., ECCV workshops 2024, arXiv 2410.09821): two reconstruction networks, one feature discriminator.

    colour ─ space to depth ─ F_I ─┐ taps b1, b2, db3, db4
                                   ├─ f_fuse ─ discriminator ─ two logits a pixel
    depth ── space to depth ─ F_Z ─┘

The discriminator sees the features of the first two and the last two layers of both networks (eq. 11): what is there
beside what should be there. The reconstructions themselves serve the loss and the attribution to a modality.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant_training.methods.das3d.recipe import Das3dNetwork
from rasant_training.nets.autoencoder import Autoencoder, Reconstruction
from rasant_training.nets.blocks import Up, initialise
from rasant_training.nets.reconstructing import CHANNELS, Outputs, gather, scatter
from rasant_training.nets.unet import UNet

__all__ = ["Das3d"]


class Das3d(nn.Module):
    """Dual reconstruction and feature discriminator, for one or both modalities.

    stem: 1 works at full resolution; 2 moves each 2x2 block into the channels first, so that narrow layers work on a
    quarter of the pixels, and upsamples the logits at the end.
    """

    def __init__(self, network: Das3dNetwork, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.stem = network.stem
        self.modalities = modalities
        paper = network.form == "paper"
        shared = {"align_corners": paper, "bias": paper}
        self.reconstruct = nn.ModuleDict(
            {
                name: Autoencoder(
                    CHANNELS[name] * self.stem**2,
                    network.width,
                    multipliers=network.multipliers,
                    decoder_units=3 if paper else 2,
                    **shared,
                )
                for name in modalities
            }
        )
        taps = sum(branch.tap_channels for branch in self.reconstruct.values())  # type: ignore[misc, union-attr]
        self.discriminate = UNet(
            int(taps),
            network.discriminator_width,
            multipliers=network.discriminator_multipliers,
            narrow=paper,
            **shared,
        )
        self.up = Up(align_corners=paper)
        self.apply(initialise) if paper else None

    def fuse(self, passes: list[Reconstruction]) -> Tensor:
        """f_fuse: the taps of all modalities at full (stem) resolution. Both half-size taps are upsampled together."""
        full = [tap for one in passes for tap in (one.b1, one.db4)]
        half = [tap for one in passes for tap in (one.b2, one.db3)]
        return torch.cat([*full, self.up(torch.cat(half, dim=1))], dim=1)

    def forward(self, images: dict[str, Tensor], *, whole: bool = True) -> Outputs:
        """images: modality -> (N, C, H, W) in network range; H and W divisible by stem * 2 ** (levels - 1).

        whole: reconstructions as images; otherwise as the stem folds them.
        """
        passes = {name: self.reconstruct[name](gather(images[name], self.stem)) for name in self.modalities}
        logits = self.discriminate(self.fuse(list(passes.values())))
        if self.stem > 1:
            logits = functional.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)
        return Outputs(logits, {name: scatter(one.image, self.stem if whole else 1) for name, one in passes.items()})
