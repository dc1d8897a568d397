# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasant_training.recipe import LoopRecipe, OptimizerRecipe
from rasant_training.schedule import finished, learning_rate, progress


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from(["cosine", "milestones", "constant"]))
def test_the_rate_never_leaves_its_range(step: int, done: float, schedule: str) -> None:
    """For every schedule, step and progress the rate is positive and at most the recipe's."""
    recipe = OptimizerRecipe(schedule=schedule, learning_rate=2e-3, warmup_steps=50)  # type: ignore[arg-type]
    assert 0 < learning_rate(recipe, step, done) <= 2e-3 * (1 + 1e-12)


def test_the_schedules_pass_through_their_corners() -> None:
    """Warm-up starts at 1/n; cosine is half-way at half and ends at its final fraction; milestones multiply."""
    recipe = OptimizerRecipe(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    assert learning_rate(recipe, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(recipe, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(recipe, 99, 0.5) == pytest.approx(0.55)
    assert learning_rate(recipe, 99, 1.0) == pytest.approx(0.1)
    stepped = replace(recipe, schedule="milestones", milestones=(0.8, 0.9), milestone_factor=0.2)
    assert [learning_rate(stepped, 99, done) for done in (0.79, 0.8, 0.95)] == pytest.approx([1.0, 0.2, 0.04])


def test_a_wall_budget_rules_progress_and_end() -> None:
    """With minutes set, progress is the elapsed fraction and the budget ends the run; without, the steps do."""
    wall, steps = LoopRecipe(steps=0, minutes=2.0), LoopRecipe(steps=10)
    assert progress(wall, 7, 30.0) == pytest.approx(0.25)
    assert progress(steps, 5, 1e9) == pytest.approx(0.5)
    assert not finished(wall, 10**9, 119.9)
    assert finished(wall, 0, 120.0)
    assert finished(steps, 10, 0.0)
    assert finished(LoopRecipe(steps=10, minutes=2.0), 10, 0.0)
