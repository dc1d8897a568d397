# SPDX-License-Identifier: Apache-2.0
"""Normal crops: pieces of good parts as they are, or turned as one, and never written back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant_training.data.crops import CropRecipe, NormalCrops
from rasant_training.data.throughput import made_parts
from rasant_training.methods.das3d import PRESETS
from rasant_training.recipe import DataRecipe, Recipe, apply_changes

RECIPE: Recipe = replace(PRESETS["edge"], data=DataRecipe(crop=32))
PARTS = made_parts(3, 64)


def test_a_crop_that_is_not_turned_is_a_piece_of_one_part() -> None:
    """Without rotation and gain, colour, depth and foreground are the same window of the same part, to the bit."""
    draw = NormalCrops(PARTS, RECIPE, CropRecipe(rotation_share=0.0, gain=0.0))
    windows = np.lib.stride_tricks.sliding_window_view(PARTS.depth, (32, 32), (1, 2))
    for seed in range(10):
        foreground, images = draw(np.random.default_rng(seed))
        where = np.argwhere((windows == images["depth"][0]).all((-1, -2)))
        assert len(where) == 1
        part, y, x = where[0]
        box = np.s_[..., y : y + 32, x : x + 32]
        assert np.array_equal(images["color"], PARTS.color[part][box])
        assert np.array_equal(foreground, PARTS.foreground[part][box])


def test_crops_depend_on_the_generator_alone() -> None:
    """The same state gives the same crop, whatever was drawn before."""
    draw = NormalCrops(PARTS, RECIPE, CropRecipe())
    first = [draw(np.random.default_rng(k))[1]["color"] for k in range(8)]
    again = [draw(np.random.default_rng(k))[1]["color"] for k in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(("modalities", "names"), [("rgb", {"color"}), ("depth", {"depth"})])
def test_only_the_modalities_in_use_are_cut(modalities: str, names: set[str]) -> None:
    """A run on one modality gets images of that one, of the parts' size where crops are larger."""
    recipe = replace(RECIPE, modalities=modalities, data=DataRecipe(crop=256))
    foreground, images = NormalCrops(PARTS, recipe, CropRecipe())(np.random.default_rng(0))
    assert set(images) == names
    assert foreground.shape == (64, 64)
    assert all(image.shape[1:] == (64, 64) and image.dtype == np.float32 for image in images.values())


def test_bounds_hold_in_the_recipe_of_a_method() -> None:
    """A share above 1 is refused with its place, also where a method inherits the field."""
    with pytest.raises(ConfigError, match=r"settings\.synthesis\.gain"):
        apply_changes(PRESETS["edge"], {"settings": {"synthesis": {"gain": 1.5}}}, "test")
