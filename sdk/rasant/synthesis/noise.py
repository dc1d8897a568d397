# SPDX-License-Identifier: Apache-2.0
"""What every synthesiser begins with: Perlin fields with a random lattice and turn, and a texture made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.device import to_device
from rasant.ops.perlin import perlin_field
from rasant.synthesis.texture import foreign_texture

__all__ = ["FIELDS", "RandomFields", "random_texture"]

Image = npt.NDArray[np.float32]
FIELDS = 3  # of a sample: the defect, texture mix, texture shade; sample k has the fields 3 k to 3 k + 2 of its seed


class RandomFields:
    """Perlin fields whose lattices and turns are drawn at once, and which are computed when they are asked for.

    size: (h, w). seed, first: field k is field `first + k` of the seed (`rasant.ops.perlin`). lattice: 2^k cells an
    axis, k uniform in it, both ends included; 2^k must not exceed the size. turned: so many fields, the first ones, are
    rotated by an angle uniform within 90 degrees; a texture has no orientation to hide.
    """

    def __init__(
        self, size: tuple[int, int], random: np.random.Generator, *, seed: int, first: int, count: int = FIELDS,
        lattice: tuple[int, int] = (0, 5), turned: int = 1,
    ) -> None:
        self.size, self.seed, self.first = size, seed, first
        self.cells = 2 ** random.integers(lattice[0], lattice[1] + 1, (count, 2))
        self.angle = random.uniform(-math.pi / 2, math.pi / 2, count)
        self.angle[turned:] = 0.0

    def __call__(self, k: int, count: int = 1, *, device: str = "cpu", stream: Any = None) -> Image:
        """(count, h, w) float32 in [-1, 1]: the fields k to k + count - 1."""
        chosen = slice(k, k + count)
        return perlin_field(
            self.size, self.cells[chosen], seed=self.seed, first=self.first + k, angle=self.angle[chosen],
            device=device, stream=stream,
        )  # fmt: skip


def random_texture(
    fields: RandomFields, random: np.random.Generator, *, device: str = "cpu", stream: Any = None
) -> Any:
    """(3, h, w) float32 in [0, 1]: a procedural texture of the fields 1 and 2, an array of `device`."""
    texture = foreign_texture(list(fields(1, 2)), random)
    return texture if device == "cpu" else to_device(texture, device=device, stream=stream)
