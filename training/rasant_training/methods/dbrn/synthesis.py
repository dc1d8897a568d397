# SPDX-License-Identifier: Apache-2.0
"""Training samples of DBRN: a normal crop, and the same with holes or foreign pictures in colour, depth or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rasant.synthesis.zero_or_blend import zero_or_blend
from rasant_training.data.batches import Sample
from rasant_training.data.crops import NormalCrops
from rasant_training.data.places import defect_place
from rasant_training.methods.dbrn.recipe import DbrnRecipe
from rasant_training.recipe import Recipe

if TYPE_CHECKING:
    from rasant_training.data.parts import PreparedParts

__all__ = ["Synthesiser"]


class Synthesiser:
    """Draws sample number `index`; the same (seed, index) gives the same sample, whatever was drawn before.

    parts: the prepared good parts. Samples hold the recipe's modalities.
    """

    def __init__(self, parts: PreparedParts, recipe: Recipe, seed: int) -> None:
        settings: DbrnRecipe = recipe.settings
        self.recipe = settings.synthesis
        self.seed = seed
        self.crops = NormalCrops(parts, recipe, self.recipe)

    def __call__(self, index: int) -> Sample:
        """Each modality as seen and, under "<name>_clean", as it should be: float32 (C, h, w); masks (h, w).

        "mask" is 1 where a modality was changed, "foreground" where the part is.
        """
        random = np.random.default_rng((self.seed, index, 1))  # (seed, index) belongs to the defect
        foreground, clean = self.crops(random)
        r = self.recipe
        stroke, support, threshold = defect_place(r, foreground, random, (r.threshold, r.threshold))
        depth = clean["depth"][0] if "depth" in clean else None
        drawn = zero_or_blend(
            clean.get("color"), depth, support, seed=self.seed, index=index, field=stroke, threshold=threshold,
            lattice=r.lattice, unchanged=r.unchanged, zeroed=r.zeroed, opacity=r.opacity,
        )  # fmt: skip
        sample = {f"{name}_clean": image for name, image in clean.items()}
        sample |= {"mask": drawn.mask.astype(np.float32), "foreground": foreground.astype(np.float32)}
        if drawn.color is not None:
            sample["color"] = drawn.color
        if drawn.depth is not None:
            sample["depth"] = drawn.depth[None]
        return sample
