# SPDX-License-Identifier: Apache-2.0
"""Simulated depth images for DADA, the general autoencoder of 3DSR (Zavrtanik et al., WACV 2024, arXiv 2311.01117)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import DefectParams, apply_defect
from rasant.ops.device import to_device
from rasant.synthesis.noise import FIELDS, RandomFields

__all__ = ["affine_depth"]

Image = npt.NDArray[np.float32]


def affine_depth(
    size: tuple[int, int], *, seed: int, index: int = 0, lattice: tuple[int, int] = (0, 5), device: str = "cpu",
    stream: Any = None,
) -> Image:
    """Sample `index` of the seed, (h, w) float32 in [0, 1]: Perlin noise over its own limits, then b1 P + b2 (1 - b1).

    b1 and b2 are uniform in [0, 1]: the span of the image, and where it lies. It has no relation to any colour image,
    by intention.
    """
    random = np.random.default_rng((seed, index))
    fields = RandomFields(size, random, seed=seed, first=index * FIELDS, lattice=lattice)
    field = fields(0, device=device, stream=stream)
    span, place = random.random(2)
    params = DefectParams(source="range", rule="everywhere", gain=span, offset=place * (1.0 - span), low=0.0, high=1.0)
    blank: Any = np.zeros(size, np.float32)
    if device != "cpu":
        blank = to_device(blank, device=device, stream=stream)
    drawn = apply_defect(field, params, depth=blank, out_depth=blank, device=device, stream=stream).depth
    assert drawn is not None
    return drawn
