# SPDX-License-Identifier: Apache-2.0
"""Presets of DAS3D: `paper` as near to the publication as it can be read, the others shaped for small machines.

Why `edge` looks as it does is measured in README.md.
"""

from __future__ import annotations

from dataclasses import replace

from rasant.preprocess import PreprocessParams
from rasant_training import edge
from rasant_training.data.places import EVERYWHERE
from rasant_training.methods.das3d.recipe import Das3dLoss, Das3dNetwork, Das3dRecipe, Das3dSynthesis
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, Recipe

__all__ = ["PRESETS"]

EDGE = Recipe(
    method="das3d",
    preset="edge",
    settings=Das3dRecipe(loss=Das3dLoss(focal=20.0)),  # unweighted, the discriminator hardly learns in a short training
    preprocess=edge.PREPROCESS,
    data=edge.DATA,
    optimizer=edge.OPTIMIZER,
    loop=edge.LOOP,
    postprocess=edge.POSTPROCESS,
)

NANO = replace(
    EDGE,
    preset="nano",
    settings=replace(EDGE.settings, network=Das3dNetwork(width=16, discriminator_width=16)),
)

SPLIT = replace(
    EDGE,
    preset="split",
    settings=replace(EDGE.settings, network=Das3dNetwork(fusion="late")),
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
            gate_px=EVERYWHERE,
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

PRESETS: dict[str, Recipe] = {preset.preset: preset for preset in (EDGE, NANO, SPLIT, PAPER)}
