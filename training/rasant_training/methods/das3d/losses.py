# SPDX-License-Identifier: Apache-2.0
"""Losses of DAS3D: squared error for both reconstructions, SSIM for colour, focal for the discriminator (eq. 12)."""

from __future__ import annotations

from torch import Tensor

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.reconstruction import reconstruction_losses
from rasant_training.methods.das3d.recipe import Das3dLoss
from rasant_training.nets.reconstructing import Outputs

__all__ = ["das3d_losses"]


def das3d_losses(outputs: Outputs, batch: dict[str, Tensor], weights: Das3dLoss) -> dict[str, Tensor]:
    """The terms by name, and their weighted sum as "total".

    batch: "mask" (N, H, W) and, for each modality, "<name>_clean" (N, C, H, W), the normal image to be reconstructed;
    with late fusion "<name>_mask", where that modality was changed: a discriminator must not be blamed for a defect
    that it cannot see. Means, not the paper's literal sums of squares, which would swamp the focal term.
    """
    terms = reconstruction_losses(outputs.reconstructions, batch)
    scale = {"mse_color": weights.color, "ssim_color": weights.ssim, "mse_depth": weights.depth}
    heads = {f"focal_{name}": (logits, batch[f"{name}_mask"]) for name, logits in (outputs.heads or {}).items()}
    for name, (logits, mask) in (heads or {"focal": (outputs.logits, batch["mask"])}).items():
        terms[name] = focal_loss(logits.float(), mask, positive=weights.positive)
        scale[name] = weights.focal
    terms["total"] = sum((scale[name] * term for name, term in terms.items()), start=outputs.logits.new_zeros(()))
    return terms
