# SPDX-License-Identifier: Apache-2.0
"""Squared error weighted by region (DBRN, eq. 2): a defect's few pixels must count beside the background's many."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["region_loss", "region_weights"]


def region_weights(
    mask: Tensor, foreground: Tensor, *, background: float, part: float, defect: float
) -> Tensor:
    """(N, 1, H, W) weight of each pixel: `defect` in the mask, else `part` in the foreground, else `background`.

    mask, foreground: (N, H, W), 1 inside.
    """
    outside = background + (part - background) * foreground
    return (outside + (defect - outside) * mask)[:, None]


def region_loss(reconstruction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over pixels and channels of weight times squared error, where the reconstruction may be coarser.

    reconstruction (N, C, h, w); target (N, C, H, W) and weights (N, 1, H, W) are averaged down to its size.
    """
    size = reconstruction.shape[2:]
    if target.shape[2:] != size:
        target, weights = (functional.interpolate(x, size=size, mode="area") for x in (target, weights))
    return (weights * (reconstruction - target) ** 2).mean()
