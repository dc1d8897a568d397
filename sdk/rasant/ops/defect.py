# SPDX-License-Identifier: Apache-2.0
"""Synthetic defects, drawn from a noise field into colour and depth in one pass: all synthesisers, one formula.

Which parameters make which published synthesiser stands in `rasant.synthesis`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rasant.ops.device import native_for, output

__all__ = ["MAX_SIGMA", "DefectParams", "Defective", "apply_defect", "skew_kernel"]

MAX_SIGMA = 32.0  # pixels

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Source = Literal["field", "range", "hills", "relief", "spread"]
Rule = Literal["positive", "absolute", "everywhere"]


@dataclass(frozen=True, slots=True)
class DefectParams:
    """From a field P to a defect: where it is, what it is made of, and how it is mixed with the normal part.

    Where: side = +1 where P > threshold, -1 where P < -threshold and the rule is "absolute", else 0; +1 everywhere with
    the rule "everywhere"; 0 outside the support.

    source, what s is: "field" P; "range" P scaled to 0..1 by its own limits; "hills" by how much P exceeds the
    threshold, scaled to 1 at its extreme (and -1 on the side -1); "relief" a given image; "spread" the sides smoothed
    by a skew-Gaussian kernel, times `amplitude`, 0 outside the foreground.
    """

    source: Source = "field"
    rule: Rule = "positive"
    add: bool = False  # add gain * s + offset to depth, instead of replacing depth by it
    threshold: float = 0.5
    gain: float = 1.0  # depth units per unit of s
    offset: float = 0.0  # depth units
    kept: float = 0.0  # share of the normal depth that stays where it is replaced
    kept_color: float = 0.0  # share of the normal colour that stays under the texture
    low: float = 0.0  # limits of a changed depth
    high: float = 1.0
    amplitude: float = 1.0  # spread: height of a plateau, signed
    visible: float = 0.25  # spread: where |s| reaches this, the mask is set; > 0
    sigma: float = 1.0  # spread: pixels, > 0 and at most MAX_SIGMA
    skew: tuple[float, float] = (0.0, 0.0)  # spread: (y, x), 1/pixel


@dataclass(frozen=True, slots=True)
class Defective:
    """A part with a defect. color (3, h, w), depth (h, w): None where they were not given. mask (h, w) may be empty."""

    color: Image | None
    depth: Image | None
    mask: Mask


def apply_defect(
    field: Image,
    params: DefectParams,
    *,
    support: Mask | None = None,
    foreground: Mask | None = None,
    depth: Image | None = None,
    relief: Image | None = None,
    color: Image | None = None,
    texture: Image | None = None,
    out_depth: Image | None = None,
    out_color: Image | None = None,
    out_mask: Mask | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> Defective:
    """Draws a defect into depth and colour, which stay as they are everywhere else, to the bit.

    field: (h, w) or (1, h, w) float32, usually Perlin noise.
    support: (h, w) bool, where the field may act; None: everywhere.
    foreground: (h, w) bool, beyond which a smoothed defect does not spread; None: everywhere.
    depth: (h, w) float32 in network units. relief: (h, w) float32, for the source "relief".
    color: (3, h, w) float32. texture: (3, h, w) float32, what colour becomes where the mask is set; None: 0.
    out_depth, out_color, out_mask: as depth, color and support; out_depth may be depth itself, out_color color itself.
    device, stream: see rasant.ops.device. All devices and thread counts give the same bits.

    Raises ConfigError for parameters out of range and for arrays that overlap, ShapeError and DtypeError for wrong
    arrays.
    """
    native = native_for(device)
    mask: Mask = output(out_mask, tuple(field.shape)[-2:], np.bool_, device)
    new_depth: Image | None = None if depth is None else output(out_depth, depth.shape, np.float32, device)
    new_color: Image | None = None if color is None else output(out_color, color.shape, np.float32, device)
    p = params
    numbers = (
        p.threshold, p.gain, p.offset, p.kept, p.kept_color, p.low, p.high, p.amplitude, p.visible, p.sigma, *p.skew,
    )  # fmt: skip
    native.apply_defect(
        field, support, foreground, depth, relief, color, texture, new_depth, new_color, mask, p.source, p.rule, p.add,
        numbers, threads, stream,
    )  # fmt: skip
    return Defective(new_color, new_depth, mask)


def skew_kernel(sigma: float, skew: tuple[float, float]) -> npt.NDArray[np.int32]:
    """The kernel of the source "spread", (k, k) int32 in units of 2^-30, k = 2 ceil(3 sigma) + 1 (DAS3D, eq. 2 and 3).

    The bivariate skew-normal density 2 phi(x; 0, sigma^2 I) Phi(skew . x), sampled at whole pixels, over its sum; each
    entry within 1e-8. In whole numbers, so that sums of it are the same in any order.

    Raises ConfigError for a sigma outside (0, MAX_SIGMA], or a skew of more than 1000 per pixel.
    """
    native = native_for("cpu")
    kernel: npt.NDArray[np.int32] = native.skew_kernel(sigma, *skew)
    return kernel
