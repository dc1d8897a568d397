# SPDX-License-Identifier: Apache-2.0
"""Training samples of DAS3D: a normal crop, and the same crop with a defect in colour, in depth, in both or in none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from rasant.ops.perlin import perlin_field
from rasant.synthesis.skew_gauss import depth_defect, skew_gaussian_kernel
from rasant.synthesis.strokes import stroke_mask
from rasant.synthesis.texture import FolderTextures, foreign_texture, tinted
from rasant_training.methods.das3d.recipe import Das3dRecipe
from rasant_training.recipe import Recipe

if TYPE_CHECKING:
    from rasant_training.data.parts import PreparedParts

__all__ = ["Synthesiser"]

Image = npt.NDArray[np.float32]
FIELDS = 3  # Perlin fields a sample: the defect, texture mix, texture shade


class Synthesiser:
    """Draws sample number `index`; the same (seed, index) gives the same sample, whatever was drawn before.

    parts: the prepared good parts, depth input rising towards the camera. Samples hold the recipe's modalities.
    """

    def __init__(self, parts: PreparedParts, recipe: Recipe, seed: int) -> None:
        settings: Das3dRecipe = recipe.settings
        self.recipe = settings.synthesis
        self.seed = seed
        self.modalities = recipe.inputs
        self.images = {"foreground": parts.foreground.astype(np.float32)}  # (N, H, W) or (N, H, W, 3)
        self.units_per_mm = 0.0
        if "color" in self.modalities:
            self.images["color"] = np.ascontiguousarray(parts.color.transpose(0, 2, 3, 1))
        if "depth" in self.modalities:
            self.images["depth"] = parts.depth
            self.units_per_mm = parts.units_per_metre * 1e-3
        rows, cols = parts.foreground.shape[1:]
        self.size = (min(recipe.data.crop, rows), min(recipe.data.crop, cols))
        self.inside = [np.argwhere(mask if mask.any() else ~mask).astype(np.int32) for mask in parts.foreground]
        self.textures = FolderTextures(Path(self.recipe.textures)) if self.recipe.textures else None

    def __call__(self, index: int) -> dict[str, Image]:
        """Each modality as seen and, under "<name>_clean", as it should be: float32 (C, h, w); "mask": (h, w)."""
        random = np.random.default_rng((self.seed, index))
        clean = self._normal(random)
        foreground = clean.pop("foreground")
        fields = self._fields(index, random)
        delta, mask = self._depth_defect(fields, foreground, random)
        dropped = {name for name in self.modalities if random.random() < self.recipe.dropout}
        if dropped == set(self.modalities):
            mask = np.zeros_like(mask)
        sample = {"mask": mask}
        for name, image in clean.items():
            seen = image
            if name not in dropped and name == "depth":
                seen = image + delta * np.float32(self.units_per_mm)
            elif name not in dropped:
                seen = self._color_defect(image, mask, fields, random)
            sample[name], sample[f"{name}_clean"] = _channels_first(seen), _channels_first(image)
        return sample

    def _normal(self, random: np.random.Generator) -> dict[str, Image]:
        """A crop around a point of a random part, turned or not, under a slightly different light."""
        part = int(random.integers(len(self.inside)))
        images = {name: stack[part] for name, stack in self.images.items()}
        frame = images["foreground"].shape
        half = np.array(self.size) / 2
        place = self.inside[part][int(random.integers(len(self.inside[part])))]
        center = np.clip(place + random.uniform(-0.7, 0.7, 2) * half, half, np.array(frame) - half)
        if random.random() < self.recipe.rotation_share:
            images = self._turned(images, center, random)
        else:
            (h, w), (y, x) = self.size, np.round(center - half).astype(int)
            images = {name: np.ascontiguousarray(image[y : y + h, x : x + w]) for name, image in images.items()}
        if "color" in images:
            gain = np.float32(1 + random.uniform(-self.recipe.gain, self.recipe.gain))
            offset = np.float32(random.uniform(-self.recipe.gain, self.recipe.gain) / 3)
            images["color"] = np.clip(images["color"] * gain + offset, 0, 1)
        return images

    def _turned(
        self, images: dict[str, Image], center: npt.NDArray[np.float64], random: np.random.Generator
    ) -> dict[str, Image]:
        """One matrix turns colour, depth and foreground, so that nothing slips."""
        (h, w), angle = self.size, math.radians(random.uniform(-1, 1) * self.recipe.rotation_deg)
        c, s = math.cos(angle), math.sin(angle)
        (cy, cx), (oy, ox) = center - 0.5, ((h - 1) / 2, (w - 1) / 2)
        matrix = np.array([[c, -s, cx - c * ox + s * oy], [s, c, cy - s * ox - c * oy]])
        # Interpolated depth would lose its noise and smear part edges; nearest keeps measured values.
        how = {"color": cv2.INTER_LINEAR, "depth": cv2.INTER_NEAREST, "foreground": cv2.INTER_NEAREST}
        return {
            name: np.asarray(
                cv2.warpAffine(
                    image, matrix, (w, h), flags=how[name] | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
                ),
                np.float32,
            )
            for name, image in images.items()
        }

    def _fields(self, index: int, random: np.random.Generator) -> Image:
        low, high = self.recipe.lattice
        cells = 2 ** random.integers(low, high + 1, (FIELDS, 2))
        angle = random.uniform(-math.pi / 2, math.pi / 2, FIELDS)
        angle[1:] = 0.0  # only the defect is turned; a texture has no orientation to hide
        return perlin_field(self.size, cells, seed=self.seed, first=index * FIELDS, angle=angle)

    def _depth_defect(self, fields: Image, foreground: Image, random: np.random.Generator) -> tuple[Image, Image]:
        """Signed height change in millimetres and the mask where it is visible."""
        r = self.recipe
        sigma = _log_uniform(r.sigma_px, random)
        if random.random() < r.stroke_share and foreground.any():
            signs = stroke_mask(self.size, _any_place(foreground, random), random)
            sigma = min(sigma, 0.8)  # wider, and a stroke would blur away
        else:
            t = np.float32(random.uniform(*r.threshold))
            signs = (fields[0] > t).astype(np.float32) - (fields[0] < -t).astype(np.float32)
            signs *= self._gate(foreground, random)
        skew = random.uniform(-r.skew, r.skew, 2)
        kernel = skew_gaussian_kernel(sigma, (float(skew[0]), float(skew[1])))
        amplitude = _log_uniform(r.amplitude_mm, random) * float(random.choice([-1.0, 1.0]))
        delta, mask = depth_defect(signs, foreground, kernel, amplitude=abs(amplitude), visible=r.visible_mm)
        return delta * np.float32(math.copysign(1.0, amplitude)), mask

    def _gate(self, foreground: Image, random: np.random.Generator) -> Image:
        """A few discs on the part: defects come one by one, not as a wallpaper of Perlin blobs."""
        gate = np.zeros(self.size, np.float32)
        for _ in range(int(random.integers(1, 4)) if foreground.any() else 0):
            y, x = _any_place(foreground, random)
            cv2.circle(gate, (int(x), int(y)), round(_log_uniform(self.recipe.gate_px, random)), 1.0, cv2.FILLED)
        return gate

    def _color_defect(self, color: Image, mask: Image, fields: Image, random: np.random.Generator) -> Image:
        """I_a = (1 - M) I + M ((1 - b) A + b I), b ~ U(0, opacity)."""
        if random.random() < self.recipe.tint_share:
            foreign = tinted(color, random)
        elif self.textures is not None:
            foreign = self.textures.crop(self.size, random)
        else:
            foreign = foreign_texture(list(fields[1:]), random)
        kept = np.float32(random.uniform(0.0, self.recipe.opacity))
        share = mask[..., None] * (1 - kept)
        return color + share * (foreign - color)


def _channels_first(image: Image) -> Image:
    return np.ascontiguousarray(image.transpose(2, 0, 1)) if image.ndim == 3 else image[None]


def _any_place(mask: Image, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """A random (y, x) inside a mask that is not empty."""
    inside = np.flatnonzero(mask)
    return np.array(divmod(int(inside[int(random.integers(len(inside)))]), mask.shape[1]), np.float64)


def _log_uniform(bounds: tuple[float, float], random: np.random.Generator) -> float:
    return float(math.exp(random.uniform(math.log(bounds[0]), math.log(bounds[1]))))
