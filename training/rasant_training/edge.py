# SPDX-License-Identifier: Apache-2.0
"""What the `edge` presets of all methods share, so that methods are compared and not stations, budgets or scores."""

from __future__ import annotations

from rasant.preprocess import PreprocessParams
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, PostprocessRecipe

__all__ = ["DATA", "LOOP", "OPTIMIZER", "POSTPROCESS", "PREPROCESS"]

PREPROCESS = PreprocessParams(
    background="plane_ransac",
    inlier_m=0.002,
    foreground_m=0.001,  # the published 5 mm would erase much of a low part
    fill_passes=4,
    close_iterations=3,
    depth_rule="height_range",  # height above the background, over the frozen relief of the class
)
DATA = DataRecipe(crop=128, batch=8, whole_share=0.45)
OPTIMIZER = OptimizerRecipe(kind="adamw", learning_rate=2e-3, weight_decay=1e-4, schedule="cosine")
LOOP = LoopRecipe(steps=3600, ema=0.998, precision="bf16-mixed")
POSTPROCESS = PostprocessRecipe(kernel=5)  # the published 21 would drown a defect of 14 pixels
