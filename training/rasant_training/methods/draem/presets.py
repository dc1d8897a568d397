# SPDX-License-Identifier: Apache-2.0
"""Presets of DRAEM: `paper` as published, `edge` shaped for small machines. What differs and why: README.md."""

from __future__ import annotations

from rasant.preprocess import PreprocessParams
from rasant_training import edge
from rasant_training.data.noise_defects import NoiseRecipe
from rasant_training.data.places import EVERYWHERE
from rasant_training.methods.draem.recipe import DraemLoss, DraemNetwork, DraemRecipe
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, Recipe

__all__ = ["PRESETS"]

EDGE = Recipe(
    method="draem",
    preset="edge",
    modalities="rgb",
    settings=DraemRecipe(
        network=DraemNetwork(
            form="edge",
            stem=2,
            width=24,
            multipliers=(1, 2, 4, 4, 4),
            discriminator_width=24,
            discriminator_multipliers=(1, 2, 4, 4, 4),
        ),
        synthesis=NoiseRecipe(
            normal_share=0.35, lattice=(2, 5), threshold=(0.15, 0.5), depth="picture", opacity=0.9, tint_share=0.5
        ),
        loss=DraemLoss(focal=20.0),  # unweighted, the discriminator hardly learns in a short training
    ),
    preprocess=edge.PREPROCESS,
    data=edge.DATA,
    optimizer=edge.OPTIMIZER,
    loop=edge.LOOP,
    postprocess=edge.POSTPROCESS,
)

PAPER = Recipe(
    method="draem",
    preset="paper",
    modalities="rgb",
    settings=DraemRecipe(
        synthesis=NoiseRecipe(
            rotation_deg=90.0, rotation_share=0.3, gain=0.0, where="everywhere", depth="picture", gate_px=EVERYWHERE,
            stroke_share=0.0,
        ),
    ),
    preprocess=PreprocessParams(background="none", channel_order="bgr", depth_rule="percentile",
                                depth_low=0.5, depth_high=99.5),
    data=DataRecipe(crop=256, batch=8),
    optimizer=OptimizerRecipe(kind="adam", learning_rate=1e-4, weight_decay=0.0, schedule="milestones",
                              warmup_steps=0, milestones=(0.8, 0.9), milestone_factor=0.2, clip_norm=0.0),
    loop=LoopRecipe(steps=21_000, ema=0.0, precision="32-true"),  # 700 epochs of some 240 images
)

PRESETS: dict[str, Recipe] = {preset.preset: preset for preset in (EDGE, PAPER)}
