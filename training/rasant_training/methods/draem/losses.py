# SPDX-License-Identifier: Apache-2.0
"""Losses of DRAEM: squared error and structural similarity of the reconstruction, focal for the discriminator."""

from __future__ import annotations

from torch import Tensor

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.reconstruction import reconstruction_losses
from rasant_training.methods.draem.recipe import DraemLoss
from rasant_training.nets.reconstructing import Outputs

__all__ = ["draem_losses"]


def draem_losses(outputs: Outputs, batch: dict[str, Tensor], weights: DraemLoss) -> dict[str, Tensor]:
    """The terms by name, and their weighted sum as "total" (section 3.1 and 3.2).

    batch: "mask" (N, H, W) and "<modality>_clean" (N, C, H, W), the normal image to be reconstructed.
    """
    (name,) = outputs.reconstructions
    terms = reconstruction_losses(outputs.reconstructions, batch, ssim=(name,))
    terms["focal"] = focal_loss(outputs.logits.float(), batch["mask"], positive=weights.positive)
    terms["total"] = (
        weights.reconstruction * terms[f"mse_{name}"] + weights.ssim * terms[f"ssim_{name}"]
        + weights.focal * terms["focal"]
    )  # fmt: skip
    return terms
