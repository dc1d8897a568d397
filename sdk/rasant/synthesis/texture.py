# SPDX-License-Identifier: Apache-2.0
"""Foreign appearances for colour defects: procedural textures, a user's folder, or the part itself, tinted.

The papers draw from the Describable Textures Dataset, whose licence is for research only; a procedural source has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.synthesis.augment import augment_texture

__all__ = ["FolderTextures", "augmented", "foreign_texture", "tinted"]

Image = npt.NDArray[np.float32]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def foreign_texture(fields: Sequence[Image], random: np.random.Generator) -> Image:
    """A texture of two random colours, mixed by one noise field and shaded by another.

    fields: at least two (h, w) float32 Perlin fields in [-1, 1]. Returns (3, h, w) float32 in [0, 1].
    """
    mix, shade = fields[0], fields[1]
    first, second = random.random((2, 3, 1, 1), dtype=np.float32)
    sharpness = np.float32(random.uniform(1.0, 8.0))  # from clouds to camouflage
    share = np.clip(0.5 + sharpness * mix, 0.0, 1.0)
    texture: Image = share * (second - first)
    texture += first
    texture += np.float32(random.uniform(0.0, 0.4)) * shade
    if random.random() < 0.5:
        texture += random.standard_normal(mix.shape, dtype=np.float32) * np.float32(random.uniform(0.02, 0.15))
    return np.clip(texture, 0.0, 1.0, out=texture)


def tinted(color: Image, random: np.random.Generator) -> Image:
    """The part's own surface, darker, lighter or off-colour: stains, oil, heat. (3, h, w) float32 in [0, 1]."""
    gain = np.float32(np.exp(random.uniform(np.log(0.35), np.log(1.9))))
    hue = (1.0 + random.uniform(-0.45, 0.45, 3) * random.random()).astype(np.float32)
    tint: Image = color * (gain * hue)[:, None, None]
    tint += np.float32(random.uniform(-0.12, 0.12))
    return np.clip(tint, 0.0, 1.0, out=tint)


def augmented(texture: Image, random: np.random.Generator, *, count: int = 3) -> Image:
    """A texture under `count` random operations of DRAEM's list, for pictures that are few or alike: photographs.

    texture: (3, h, w) float32 in [0, 1], of `foreign_texture` or `FolderTextures.crop`; so is the result, in 1/255.
    """
    levels = np.rint(np.clip(texture, 0.0, 1.0) * np.float32(255)).astype(np.uint8)
    picture = augment_texture(np.ascontiguousarray(levels.transpose(1, 2, 0)), random, count=count)
    return np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.float32) * np.float32(1 / 255)


class FolderTextures:
    """Pictures of a user's folder, decoded once and cut to size at random places."""

    def __init__(self, folder: Path, *, side: int = 512) -> None:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        decoded = (cv2.imread(str(p), cv2.IMREAD_COLOR) for p in files)
        self.pictures = [
            cv2.cvtColor(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
            for image in decoded
            if image is not None
        ]
        if not self.pictures:
            raise ConfigError(f"no picture that can be decoded in {folder}; give a folder of {sorted(SUFFIXES)} files")

    def crop(self, size: tuple[int, int], random: np.random.Generator) -> Image:
        """(3, h, w) float32 in [0, 1] from a random picture and place."""
        picture = self.pictures[int(random.integers(len(self.pictures)))]
        y, x = (int(random.integers(max(1, have - want + 1))) for have, want in zip(picture.shape, size, strict=False))
        cut = picture[y : y + size[0], x : x + size[1]]
        if cut.shape[:2] != size:
            cut = cv2.resize(cut, size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(cut.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
