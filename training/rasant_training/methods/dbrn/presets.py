# SPDX-License-Identifier: Apache-2.0
"""Presets of DBRN: `paper` as near to the publication as it can be read, `edge` shaped for small machines.

Why `edge` looks as it does is measured in README.md.
"""

from __future__ import annotations

from rasant.preprocess import PreprocessParams
from rasant_training import edge
from rasant_training.data.places import EVERYWHERE
from rasant_training.methods.dbrn.recipe import DbrnLoss, DbrnNetwork, DbrnRecipe, DbrnSynthesis
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, Recipe

__all__ = ["PRESETS"]

EDGE = Recipe(
    method="dbrn",
    preset="edge",
    settings=DbrnRecipe(),
    preprocess=edge.PREPROCESS,
    data=edge.DATA,
    optimizer=OptimizerRecipe(
        kind="adamw", learning_rate=1e-3, rates={"embed": 1e-3, "score": 2e-3, "discriminate": 1e-3}
    ),
    loop=edge.LOOP,
    postprocess=edge.POSTPROCESS,
)

PAPER = Recipe(
    method="dbrn",
    preset="paper",
    settings=DbrnRecipe(
        network=DbrnNetwork(
            patch=4,
            width=96,
            depths=(2, 2, 4, 2),
            heads=(3, 6, 12, 24),
            skip_rates=(0.6, 0.4, 0.2),
            scales=3,
            head="expand",
            pair_patch=4,
            pair_width=96,
            multipliers=(1, 2, 4, 8),
        ),
        synthesis=DbrnSynthesis(
            rotation_share=0.0,
            gain=0.0,
            lattice=(0, 5),
            threshold=0.5,
            opacity=1.0,
            gate_px=EVERYWHERE,
            stroke_share=0.0,
        ),
        loss=DbrnLoss(focal=0.25, positive=3.0),  # 0.75 where anomalous, else 0.25
    ),
    preprocess=PreprocessParams(
        background="bilinear_corners", foreground_m=0.007, fill_passes=3, depth_rule="dbrn"
    ),
    data=DataRecipe(crop=256, batch=8),
    optimizer=OptimizerRecipe(
        kind="adamw", learning_rate=1e-4, rates={"embed": 1e-5, "score": 1e-3, "discriminate": 1e-5}
    ),
    loop=LoopRecipe(steps=13_000, ema=0.0),  # 400 epochs of 265 parts
)

PRESETS: dict[str, Recipe] = {preset.preset: preset for preset in (EDGE, PAPER)}
