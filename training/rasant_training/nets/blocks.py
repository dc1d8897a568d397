# SPDX-License-Identifier: Apache-2.0
"""The convolution unit and the resampling steps that the autoencoder and the UNet are built of (DRAEM, ICCV 2021)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Up", "initialise", "stack", "unit"]


def unit(inputs: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU; same spatial size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def stack(*channels: int, bias: bool = True) -> nn.Sequential:
    """Units from channels[0] to channels[1] to ... in a row."""
    return nn.Sequential(*(unit(a, b, bias=bias) for a, b in pairwise(channels)))


class Up(nn.Module):
    """Bilinear upsampling by two. `align_corners=True` is the published form; False exports to fewer operations."""

    def __init__(self, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=self.align_corners)


def initialise(module: nn.Module) -> None:
    """Convolutions N(0, 0.02), batch normalisation weights N(1, 0.02), as the DRAEM release does."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
