# SPDX-License-Identifier: Apache-2.0
"""Where a synthetic defect may be: along a thin stroke, or wherever noise is high within a few discs on the part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasant.synthesis.spots import spots_mask
from rasant.synthesis.strokes import stroke_mask
from rasant_training.bounds import PositiveRange, Share
from rasant_training.data.crops import CropRecipe

__all__ = ["EVERYWHERE", "DefectPlace", "PlaceRecipe", "defect_place"]

Mask = npt.NDArray[np.bool_]

EVERYWHERE = (1e4, 1e4)  # gate_px as published: every blob of the noise


@dataclass(frozen=True, slots=True)
class PlaceRecipe(CropRecipe):
    """How many of the noise's blobs become defects, and how often there is a stroke in their place."""

    gate_px: PositiveRange = (5.0, 48.0)  # radius of the discs that let a few blobs through; log-uniform
    stroke_share: Share = 0.3  # crops whose mask is a thin stroke, which noise never gives


class DefectPlace(NamedTuple):
    """A defect is where a field exceeds the threshold within the support."""

    stroke: npt.NDArray[np.float32] | None  # (h, w), the field; None: noise of the method
    support: Mask  # (h, w), within the foreground
    threshold: float


def defect_place(
    how: PlaceRecipe, foreground: Mask, random: np.random.Generator, threshold: tuple[float, float]
) -> DefectPlace:
    """A stroke, or a few discs on the foreground (h, w). threshold: bounds of the noise's, uniform between them."""
    inside = np.flatnonzero(foreground)
    if random.random() < how.stroke_share and len(inside):
        y, x = divmod(int(inside[int(random.integers(len(inside)))]), foreground.shape[1])
        return DefectPlace(stroke_mask(foreground.shape, np.array([y, x], np.float64), random), foreground, 0.5)
    t = random.uniform(*threshold)
    return DefectPlace(None, foreground & spots_mask(foreground, random, radius=how.gate_px), t)
