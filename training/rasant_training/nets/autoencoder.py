# SPDX-License-Identifier: Apache-2.0
"""The reconstruction network of DRAEM, EasyNet and DAS3D: an autoencoder without skips, tapped by a discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from rasant_training.nets.blocks import Up, stack

__all__ = ["Autoencoder", "Reconstruction"]


class Reconstruction(NamedTuple):
    """What one pass gives: the image, and two taps at each of the full, half and quarter sizes."""

    image: Tensor  # (N, channels, H, W)
    b1: Tensor  # (N, w, H, W), first encoder level: what is there
    b2: Tensor  # (N, w2, H/2, W/2), second encoder level
    db3: Tensor  # (N, w, H/2, W/2), last but one decoder level: what should be there
    db4: Tensor  # (N, w, H, W), last decoder level
    b3: Tensor  # (N, w3, H/4, W/4), third encoder level
    db2: Tensor  # (N, w2, H/4, W/4), second decoder level


class Autoencoder(nn.Module):
    """Five encoder levels of width * multipliers and four decoder stages; no skips, since they let anomalies leak.

    decoder_units: convolution units a decoder stage; 3 is the published form, 2 the light one.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        multipliers: Sequence[int] = (1, 2, 4, 8, 8),
        decoder_units: int = 3,
        align_corners: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        w = [width * m for m in multipliers]
        self.pool = nn.MaxPool2d(2)
        self.up = Up(align_corners=align_corners)
        self.encoder = nn.ModuleList(
            stack(a, b, b, bias=bias) for a, b in zip([channels, *w[:-1]], w, strict=True)
        )
        self.decoder = nn.ModuleList()
        inputs = w[-1]
        for outputs in (*w[-3::-1], w[0]):  # each stage ends as wide as the level below the one it reaches
            self.decoder.append(stack(*[inputs] * decoder_units, outputs, bias=bias))
            inputs = outputs
        self.last = nn.Conv2d(inputs, channels, 3, padding=1)

    @property
    def tap_channels(self) -> int:
        """Channels of b1, b2, db3 and db4 together."""
        return sum(self.level_channels[:2])

    @property
    def level_channels(self) -> tuple[int, int, int]:
        """Channels of both taps at full, half and quarter size: b1 and db4, b2 and db3, b3 and db2."""
        def outputs(stage: nn.Module) -> int:
            return int(stage[-1][0].out_channels)  # type: ignore[index, union-attr]

        full, half, quarter = (outputs(self.encoder[n]) + outputs(self.decoder[3 - n]) for n in range(3))
        return full, half, quarter

    def forward(self, x: Tensor) -> Reconstruction:
        """(N, channels, H, W), H and W divisible by 16 -> Reconstruction."""
        levels = []
        for level, encode in enumerate(self.encoder):
            x = encode(self.pool(x) if level else x)
            levels.append(x)
        stages = []
        for decode in self.decoder:
            x = decode(self.up(x))
            stages.append(x)
        return Reconstruction(self.last(x), levels[0], levels[1], stages[2], stages[3], levels[2], stages[1])
