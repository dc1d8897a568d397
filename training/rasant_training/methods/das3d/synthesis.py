# SPDX-License-Identifier: Apache-2.0
"""Training samples of DAS3D: a normal crop, and the same crop with a defect in colour, in depth, in both or in none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import DefectParams, apply_defect
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture
from rasant.synthesis.skew_gauss import skew_gauss_params
from rasant.synthesis.texture import FolderTextures, tinted
from rasant_training.data.crops import NormalCrops
from rasant_training.data.places import defect_place
from rasant_training.methods.das3d.recipe import Das3dRecipe
from rasant_training.recipe import Recipe

if TYPE_CHECKING:
    from rasant_training.data.parts import PreparedParts

__all__ = ["Synthesiser"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Sample = dict[str, Image]


class Synthesiser:
    """Draws sample number `index`; the same (seed, index) gives the same sample, whatever was drawn before.

    parts: the prepared good parts, depth input rising towards the camera. Samples hold the recipe's modalities.
    """

    def __init__(self, parts: PreparedParts, recipe: Recipe, seed: int) -> None:
        settings: Das3dRecipe = recipe.settings
        self.recipe = settings.synthesis
        self.seed = seed
        self.modalities = recipe.inputs
        self.late = settings.network.fusion == "late" and len(self.modalities) > 1
        self.crops = NormalCrops(parts, recipe, self.recipe)
        self.size = self.crops.size
        self.units_per_mm = parts.units_per_metre * 1e-3 if "depth" in self.modalities else 0.0
        self.textures = FolderTextures(Path(self.recipe.textures)) if self.recipe.textures else None

    def __call__(self, index: int) -> Sample:
        """Each modality as seen and, under "<name>_clean", as it should be: float32 (C, h, w); "mask": (h, w).

        For late fusion "<name>_mask", too: where that modality was changed.
        """
        random = np.random.default_rng((self.seed, index))
        foreground, clean = self.crops(random)
        fields = self._fields(index, random)
        stroke, support, params = self._defect(foreground, random)
        dropped = {name for name in self.modalities if random.random() < self.recipe.dropout}
        seen = {name: image for name, image in clean.items() if name not in dropped}
        sample = {f"{name}_clean": image for name, image in clean.items()} | clean
        if not seen:
            return self._masked(sample, np.zeros(self.size, np.float32), seen)
        texture = None
        if "color" in seen:
            texture = self._texture(seen["color"], fields, random)
            params = replace(params, kept_color=random.uniform(0.0, self.recipe.opacity))
        field = fields(0)[0] if stroke is None else stroke
        sample |= self._draw(field, params, support, foreground, seen, texture)
        return self._masked(sample, sample["mask"], seen)

    def _masked(self, sample: Sample, mask: Image, seen: Sample) -> Sample:
        alone = {f"{name}_mask": mask if name in seen else np.zeros_like(mask) for name in self.modalities}
        return sample | {"mask": mask} | (alone if self.late else {})

    def _draw(
        self, field: Image, params: DefectParams, support: Mask, foreground: Mask, seen: Sample, texture: Image | None
    ) -> Sample:
        """The modalities that are `seen` with the defect, and its mask."""
        depth = seen["depth"][0] if "depth" in seen else None
        drawn = apply_defect(
            field, params, support=support, foreground=foreground, depth=depth, color=seen.get("color"), texture=texture
        )
        found = {"mask": drawn.mask.astype(np.float32)}
        if drawn.color is not None:
            found["color"] = drawn.color
        if drawn.depth is not None:
            found["depth"] = drawn.depth[None]
        return found

    def _fields(self, index: int, random: np.random.Generator) -> RandomFields:
        return RandomFields(self.size, random, seed=self.seed, first=index * FIELDS, lattice=self.recipe.lattice)

    def _defect(
        self, foreground: Mask, random: np.random.Generator
    ) -> tuple[Image | None, Mask, DefectParams]:
        """A stroke or, for noise, None; where it may act; and what becomes of it, in millimetres."""
        r = self.recipe
        sigma = _log_uniform(r.sigma_px, random)
        stroke, support, t = defect_place(r, foreground, random, r.threshold)
        if stroke is not None:
            sigma = min(sigma, 0.8)  # wider, and a stroke would blur away
        skew = random.uniform(-r.skew, r.skew, 2)
        amplitude = _log_uniform(r.amplitude_mm, random) * float(random.choice([-1.0, 1.0]))
        params = skew_gauss_params(
            threshold=t, sigma=sigma, skew=(float(skew[0]), float(skew[1])), amplitude=amplitude, visible=r.visible_mm,
            unit=self.units_per_mm,
        )  # fmt: skip
        return stroke, support, params

    def _texture(self, color: Image, fields: RandomFields, random: np.random.Generator) -> Image:
        """What colour becomes: I_a = (1 - M) I + M ((1 - b) A + b I), b ~ U(0, opacity)."""
        if random.random() < self.recipe.tint_share:
            return tinted(color, random)
        if self.textures is not None:
            return self.textures.crop(self.size, random)
        return random_texture(fields, random)


def _log_uniform(bounds: tuple[float, float], random: np.random.Generator) -> float:
    return float(math.exp(random.uniform(math.log(bounds[0]), math.log(bounds[1]))))
