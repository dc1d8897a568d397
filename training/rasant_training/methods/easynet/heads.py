# SPDX-License-Identifier: Apache-2.0
"""Multi-layer perceptrons that see one pixel at a time, over features of several sizes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PixelHead", "enlarge", "pointwise"]

SLOPE = 0.2  # of the leaky rectifier


def pointwise(inputs: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """1x1 convolution, batch normalisation, leaky rectifier."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=bias), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


def enlarge(x: Tensor, level: int) -> Tensor:
    """Bilinear, by 2 ** level, corners not aligned. The mean over the pixels stays what it is."""
    if not level:
        return x
    return functional.interpolate(x, scale_factor=float(2**level), mode="bilinear", align_corners=False)


class PixelHead(nn.Module):
    """Two logits a pixel from features of `levels` sizes, each half the one before: three layers, h, h/2 and 2 wide.

    The published order is: enlarge all features to full size, join them, first layer. The first layer is linear and
    mixes no pixels, enlarging mixes no channels: so each size has its own share of the first layer, and what is
    enlarged is its product. The result is the same, with a quarter of the work for the half-size features.

    normalised: batch normalisation and rectifier on the logits too, as published.
    """

    def __init__(self, channels: int, hidden: int, levels: int, *, normalised: bool) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Conv2d(channels, hidden, 1, bias=level == 0) for level in range(levels))
        last = [pointwise(hidden // 2, 2)] if normalised else [nn.Conv2d(hidden // 2, 2, 1)]
        self.rest = nn.Sequential(
            nn.BatchNorm2d(hidden), nn.LeakyReLU(SLOPE), pointwise(hidden, hidden // 2, bias=normalised), *last
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """levels: (N, channels, H / 2^k, W / 2^k) for k = 0, 1, ... -> (N, 2, H, W)."""
        parts = [enlarge(first(x), level) for level, (first, x) in enumerate(zip(self.first, levels, strict=True))]
        logits: Tensor = self.rest(sum(parts[1:], start=parts[0]))
        return logits
