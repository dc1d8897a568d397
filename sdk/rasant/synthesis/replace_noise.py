# SPDX-License-Identifier: Apache-2.0
"""Noise instead of depth: EasyNet (Chen et al., ACM MM 2023, arXiv 2307.13925), section 3.2."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import Defective, DefectParams, apply_defect
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture

__all__ = ["replace_noise"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def replace_noise(
    color: Image | None, depth: Image | None, foreground: Mask, *, seed: int, index: int = 0,
    texture: Image | None = None, relief: Image | None = None, threshold: float = 0.5,
    rule: Literal["positive", "absolute"] = "positive",
    opacity: float = 0.8, lattice: tuple[int, int] = (0, 5), field: Image | None = None,
    device: str = "cpu", stream: Any = None,
) -> Defective:
    """Sample `index` of the seed: where the noise exceeds the threshold, depth is the noise, and colour a texture.

    color (3, h, w), depth (h, w) in [0, 1], foreground (h, w): arrays of `device`. texture: (3, h, w); None: a
    procedural one. relief: (h, w), a picture that depth is mixed with as colour is with the texture (DRAEM, on depth);
    None: the noise itself. rule: the released program marks P > t only; the paper speaks of both sides ("absolute").
    opacity: largest share of the normal image that stays under a picture. field: (h, w), in place of the noise, e.g. a
    stroke. The mask may be empty. Noise for depth has no relation to the surface, which the authors of DAS3D call the
    cause of poor results in depth.
    """
    random = np.random.default_rng((seed, index))
    size = (foreground.shape[0], foreground.shape[1])
    fields = RandomFields(size, random, seed=seed, first=index * FIELDS, lattice=lattice)
    field = fields(0, device=device, stream=stream) if field is None else field
    kept = random.uniform(0.0, opacity)
    params = DefectParams(
        source="field" if relief is None else "relief", rule=rule, threshold=threshold, kept_color=kept,
        kept=0.0 if relief is None else kept,
    )  # fmt: skip
    if texture is None and color is not None:
        texture = random_texture(fields, random, device=device, stream=stream)
    return apply_defect(
        field, params, support=foreground, depth=depth, relief=relief, color=color, texture=texture, device=device,
        stream=stream,
    )  # fmt: skip
