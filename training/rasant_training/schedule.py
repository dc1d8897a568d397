# SPDX-License-Identifier: Apache-2.0
"""How far a run is, and the learning rate that follows from it."""

from __future__ import annotations

import math

from rasant_training.recipe import LoopRecipe, OptimizerRecipe

__all__ = ["finished", "learning_rate", "progress"]


def progress(loop: LoopRecipe, step: int, elapsed_s: float) -> float:
    """Fraction of the run that is done, 0 to 1: of the wall budget when there is one, else of the steps."""
    if loop.minutes:
        return min(1.0, elapsed_s / (60.0 * loop.minutes))
    return min(1.0, step / loop.steps)


def finished(loop: LoopRecipe, step: int, elapsed_s: float) -> bool:
    """True when the wall budget is used up or all steps are done, whichever is set and comes first."""
    return bool(loop.steps and step >= loop.steps) or bool(loop.minutes and elapsed_s >= 60.0 * loop.minutes)


def learning_rate(recipe: OptimizerRecipe, step: int, done: float) -> float:
    """Rate of step `step` (from 0) with the fraction `done` behind it: warm-up by steps, the schedule by `done`."""
    rate = recipe.learning_rate
    if step < recipe.warmup_steps:
        rate *= (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        rate *= recipe.final_fraction + (1.0 - recipe.final_fraction) * 0.5 * (1.0 + math.cos(math.pi * done))
    elif recipe.schedule == "milestones":
        rate *= recipe.milestone_factor ** sum(done >= milestone for milestone in recipe.milestones)
    return rate
