# SPDX-License-Identifier: Apache-2.0
"""Presets of DAS3D: `paper` as near to the publication as it can be read, `edge` and `nano` shaped for small machines.

Why `edge` looks as it does is measured in README.md.
"""

from __future__ import annotations

from dataclasses import replace

from rasant.preprocess import PreprocessParams
from rasant_training.methods.das3d.recipe import Das3dLoss, Das3dNetwork, Das3dRecipe, Das3dSynthesis
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, PostprocessRecipe, Recipe

__all__ = ["PRESETS"]

EDGE = Recipe(
    method="das3d",
    preset="edge",
    settings=Das3dRecipe(loss=Das3dLoss(focal=20.0)),  # unweighted, the discriminator hardly learns in a short training
    preprocess=PreprocessParams(
        background="plane_ransac",
        inlier_m=0.002,
        foreground_m=0.001,  # the published 5 mm would erase much of a low part
        fill_passes=4,
        close_iterations=3,
        depth_rule="height_range",  # height above the fitted background, over the frozen relief of the class
    ),
    data=DataRecipe(crop=128, batch=8, whole_share=0.45),
    optimizer=OptimizerRecipe(kind="adamw", learning_rate=2e-3, weight_decay=1e-4, schedule="cosine"),
    loop=LoopRecipe(steps=3600, ema=0.998, precision="bf16-mixed"),
    postprocess=PostprocessRecipe(kernel=5),  # the published 21 would drown a defect of 14 pixels
)

NANO = replace(
    EDGE,
    preset="nano",
    settings=replace(EDGE.settings, network=Das3dNetwork(width=16, discriminator_width=16)),
)

PAPER = Recipe(
    method="das3d",
    preset="paper",
    settings=Das3dRecipe(
        network=Das3dNetwork(
            form="paper",
            stem=1,
            width=64,
            multipliers=(1, 2, 4, 8, 8),
            discriminator_width=32,
            discriminator_multipliers=(1, 2, 4, 8, 8, 8),
        ),
        synthesis=Das3dSynthesis(
            rotation_share=0.0,
            gain=0.0,
            lattice=(0, 5),
            threshold=(0.5, 0.5),
            gate_px=(1e4, 1e4),  # every blob of the field
            stroke_share=0.0,
            sigma_px=(2.0, 10.0),
            tint_share=0.0,
        ),
        loss=Das3dLoss(),
    ),
    preprocess=PreprocessParams(
        background="plane_ransac", inlier_m=0.004, foreground_m=0.005, depth_rule="height_range"
    ),
    data=DataRecipe(crop=256, batch=8),
    optimizer=OptimizerRecipe(kind="adam", learning_rate=1e-4, weight_decay=0.0, schedule="milestones"),
    loop=LoopRecipe(steps=70_000, ema=0.0, precision="32-true"),
)

PRESETS: dict[str, Recipe] = {preset.preset: preset for preset in (EDGE, NANO, PAPER)}
