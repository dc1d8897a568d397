# SPDX-License-Identifier: Apache-2.0
"""DAS3D (Li et al., ECCV workshops 2024, arXiv 2410.09821): two reconstruction networks, one feature discriminator.

    colour ─ space to depth ─ F_I ─┐ taps b1, b2, db3, db4
                                   ├─ f_fuse ─ discriminator ─ two logits a pixel
    depth ── space to depth ─ F_Z ─┘

The discriminator sees the features of the first two and the last two layers of both networks (eq. 11): what is there
beside what should be there. The reconstructions themselves serve the loss and the attribution to a modality.

With late fusion, which is ours, each modality has a discriminator of its own features, and the surer one decides.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant_training.methods.das3d.recipe import Das3dNetwork
from rasant_training.nets.autoencoder import Autoencoder, Reconstruction
from rasant_training.nets.blocks import Up, initialise
from rasant_training.nets.reconstructing import CHANNELS, Outputs, gather, scatter
from rasant_training.nets.unet import UNet

__all__ = ["Das3d", "surest"]


class Das3d(nn.Module):
    """Dual reconstruction and feature discriminator, for one or both modalities.

    stem: 1 works at full resolution; 2 moves each 2x2 block into the channels first, so that narrow layers work on a
    quarter of the pixels, and upsamples the logits at the end.
    """

    def __init__(self, network: Das3dNetwork, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.stem = network.stem
        self.modalities = modalities
        self.late = network.fusion == "late" and len(modalities) > 1
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
        taps = {name: int(branch.tap_channels) for name, branch in self.reconstruct.items()}  # type: ignore[arg-type]

        def discriminator(channels: int) -> UNet:
            width, multipliers = network.discriminator_width, network.discriminator_multipliers
            return UNet(channels, width, multipliers=multipliers, narrow=paper, **shared)

        self.discriminate = (
            nn.ModuleDict({name: discriminator(channels) for name, channels in taps.items()})
            if self.late
            else discriminator(sum(taps.values()))
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
        reconstructions = {name: scatter(one.image, self.stem if whole else 1) for name, one in passes.items()}
        if not self.late:
            return Outputs(self._full(self.discriminate(self.fuse(list(passes.values())))), reconstructions)
        heads = {name: self.discriminate[name](self.fuse([one])) for name, one in passes.items()}  # type: ignore[index]
        logits = self._full(surest(list(heads.values())))
        alone = {name: self._full(head) for name, head in heads.items()} if whole else None
        return Outputs(logits, reconstructions, alone)

    def _full(self, logits: Tensor) -> Tensor:
        if self.stem == 1:
            return logits
        return functional.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)


def surest(heads: list[Tensor]) -> Tensor:
    """(N, 2, H, W) logits of the largest of the heads' probabilities, pixel by pixel.

    In arithmetic, since the maximum of a runtime may drop a NaN, which has to reach the verdict.
    """
    evidence = reduce(lambda a, b: 0.5 * (a + b + (a - b).abs()), [logits[:, 1:] - logits[:, :1] for logits in heads])
    return torch.cat([-0.5 * evidence, 0.5 * evidence], dim=1)
