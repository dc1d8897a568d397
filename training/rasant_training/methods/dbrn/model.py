# SPDX-License-Identifier: Apache-2.0
"""DBRN (Bi, Li and Luo): two Swin-UNets reconstruct colour and depth, one discriminator judges both (fig. 3).

    colour ── Swin-UNet ── colour at 1, 1/2, 1/4 ─┐ pairs (original, reconstruction), one patch embed for all
                                                  ├─ importance scores ─ UNet ─ two logits a pixel and scale ─ mean
    depth ─── Swin-UNet ── depth at 1, 1/2, 1/4 ──┘

The skips of the Swin-UNets pass through a dropout that stays on at test time. A frame must not be judged by chance, so
outside training its masks are constants of the network (`DbrnDeploy`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rasant_training.methods.dbrn.recipe import DbrnDeploy, DbrnNetwork
from rasant_training.nets.blocks import unit
from rasant_training.nets.reconstructing import CHANNELS
from rasant_training.nets.swin import Expand, Grid, Merge, SwinStage, initialise_swin
from rasant_training.nets.unet import UNet

__all__ = ["Dbrn", "DbrnExport", "ImportanceScores", "Outputs", "SkipDropout", "SwinUNet", "mean_logits"]

TINY = 1e-12  # keeps the logarithm of a probability finite, and a NaN a NaN, as a clamp would not


class Outputs(NamedTuple):
    """Logits (N, 2, H, W) and, for each modality in use, its reconstructions (N, C, H / 2^s, W / 2^s), finest first."""

    logits: Tensor
    reconstructions: dict[str, tuple[Tensor, ...]]


class SkipDropout(nn.Module):
    """Dropout of single values, scaled by 1 / (1 - rate); outside training with the masks that `deploy` asks for.

    grids: the token grids that it will meet. branch: a number that no other dropout of the network has.
    """

    def __init__(self, rate: float, width: int, grids: list[Grid], deploy: DbrnDeploy, branch: int) -> None:
        super().__init__()
        self.rate, self.copies = rate, deploy.copies
        for rows, cols in () if deploy.skip_dropout == "mean" else grids:
            seeds = range(deploy.seed, deploy.seed + deploy.copies)
            draws = [np.random.default_rng((seed, branch)).random((rows, cols * width), np.float32) for seed in seeds]
            masks = torch.tensor((np.stack(draws) >= rate).astype(np.float32) / (1.0 - rate))
            self.register_buffer(f"masks_{rows}x{cols}", masks, persistent=False)  # (copies, rows, cols * width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape in training, else (copies * N, H, W, C)."""
        if self.training:
            return functional.dropout(x, self.rate)
        masks: Tensor | None = getattr(self, f"masks_{x.shape[1]}x{x.shape[2]}", None)
        if masks is None:
            return x
        return (x * masks.reshape(self.copies, 1, *x.shape[1:])).flatten(0, 1)


class SwinUNet(nn.Module):
    """The reconstruction network: Swin-UNet with dropout on its skips and a head on each of the finest decoder levels.

    sizes: the image sizes (H, W) that it will meet. branch: tells the masks of one network's dropout from another's.
    """

    def __init__(
        self, channels: int, network: DbrnNetwork, sizes: list[Grid], deploy: DbrnDeploy, branch: int
    ) -> None:
        super().__init__()
        patch, levels = network.patch, range(len(network.depths))
        width = [network.width * 2**level for level in levels]
        grids = [[(h // patch >> level, w // patch >> level) for h, w in sizes] for level in levels]
        self.scales, self.copies = network.scales, deploy.copies
        self.embed = nn.Conv2d(channels, width[0], patch, stride=patch)
        self.embed_norm = nn.LayerNorm(width[0])

        def stage(level: int) -> SwinStage:
            return SwinStage(width[level], network.depths[level], network.heads[level], network.window, grids[level])

        above = levels[:-1]  # those that have a skip and a decoder stage, the finest first
        self.encoder = nn.ModuleList(stage(level) for level in levels)
        self.merge = nn.ModuleList(Merge(width[level]) for level in above)
        self.norm = nn.LayerNorm(width[-1])
        self.drop = nn.ModuleList(
            SkipDropout(rate, width[level], grids[level], deploy, len(width) * branch + level)
            for level, rate in zip(above, network.skip_rates, strict=True)
        )
        self.expand = nn.ModuleList(Expand(width[level + 1], width[level]) for level in above)
        self.join = nn.ModuleList(nn.Linear(2 * width[level], width[level]) for level in above)
        self.decoder = nn.ModuleList(stage(level) for level in above)
        self.heads = nn.ModuleList(
            Head(width[level], channels, patch, wide=network.head == "expand" and level == 0)
            for level in range(network.scales)
        )
        self.apply(initialise_swin)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, channels, H, W) -> reconstructions (copies * N, channels, H / 2^s, W / 2^s), the finest first."""
        x = self.embed_norm(self.embed(image).permute(0, 2, 3, 1))
        skips = []
        for encode, merge, drop in zip(self.encoder, self.merge, self.drop, strict=False):
            skips.append(drop(x))  # what enters the level, as the published code has it
            x = merge(encode(x))
        x = repeated(self.norm(self.encoder[-1](x)), 1 if self.training else self.copies)
        found: list[Tensor] = []
        for level in reversed(range(len(skips))):
            x = self.join[level](torch.cat([self.expand[level](x), skips[level]], dim=-1))
            x = self.decoder[level](x)
            if level < self.scales:
                found.insert(0, self.heads[level](x))
        return tuple(found)


class Head(nn.Module):
    """Tokens to pixels: (N, h, w, C) -> (N, channels, h * patch, w * patch).

    wide: as published, each token grows into patch^2 tokens of its own width first; that costs a memory pass over an
    image of C channels. Without it, a token grows into its pixels at once.
    """

    def __init__(self, width: int, channels: int, patch: int, *, wide: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = Expand(width, width, patch) if wide else nn.Identity()
        self.last = nn.Conv2d(width, channels * (1 if wide else patch**2), 1, bias=not wide)
        self.shuffle = nn.Identity() if wide else nn.PixelShuffle(patch)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.shuffle(self.last(self.expand(self.norm(x)).permute(0, 3, 1, 2)))  # type: ignore[no-any-return]


class PairEmbed(nn.Module):
    """The patch embed that all pairs share: a channel and its reconstruction -> features, averaged over channels.

    Each modality is normalised by itself. Statistics that both shared would be those of neither: in training each
    pass has its own, and at the machine every dark hole of a part would light up.
    The ReLU is ours: were the embed affine, the mean over R, G and B would be the embed of grey.
    """

    def __init__(self, width: int, patch: int, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, width, patch, stride=patch, bias=False)
        self.norm = nn.ModuleDict({name: nn.BatchNorm2d(width) for name in modalities})

    def forward(self, image: Tensor, reconstruction: Tensor, modality: str) -> Tensor:
        """Two (N, C, H, W) -> (N, width, H / patch, W / patch)."""
        pairs = torch.stack([image, reconstruction], dim=2).flatten(0, 1)
        features = self.norm[modality](self.patches(pairs)).relu()
        return features.unflatten(0, (len(image), -1)).mean(dim=1)  # type: ignore[no-any-return]


class ImportanceScores(nn.Module):
    """The importance scoring module (fig. 4): weights in 0 to 1 for each modality, place and channel (eq. 3 and 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            unit(2 * width, 2 * width, bias=False),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.Sigmoid(),
        )

    def forward(self, color: Tensor, depth: Tensor) -> Tensor:
        """Features (N, width, h, w) of both modalities -> their weighted sum."""
        weights = self.weigh(torch.cat([color, depth], dim=1)).chunk(2, dim=1)
        return color * weights[0] + depth * weights[1]  # type: ignore[no-any-return]


class Dbrn(nn.Module):
    """Dual-branch reconstruction and one discriminator, for one or both modalities.

    sizes: the image sizes (H, W) that it will meet: of training samples and of the machine's frames.
    """

    def __init__(
        self, network: DbrnNetwork, modalities: tuple[str, ...], sizes: list[Grid], deploy: DbrnDeploy
    ) -> None:
        super().__init__()
        self.modalities = modalities
        self.swap, self.detach, self.pair_patch = network.swap, network.detach, network.pair_patch
        self.copies = deploy.copies
        self.reconstruct = nn.ModuleDict(
            {
                name: SwinUNet(CHANNELS[name], network, sizes, deploy, branch)
                for branch, name in enumerate(CHANNELS)
                if name in modalities
            }
        )
        self.embed = PairEmbed(network.pair_width, network.pair_patch, modalities)
        self.score = ImportanceScores(network.pair_width) if len(modalities) > 1 else None
        self.discriminate = UNet(
            network.pair_width,
            network.pair_width,
            multipliers=network.multipliers,
            narrow=False,
            keep=True,
            align_corners=False,
            bias=False,
        )

    def forward(self, images: dict[str, Tensor]) -> Outputs:
        """images: modality -> (N, C, H, W) in network range, of one of the sizes that the network was built for."""
        found = {name: self.reconstruct[name](images[name]) for name in self.modalities}
        copies = 1 if self.training else self.copies
        pairs = self.pairs({name: repeated(images[name], copies) for name in self.modalities}, found)
        features = [self.embed(*pair, name) for name, pair in pairs.items()]
        logits = self.discriminate(features[0] if self.score is None else self.score(*features))
        if self.pair_patch > 1:
            logits = functional.interpolate(
                logits, scale_factor=float(self.pair_patch), mode="bilinear", align_corners=False
            )
        return Outputs(mean_logits(logits, len(logits) // len(images[self.modalities[0]])), found)

    def pairs(
        self, images: dict[str, Tensor], found: dict[str, tuple[Tensor, ...]]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Original and reconstruction of each modality at full size, all scales stacked along the batch."""
        rebuilt = {}
        for name, (finest, *coarser) in found.items():
            size = images[name].shape[2:]
            full = (functional.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in coarser)
            rebuilt[name] = [x.detach() if self.detach else x for x in (finest, *full)]
        if self.training and self.score is not None:
            rebuilt = self.identical_pairs(images, rebuilt)
        return {name: (repeated(images[name], len(full)), torch.cat(full)) for name, full in rebuilt.items()}

    def identical_pairs(self, images: dict[str, Tensor], rebuilt: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """`rebuilt`, where a few samples have one modality replaced by its original, on all scales.

        No difference is to be seen there, and the scores learn to trust the other modality (section III-D-1).
        """
        chance = torch.rand(len(images["color"]), 1, 1, 1, device=images["color"].device)
        chosen = {"color": chance < self.swap, "depth": chance >= 1 - self.swap}
        return {name: [torch.where(chosen[name], images[name], x) for x in full] for name, full in rebuilt.items()}


def repeated(x: Tensor, count: int) -> Tensor:
    """(N, ...) -> (count * N, ...): the batch again and again; itself for a count of 1."""
    return x if count == 1 else torch.cat([x] * count)


def mean_logits(logits: Tensor, count: int) -> Tensor:
    """(count * N, 2, H, W) -> (N, 2, H, W): logits whose probability is the mean of the `count` probabilities."""
    if count == 1:
        return logits
    probability = logits.float().softmax(dim=1).unflatten(0, (count, -1)).mean(dim=0)
    return (probability + TINY).log()


class DbrnExport(nn.Module):
    """What goes into the bundle: the modalities in use -> (logits, residual).

    residual (N, modalities, H, W): mean absolute error, over channels, of each modality's finest reconstruction.
    """

    def __init__(self, model: Dbrn) -> None:
        super().__init__()
        self.model = model

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """One (N, C, H, W) tensor for each of `model.modalities`, in their order."""
        named = dict(zip(self.model.modalities, images, strict=True))
        outputs = self.model(named)
        residual = []
        for name, image in named.items():
            finest = outputs.reconstructions[name][0].unflatten(0, (-1, len(image)))  # copies first
            residual.append((finest - image).abs().mean(dim=(0, 2))[:, None])
        return outputs.logits, torch.cat(residual, dim=1)
