# SPDX-License-Identifier: Apache-2.0
"""EasyNet (Chen et al., ACM MM 2023, arXiv 2307.13925): two reconstruction networks, one perceptron for every pixel.

    colour ── F_I ── e1, e2 ─┬──────────── head of colour ─ two logits a pixel
                             ├─ fused head ─ two logits a pixel
    depth ─── F_Z ── e1, e2 ─┘

e1 and e2 merge what the first and the last levels of a branch see: what is there beside what should be there. Which of
the two maps counts is decided by the gate, outside of the graph (`rasant.entropy_gate`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant.bundle.gate_schema import Gate
from rasant_training.methods.easynet.heads import PixelHead, pointwise
from rasant_training.methods.easynet.recipe import EasynetDeploy, EasynetNetwork
from rasant_training.nets.autoencoder import Autoencoder, Reconstruction
from rasant_training.nets.reconstructing import CHANNELS, gather, residuals, scatter

__all__ = ["Easynet", "EasynetExport", "Outputs"]


class Outputs(NamedTuple):
    """What a training step sees. Reconstructions have 3 channels of depth in the paper's form."""

    logits: Tensor  # (N, 2, H, W), of all modalities in use
    reconstructions: dict[str, Tensor]  # (N, C, H, W)
    color_logits: Tensor | None  # (N, 2, H, W), of colour alone; None where one modality is all there is
    features: dict[str, list[Tensor]]  # e1, e2, ... of each modality: (N, h, H / (stem 2^k), W / (stem 2^k))


class MergedLevels(nn.Module):
    """e1, e2, ... of one branch: both taps of a size, the encoder's and the decoder's, joined, mixed in each pixel."""

    def __init__(self, branch: Autoencoder, hidden: int, layers: int, *, bias: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(pointwise(taps, hidden, bias=bias) for taps in branch.level_channels[:layers])

    def forward(self, one: Reconstruction) -> list[Tensor]:
        """(N, hidden, H / 2^k, W / 2^k) for k = 0, 1, ..."""
        taps = ((one.b1, one.db4), (one.b2, one.db3), (one.b3, one.db2))
        return [merge(torch.cat(both, dim=1)) for merge, both in zip(self.levels, taps, strict=False)]


class Easynet(nn.Module):
    """One branch for each modality in use, and a head; with both modalities a second head of colour alone."""

    def __init__(
        self, network: EasynetNetwork, modalities: tuple[str, ...], deploy: EasynetDeploy | None = None
    ) -> None:
        super().__init__()
        self.stem, self.modalities, self.deploy = network.stem, modalities, deploy or EasynetDeploy()
        paper = network.form == "paper"
        hidden, layers = network.hidden, network.layers
        self.features = hidden * layers  # of one modality
        self.channels = {name: CHANNELS["color"] if paper else CHANNELS[name] for name in modalities}
        branches = {
            name: Autoencoder(
                channels * self.stem**2,
                network.width,
                multipliers=network.multipliers,
                decoder_units=3 if paper else 2,
                align_corners=paper,
                bias=paper,
            )
            for name, channels in self.channels.items()
        }
        self.reconstruct = nn.ModuleDict(branches)
        self.merge = nn.ModuleDict(
            {name: MergedLevels(branch, hidden, layers, bias=paper) for name, branch in branches.items()}
        )
        self.head = PixelHead(hidden * len(modalities), hidden, layers, normalised=paper)
        self.color_head = PixelHead(hidden, hidden, layers, normalised=paper) if len(modalities) > 1 else None
        self.apply(_initialise) if paper else None

    def forward(self, images: dict[str, Tensor], *, whole: bool = True) -> Outputs:
        """images: modality -> (N, C, H, W) in network range; H and W divisible by 16 stem.

        whole: reconstructions as images; otherwise as the stem folds them.
        """
        reconstructions, features = {}, {}
        for name in self.modalities:
            image = images[name].expand(-1, self.channels[name], -1, -1)
            one = self.reconstruct[name](gather(image, self.stem))
            reconstructions[name] = scatter(one.image, self.stem if whole else 1)
            features[name] = self.merge[name](one)
        logits = self._full(self.head([torch.cat(level, dim=1) for level in zip(*features.values(), strict=True)]))
        color = None if self.color_head is None else self._full(self.color_head(features["color"]))
        return Outputs(logits, reconstructions, color, features)

    def _full(self, logits: Tensor) -> Tensor:
        if self.stem == 1:
            return logits
        return functional.interpolate(logits, scale_factor=self.stem, mode="bilinear", align_corners=False)


class EasynetExport(nn.Module):
    """What goes into the bundle: the modalities in use -> logits, residual and, where the host has a gate, the logits
    of colour alone and the mean over the image of each feature, those of colour first.
    """

    def __init__(self, model: Easynet) -> None:
        super().__init__()
        self.model = model
        self.gate: Gate | None = None
        self.outputs: tuple[str, ...] = ("logits", "residual")
        if model.color_head is not None and model.deploy.gate != "open":
            self.gate = Gate(mode=model.deploy.gate, color_features=model.features)
            self.outputs += ("logits_color", "pooled")

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """One (1, C, H, W) tensor for each of `model.modalities`, in their order -> `outputs`."""
        named = dict(zip(self.model.modalities, images, strict=True))
        found = self.model(named, whole=False)
        results = (found.logits, residuals(found.reconstructions, named, self.model.stem))
        if self.gate is None:
            return results
        # Enlarging the coarser levels first, as published, would not change their means.
        means = [level.mean(dim=(2, 3)) for levels in found.features.values() for level in levels]
        return (*results, found.color_logits, torch.cat(means, dim=1))


def _initialise(module: nn.Module) -> None:
    """Xavier's normal law for convolutions, as the release does."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight)
