# SPDX-License-Identifier: Apache-2.0
"""Hills and pits that begin at the height of the surface: TransFusion (Fucka et al., ECCV 2024), released program."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import Defective, DefectParams, apply_defect
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture

__all__ = ["signed_hills"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def signed_hills(
    color: Image | None, depth: Image | None, foreground: Mask, *, seed: int, index: int = 0,
    texture: Image | None = None, threshold: float = 0.5, height: float = 0.1, low: float = 0.0, high: float = 1.0,
    kept_color: float = 0.0, lattice: tuple[int, int] = (0, 5), device: str = "cpu", stream: Any = None,
) -> Defective:
    """Sample `index` of the seed: where |noise| exceeds the threshold, depth rises or sinks, by `height` at most.

    Both sides are scaled by their own extreme over the whole field, so a defect is continuous at its rim. color
    (3, h, w), depth (h, w), foreground (h, w): arrays of `device`. texture: (3, h, w); None: a procedural one.
    low, high: limits of changed depth. kept_color: share of the normal colour that stays, the transparency of the
    diffusion step. The mask may be empty.
    """
    random = np.random.default_rng((seed, index))
    size = (foreground.shape[0], foreground.shape[1])
    fields = RandomFields(size, random, seed=seed, first=index * FIELDS, lattice=lattice)
    field = fields(0, device=device, stream=stream)
    params = DefectParams(
        source="hills", rule="absolute", add=True, threshold=threshold, gain=height, low=low, high=high,
        kept_color=kept_color,
    )  # fmt: skip
    if texture is None and color is not None:
        texture = random_texture(fields, random, device=device, stream=stream)
    return apply_defect(
        field, params, support=foreground, depth=depth, color=color, texture=texture, device=device, stream=stream
    )
