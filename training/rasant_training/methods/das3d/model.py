# SPDX-License-Identifier: Apache-2.0
"""DAS3D (Li et al., ECCV workshops 2024, arXiv 2410.09821): two reconstruction networks, one feature discriminator.

    colour ─ space to depth ─ F_I ─┐ taps b1, b2, db3, db4
                                   ├─ f_fuse ─ discriminator ─ two logits a pixel
    depth ── space to depth ─ F_Z ─┘

The discriminator sees the features of the first two and the last two layers of both networks (eq. 11): what is there
beside what should be there. The reconstructions themselves serve the loss and the attribution to a modality.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant_training.methods.das3d.recipe import Das3dNetwork
from rasant_training.nets.autoencoder import Autoencoder, Reconstruction
from rasant_training.nets.blocks import Up, initialise
from rasant_training.nets.unet import UNet

__all__ = ["CHANNELS", "Das3d", "Das3dExport", "Outputs"]

CHANNELS = {"color": 3, "depth": 1}


class Outputs(NamedTuple):
    """Logits (N, 2, H, W) and the reconstruction (N, C, H, W) of each modality in use."""

    logits: Tensor
    reconstructions: dict[str, Tensor]


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

    def forward(self, images: dict[str, Tensor]) -> Outputs:
        """images: modality -> (N, C, H, W) in network range; H and W divisible by stem * 2 ** (levels - 1)."""
        passes = {name: self.reconstruct[name](self._gather(images[name])) for name in self.modalities}
        logits = self.discriminate(self.fuse(list(passes.values())))
        if self.stem > 1:
            logits = functional.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)
        return Outputs(logits, {name: self._scatter(one.image) for name, one in passes.items()})

    def _gather(self, x: Tensor) -> Tensor:
        return functional.pixel_unshuffle(x, self.stem) if self.stem > 1 else x

    def _scatter(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(x, self.stem) if self.stem > 1 else x


class Das3dExport(nn.Module):
    """What goes into the bundle: the modalities in use -> (logits, residual).

    residual (N, modalities, H, W): mean absolute reconstruction error over the channels of each modality.
    """

    def __init__(self, model: Das3d) -> None:
        super().__init__()
        self.model = model

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """One (N, C, H, W) tensor for each of `model.modalities`, in their order."""
        named = dict(zip(self.model.modalities, images, strict=True))
        outputs = self.model(named)
        residual = [
            (outputs.reconstructions[name] - image).abs().mean(dim=1, keepdim=True) for name, image in named.items()
        ]
        return outputs.logits, torch.cat(residual, dim=1)
