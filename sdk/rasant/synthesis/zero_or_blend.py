# SPDX-License-Identifier: Apache-2.0
"""Holes and foreign pictures: DBRN (Bi, Li and Luo), each modality with a coin of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import Defective, DefectParams, apply_defect
from rasant.ops.device import to_device
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture

__all__ = ["zero_or_blend"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
NOWHERE = 2.0  # a threshold that no field exceeds


def zero_or_blend(
    color: Image | None, depth: Image | None, foreground: Mask, *, seed: int, index: int = 0,
    unchanged: float = 0.3, zeroed: float = 0.2, threshold: float = 0.5, lattice: tuple[int, int] = (0, 5),
    field: Image | None = None, opacity: float = 1.0, device: str = "cpu", stream: Any = None,
) -> Defective:
    """Sample `index` of the seed: under one mask, each modality stays, becomes 0, or is mixed with a picture.

    color (3, h, w), depth (h, w), foreground (h, w): arrays of `device`. depth lies in [0.2, 0.8]; the picture's grey
    levels in [0, 1] exceed that on both sides, as dents and bumps. unchanged, zeroed: chances of the first two; the
    share of the normal part in a mixture is uniform in [0, opacity], 1 being the paper's. Both are mixed with one
    procedural picture. The mask is empty when both stay. field: (h, w), where it exceeds the threshold in place of
    noise, e.g. a stroke.
    """
    random = np.random.default_rng((seed, index))
    size = (foreground.shape[0], foreground.shape[1])
    fields = RandomFields(size, random, seed=seed, first=index * FIELDS, lattice=lattice)
    field = fields(0, device=device, stream=stream) if field is None else field
    stays_depth, stays_color = random.random(2) < unchanged
    zero_depth, zero_color = random.random(2) < zeroed / (1.0 - unchanged)
    kept_depth, kept_color = opacity * random.random(2)
    params = DefectParams(
        source="field" if zero_depth else "relief",
        threshold=NOWHERE if (stays_depth or depth is None) and (stays_color or color is None) else threshold,
        gain=0.0 if zero_depth else 1.0,
        kept=1.0 if stays_depth else 0.0 if zero_depth else kept_depth,
        kept_color=1.0 if stays_color else 0.0 if zero_color else kept_color,
    )
    picture = random_texture(fields, random)
    texture, relief = picture, picture.mean(axis=0)
    if device != "cpu":
        texture, relief = (to_device(image, device=device, stream=stream) for image in (texture, relief))
    return apply_defect(
        field, params, support=foreground, depth=depth, relief=relief, color=color,
        texture=None if zero_color else texture, device=device, stream=stream,
    )  # fmt: skip
