# SPDX-License-Identifier: Apache-2.0
"""Presets of EasyNet: `paper` as published and released, `edge` shaped for small machines. Why: README.md."""

from __future__ import annotations

from rasant.preprocess import PreprocessParams
from rasant_training import edge
from rasant_training.data.noise_defects import NoiseRecipe
from rasant_training.data.places import EVERYWHERE
from rasant_training.methods.easynet.recipe import EasynetLoss, EasynetNetwork, EasynetRecipe
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, Recipe

__all__ = ["PRESETS"]

EDGE = Recipe(
    method="easynet",
    preset="edge",
    settings=EasynetRecipe(
        network=EasynetNetwork(form="edge", stem=2, width=24, multipliers=(1, 2, 4, 4, 4), hidden=64),
        synthesis=NoiseRecipe(
            normal_share=0.35, alone_share=0.5, lattice=(2, 5), threshold=(0.15, 0.5), depth="picture", opacity=0.9,
            tint_share=0.5,
        ),
        loss=EasynetLoss(focal=20.0),  # unweighted, the heads hardly learn in a short training
    ),
    preprocess=edge.PREPROCESS,
    data=edge.DATA,
    optimizer=edge.OPTIMIZER,
    loop=edge.LOOP,
    postprocess=edge.POSTPROCESS,
)

PAPER = Recipe(
    method="easynet",
    preset="paper",
    settings=EasynetRecipe(synthesis=NoiseRecipe(rotation_share=0.0, gain=0.0, gate_px=EVERYWHERE, stroke_share=0.0)),
    preprocess=PreprocessParams(
        background="plane_ransac", inlier_m=0.004, foreground_m=0.005, channel_order="bgr",
        depth_rule="easynet_foreground",
    ),
    data=DataRecipe(crop=256, batch=8),
    optimizer=OptimizerRecipe(
        kind="adam", learning_rate=2e-4, weight_decay=0.0, schedule="milestones", warmup_steps=0,
        milestones=(0.8, 0.9), milestone_factor=0.2, clip_norm=0.0,
    ),
    loop=LoopRecipe(steps=27_000, ema=0.0, precision="32-true"),  # 800 epochs of some 270 images
)

PRESETS: dict[str, Recipe] = {preset.preset: preset for preset in (EDGE, PAPER)}
