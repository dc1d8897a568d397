# SPDX-License-Identifier: Apache-2.0
"""Losses of DAS3D: squared error for both reconstructions, SSIM for colour, focal for the discriminator (eq. 12)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.ssim import ssim_loss
from rasant_training.methods.das3d.model import Outputs
from rasant_training.methods.das3d.recipe import Das3dLoss

__all__ = ["das3d_losses"]


def das3d_losses(outputs: Outputs, batch: dict[str, Tensor], weights: Das3dLoss) -> dict[str, Tensor]:
    """The terms by name, and their weighted sum as "total".

    batch: "mask" (N, H, W) and, for each modality, "<name>_clean" (N, C, H, W), the normal image to be reconstructed.
    Means, not the paper's literal sums of squares, which would swamp the focal term.
    """
    terms: dict[str, Tensor] = {}
    for name, image in outputs.reconstructions.items():
        terms[f"mse_{name}"] = functional.mse_loss(image.float(), batch[f"{name}_clean"])
    if "color" in outputs.reconstructions:
        terms["ssim_color"] = ssim_loss(outputs.reconstructions["color"].float(), batch["color_clean"])
    terms["focal"] = focal_loss(outputs.logits.float(), batch["mask"], positive=weights.positive)
    scale = {
        "mse_color": weights.color, "ssim_color": weights.ssim, "mse_depth": weights.depth, "focal": weights.focal
    }  # fmt: skip
    terms["total"] = sum((scale[name] * term for name, term in terms.items()), start=terms["focal"].new_zeros(()))
    return terms
