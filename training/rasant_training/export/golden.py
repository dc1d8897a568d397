# SPDX-License-Identifier: Apache-2.0
"""Golden frames: good parts as the camera gave them, which the bundle keeps to prove preprocessing and engines."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from rasant import Frame, Preprocessor
from rasant.bundle.manifest import GoldenFrames
from rasant.errors import ConfigError, SourceError
from rasant_training.data.parts import good_frames
from rasant_training.recipe import Recipe

__all__ = ["golden_camera", "golden_frames", "golden_pixels", "network_inputs"]

COUNT = 2  # each is about 2.4 MB at 256 x 256


def golden_frames(data: str) -> list[Frame]:
    """The first good parts that were not trained on, or of the trained ones where the source has no others."""
    try:
        found = list(islice(good_frames(data, "validation"), COUNT))
    except (SourceError, ConfigError):
        found = []
    found = found or list(islice(good_frames(data, "train"), COUNT))
    return [frame for frame in found if golden_camera(frame) == golden_camera(found[0])]


def network_inputs(recipe: Recipe, frames: list[Frame]) -> dict[str, Any]:
    """(F, C, h, w) float32 of the modalities in use, by the preprocessing that the bundle declares."""
    preprocess = Preprocessor(recipe.preprocess)
    stacks: dict[str, list[Any]] = {name: [] for name in recipe.inputs}
    for frame in frames:
        prepared = preprocess(frame)
        for name, images in stacks.items():
            images.append(getattr(prepared, f"{name}_input")[0].copy())
    return {name: np.stack(images) for name, images in stacks.items()}


def golden_pixels(recipe: Recipe, frames: list[Frame]) -> dict[str, Any]:
    """The raw images of the modalities in use, as `frame.color` (F, H, W, 3) and `frame.depth` (F, H, W)."""
    return {f"frame.{name}": np.stack([getattr(frame, name) for frame in frames]) for name in recipe.inputs}


def golden_camera(frame: Frame) -> GoldenFrames:
    """What a manifest says of the camera of a frame."""
    return GoldenFrames(depth_scale=frame.depth_scale, **asdict(frame.intrinsics))
