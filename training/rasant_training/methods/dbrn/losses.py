# SPDX-License-Identifier: Apache-2.0
"""Losses of DBRN: squared error by region and SSIM for each reconstruction (eq. 2), focal for the mean map (eq. 5)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.region import region_loss, region_weights
from rasant_training.losses.ssim import ssim_loss
from rasant_training.methods.dbrn.model import Outputs
from rasant_training.methods.dbrn.recipe import DbrnLoss

__all__ = ["dbrn_losses"]


def dbrn_losses(outputs: Outputs, batch: dict[str, Tensor], weights: DbrnLoss) -> dict[str, Tensor]:
    """The terms by name, and their weighted sum as "total". Terms of several scales are averaged.

    batch: "mask" and "foreground" (N, H, W) and, for each modality, "<name>_clean" (N, C, H, W), the normal image that
    is to be reconstructed.
    """
    regions = region_weights(
        batch["mask"], batch["foreground"], background=weights.background, part=weights.foreground,
        defect=weights.mask,
    )  # fmt: skip
    terms = {"focal": focal_loss(outputs.logits.float(), batch["mask"], positive=weights.positive)}
    total = weights.focal * terms["focal"]
    for name, images in outputs.reconstructions.items():
        clean = batch[f"{name}_clean"]
        found = [image.float() for image in images]
        terms[f"region_{name}"] = _mean(region_loss(image, clean, regions) for image in found)
        terms[f"ssim_{name}"] = _mean(
            ssim_loss(image, functional.interpolate(clean, size=image.shape[2:], mode="area")) for image in found
        )
        total = total + terms[f"region_{name}"] + weights.ssim * terms[f"ssim_{name}"]
    return {**terms, "total": total}


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
