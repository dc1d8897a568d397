# SPDX-License-Identifier: Apache-2.0
"""Normal crops, which every method draws its defects on: a piece of a good part, turned or not, in a varied light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from rasant_training.bounds import Share
from rasant_training.data.batches import Sample

if TYPE_CHECKING:
    from rasant_training.data.parts import PreparedParts
    from rasant_training.recipe import Recipe

__all__ = ["CropRecipe", "NormalCrops"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CropRecipe:
    """How normal crops vary; a method's synthesis recipe adds its own fields to these."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0  # of the normal crop, uniform in +-, with rotation_share
    rotation_share: Share = 0.5  # the rest is cut without resampling, so that sensor noise keeps its look
    gain: Share = 0.1  # brightness and contrast of the normal crop vary by this much


class NormalCrops:
    """Draws normal crops of the recipe's size and modalities; all chance comes from the generator that is passed.

    parts: the prepared good parts. how: the variation. Safe to call from several threads.
    """

    def __init__(self, parts: PreparedParts, recipe: Recipe, how: CropRecipe) -> None:
        self.how = how
        stacks = {"color": parts.color, "depth": parts.depth[:, None]}
        self.images = {name: stacks[name] for name in recipe.inputs}  # (N, channels, H, W)
        self.foreground = parts.foreground.view(np.uint8)  # (N, H, W)
        rows, cols = parts.foreground.shape[1:]
        self.size = (min(recipe.data.crop, rows), min(recipe.data.crop, cols))
        self.inside = [np.argwhere(mask if mask.any() else ~mask).astype(np.int32) for mask in parts.foreground]

    def __call__(self, random: np.random.Generator) -> tuple[Mask, Sample]:
        """Foreground (h, w) and images (C, h, w) float32 of a crop around a point of a random part."""
        part = int(random.integers(len(self.inside)))
        mask, images = self.foreground[part], {name: stack[part] for name, stack in self.images.items()}
        half = np.array(self.size) / 2
        place = self.inside[part][int(random.integers(len(self.inside[part])))]
        center = np.clip(place + random.uniform(-0.7, 0.7, 2) * half, half, np.array(mask.shape) - half)
        if random.random() < self.how.rotation_share:
            mask, images = self._turned(mask, images, center, random)
        else:
            (h, w), (y, x) = self.size, np.round(center - half).astype(int)
            cut = np.s_[..., y : y + h, x : x + w]
            mask = np.ascontiguousarray(mask[cut])
            images = {name: np.ascontiguousarray(image[cut]) for name, image in images.items()}
        if "color" in images:
            color = images["color"] * np.float32(1 + random.uniform(-self.how.gain, self.how.gain))
            color += np.float32(random.uniform(-self.how.gain, self.how.gain) / 3)
            images["color"] = np.clip(color, 0, 1, out=color)
        return mask.view(np.bool_), images

    def _turned(
        self, mask: npt.NDArray[np.uint8], images: Sample, center: npt.NDArray[np.float64], random: np.random.Generator
    ) -> tuple[npt.NDArray[np.uint8], Sample]:
        """One matrix turns colour, depth and foreground, so that nothing slips."""
        (h, w), angle = self.size, math.radians(random.uniform(-1, 1) * self.how.rotation_deg)
        c, s = math.cos(angle), math.sin(angle)
        (cy, cx), (oy, ox) = center - 0.5, ((h - 1) / 2, (w - 1) / 2)
        matrix = np.array([[c, -s, cx - c * ox + s * oy], [s, c, cy - s * ox - c * oy]])

        def turn(plane: npt.NDArray[Any], how: int, out: npt.NDArray[Any]) -> None:
            flags = how | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(plane, matrix, (w, h), dst=out, flags=flags, borderMode=cv2.BORDER_REFLECT_101)

        # Interpolated depth would lose its noise and smear part edges; nearest keeps measured values.
        how = {"color": cv2.INTER_LINEAR, "depth": cv2.INTER_NEAREST}
        turned_mask = np.empty((h, w), np.uint8)
        turn(mask, cv2.INTER_NEAREST, turned_mask)
        turned = {name: np.empty((len(image), h, w), np.float32) for name, image in images.items()}
        for name, image in images.items():
            for plane, out in zip(image, turned[name], strict=True):
                turn(plane, how[name], out)
        return turned_mask, turned
