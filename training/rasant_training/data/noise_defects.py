# SPDX-License-Identifier: Apache-2.0
"""Training samples of EasyNet and DRAEM: a normal crop and, in half of them, foreign pictures where noise is high."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from rasant.synthesis.noise import FIELDS, RandomFields, random_texture
from rasant.synthesis.replace_noise import replace_noise
from rasant.synthesis.texture import FolderTextures, augmented, tinted
from rasant_training.bounds import Exponents, Share, Shares
from rasant_training.data.batches import Sample
from rasant_training.data.crops import NormalCrops
from rasant_training.data.places import PlaceRecipe, defect_place

if TYPE_CHECKING:
    from rasant_training.data.parts import PreparedParts
    from rasant_training.recipe import Recipe

__all__ = ["NoiseDefects", "NoiseRecipe"]

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NoiseRecipe(PlaceRecipe):
    """How defects are drawn; lengths in pixels of the network's image."""

    normal_share: Share = 0.5  # samples without a defect
    alone_share: Share = 0.0  # defects of one modality alone, where there are two
    lattice: Exponents = (0, 5)  # 2^k cells a crop and axis, k uniform in this range
    threshold: Shares = (0.5, 0.5)  # of the noise, uniform in this range
    sides: Literal["pos", "both"] = "pos"  # noise above the threshold, or its negative below, too
    where: Literal["foreground", "everywhere"] = "foreground"
    depth: Literal["noise", "picture"] = "noise"  # what depth becomes: the noise itself (EasyNet), a mix (DRAEM)
    opacity: Share = 0.8  # b uniform in [0, opacity]: share of the normal image kept under a picture
    tint_share: Share = 0.0  # colour defects made of the part's own surface
    textures: str = ""  # folder of pictures; empty = procedural


class NoiseDefects:
    """Draws sample number `index`; the same (seed, index) gives the same sample, whatever was drawn before.

    parts: the prepared good parts. recipe: of a run whose `settings.synthesis` is a NoiseRecipe.
    """

    def __init__(self, parts: PreparedParts, recipe: Recipe, seed: int) -> None:
        self.recipe: NoiseRecipe = recipe.settings.synthesis
        self.seed = seed
        self.crops = NormalCrops(parts, recipe, self.recipe)
        self.textures = FolderTextures(Path(self.recipe.textures)) if self.recipe.textures else None

    def __call__(self, index: int) -> Sample:
        """Each modality as seen and, under "<name>_clean", as it should be: float32 (C, h, w); "mask": (h, w)."""
        r = self.recipe
        random = np.random.default_rng((self.seed, index, 1))  # (seed, index) belongs to the defect
        foreground, clean = self.crops(random)
        sample = {f"{name}_clean": image for name, image in clean.items()} | clean
        if random.random() < r.normal_share:
            return sample | {"mask": np.zeros(self.crops.size, np.float32)}
        seen = self._seen(clean, random)
        color, depth = seen.get("color"), seen["depth"][0] if "depth" in seen else None
        relief = None
        if depth is not None and r.depth == "picture":
            relief = np.ascontiguousarray(self._picture(index, random).mean(axis=0))
        support = foreground if r.where == "foreground" else np.ones_like(foreground)
        stroke, support, threshold = defect_place(r, support, random, r.threshold)
        drawn = replace_noise(
            color, depth, support, seed=self.seed, index=index, field=stroke, relief=relief,
            texture=None if color is None else self._texture(color, index, random),
            threshold=threshold, rule="positive" if r.sides == "pos" else "absolute", opacity=r.opacity,
            lattice=r.lattice,
        )  # fmt: skip
        sample["mask"] = drawn.mask.astype(np.float32)
        if drawn.color is not None:
            sample["color"] = drawn.color
        if drawn.depth is not None:
            sample["depth"] = drawn.depth[None]
        return sample

    def _seen(self, clean: Sample, random: np.random.Generator) -> Sample:
        """The modalities that the defect is in."""
        if len(clean) < 2 or random.random() >= self.recipe.alone_share:
            return clean
        name = sorted(clean)[int(random.integers(len(clean)))]
        return {name: clean[name]}

    def _texture(self, color: Image, index: int, random: np.random.Generator) -> Image:
        """What colour becomes, (3, h, w)."""
        if random.random() < self.recipe.tint_share:
            return tinted(color, random)
        return self._picture(index, random)

    def _picture(self, index: int, random: np.random.Generator) -> Image:
        """A foreign picture, (3, h, w): a photograph under DRAEM's operations, or a procedural texture."""
        if self.textures is not None:
            return augmented(self.textures.crop(self.crops.size, random), random)
        fields = RandomFields(
            self.crops.size, random, seed=self.seed, first=index * FIELDS, lattice=self.recipe.lattice
        )
        texture: Image = random_texture(fields, random)
        return texture
