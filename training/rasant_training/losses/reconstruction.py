# SPDX-License-Identifier: Apache-2.0
"""How far reconstructions are from the normal images: squared error, and structural similarity where asked for."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor
from torch.nn import functional

from rasant_training.losses.ssim import ssim_loss

__all__ = ["reconstruction_losses"]


def reconstruction_losses(
    reconstructions: dict[str, Tensor], batch: dict[str, Tensor], *, ssim: Collection[str] = ("color",)
) -> dict[str, Tensor]:
    """Terms "mse_<modality>" and, for the modalities in `ssim`, "ssim_<modality>".

    reconstructions: (N, C, H, W) by modality. batch: "<modality>_clean" (N, C, H, W), what was to be reconstructed; one
    channel is compared with each of several. Means, not sums of squares, which would swamp a focal term.
    """
    terms: dict[str, Tensor] = {}
    for name, image in reconstructions.items():
        clean = batch[f"{name}_clean"].expand_as(image)
        terms[f"mse_{name}"] = functional.mse_loss(image.float(), clean)
        if name in ssim:
            terms[f"ssim_{name}"] = ssim_loss(image.float(), clean)
    return terms
