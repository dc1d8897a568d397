# SPDX-License-Identifier: Apache-2.0
"""Structural similarity loss (Wang et al., 2004) as DRAEM uses it: 11x11 Gaussian of sigma 1.5, zero padding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ssim_loss"]

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for a dynamic range of 1


def _blur(x: Tensor) -> Tensor:
    """Separable Gaussian mean with zero padding."""
    position = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - (WINDOW - 1) / 2
    weights = torch.exp(-(position**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, WINDOW)
    x = functional.conv2d(x, weights, padding=(0, WINDOW // 2), groups=x.shape[1])
    return functional.conv2d(x, weights.transpose(2, 3), padding=(WINDOW // 2, 0), groups=x.shape[1])


def ssim_loss(reconstruction: Tensor, target: Tensor) -> Tensor:
    """1 - mean SSIM of two (N, C, H, W) images in [0, 1]."""
    mean_r, mean_t = _blur(reconstruction), _blur(target)
    var_r = _blur(reconstruction * reconstruction) - mean_r * mean_r
    var_t = _blur(target * target) - mean_t * mean_t
    covariance = _blur(reconstruction * target) - mean_r * mean_t
    luminance = (2 * mean_r * mean_t + C1) / (mean_r * mean_r + mean_t * mean_t + C1)
    structure = (2 * covariance + C2) / (var_r + var_t + C2)
    return 1 - (luminance * structure).mean()
