# SPDX-License-Identifier: Apache-2.0
"""What networks that reconstruct and discriminate have alike: their outputs, a stem, and the form for a bundle."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CHANNELS", "Outputs", "ReconstructionExport", "gather", "residuals", "scatter"]

CHANNELS = {"color": 3, "depth": 1}


class Outputs(NamedTuple):
    """Logits (N, 2, H, W) and the reconstruction of each modality in use: (N, C, H, W), or as the stem folds it.

    heads: logits (N, 2, H, W) of each modality alone, where each has a discriminator of its own; for training.
    """

    logits: Tensor
    reconstructions: dict[str, Tensor]
    heads: dict[str, Tensor] | None = None


class ReconstructionExport(nn.Module):
    """What goes into the bundle: the modalities in use -> (logits, residual).

    model: has `modalities`, their names in order, and a `stem`, and maps named images to `Outputs`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        """One (N, C, H, W) tensor for each of `model.modalities`, in their order."""
        named = dict(zip(self.model.modalities, images, strict=True))
        outputs = self.model(named, whole=False)
        return outputs.logits, residuals(outputs.reconstructions, named, self.model.stem)


def residuals(reconstructions: dict[str, Tensor], images: dict[str, Tensor], stem: int) -> Tensor:
    """(N, modalities, H, W): mean absolute reconstruction error over the channels of each modality.

    reconstructions: as the stem folds them, (N, C stem^2, H / stem, W / stem): their mean is less to
    unfold than they are. images: (N, C, H, W); one channel is compared with each of several.
    """
    found = []
    for name, image in images.items():
        folds = (reconstructions[name].unflatten(1, (-1, stem**2)), gather(image, stem).unflatten(1, (-1, stem**2)))
        found.append((folds[0] - folds[1]).abs().mean(dim=1))
    return scatter(torch.cat(found, dim=1), stem)


def gather(x: Tensor, stem: int) -> Tensor:
    """Space to depth: each block of stem x stem pixels becomes channels, so that narrow layers see fewer pixels."""
    return functional.pixel_unshuffle(x, stem) if stem > 1 else x


def scatter(x: Tensor, stem: int) -> Tensor:
    """The inverse of `gather`."""
    return functional.pixel_shuffle(x, stem) if stem > 1 else x
