# SPDX-License-Identifier: Apache-2.0
"""The discriminator of DRAEM and DAS3D: a UNet with skips that segments anomalies into two logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rasant_training.nets.blocks import Up, stack

__all__ = ["UNet"]


class UNet(nn.Module):
    """As many levels as multipliers; each decoder stage upsamples, narrows (optional), joins the skip and convolves.

    narrow: a unit between upsampling and the skip, as published; without it the stage is cheaper.
    keep: without `narrow`, a stage ends as wide as its own level (Ronneberger et al., 2015), not as the next one.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        outputs: int = 2,
        multipliers: Sequence[int] = (1, 2, 4, 8, 8, 8),
        narrow: bool = True,
        keep: bool = False,
        align_corners: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        w = [width * m for m in multipliers]
        self.pool = nn.MaxPool2d(2)
        self.up = Up(align_corners=align_corners)
        self.encoder = nn.ModuleList(stack(a, b, b, bias=bias) for a, b in zip([channels, *w[:-1]], w, strict=True))
        self.narrow = nn.ModuleList()
        self.decoder = nn.ModuleList()
        below = w[-1]
        for level in range(len(w) - 2, -1, -1):
            above = w[level - 1] if level else w[0]
            if narrow:
                # Published widths: 512 at the bottom stays 512, then each stage narrows to the level it will reach.
                target = w[level] if level == len(w) - 2 else above
                self.narrow.append(stack(below, target, bias=bias))
                outwards = target
            else:
                self.narrow.append(nn.Identity())
                target, outwards = below, w[level] if keep else above
            self.decoder.append(stack(target + w[level], outwards, outwards, bias=bias))
            below = outwards
        self.last = nn.Conv2d(below, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), H and W divisible by 2 ** (levels - 1) -> logits (N, outputs, H, W)."""
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(self.pool(x) if level else x)
            skips.append(x)
        for narrow, decode, skip in zip(self.narrow, self.decoder, skips[-2::-1], strict=True):
            x = decode(torch.cat([narrow(self.up(x)), skip], dim=1))
        logits: Tensor = self.last(x)
        return logits
