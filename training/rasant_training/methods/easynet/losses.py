# SPDX-License-Identifier: Apache-2.0
"""Losses of EasyNet: squared error of both reconstructions, structural similarity of colour, focal for each head."""

from __future__ import annotations

from torch import Tensor

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.reconstruction import reconstruction_losses
from rasant_training.methods.easynet.model import Outputs
from rasant_training.methods.easynet.recipe import EasynetLoss

__all__ = ["easynet_losses"]


def easynet_losses(outputs: Outputs, batch: dict[str, Tensor], weights: EasynetLoss) -> dict[str, Tensor]:
    """The terms by name, and their weighted sum as "total" (section 3.5 of the paper).

    batch: "mask" (N, H, W) and, for each modality, "<name>_clean" (N, C, H, W), the normal image to be reconstructed.
    """
    terms = reconstruction_losses(outputs.reconstructions, batch)
    heads = {"focal": outputs.logits} | (
        {} if outputs.color_logits is None else {"focal_color": outputs.color_logits}
    )
    passes = len(heads)
    scale = {"mse_color": weights.color, "ssim_color": weights.ssim, "mse_depth": weights.depth}
    total = sum((passes * scale[name] * term for name, term in terms.items()), start=outputs.logits.new_zeros(()))
    for name, logits in heads.items():
        terms[name] = focal_loss(logits.float(), batch["mask"], positive=weights.positive)
        total = total + weights.focal * terms[name]
    return terms | {"total": total}
