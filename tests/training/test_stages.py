# SPDX-License-Identifier: Apache-2.0
"""Crops first, whole frames at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rasant_training.data.batches import Sample
from rasant_training.data.stages import StagedStream, stage_of
from rasant_training.recipe import Recipe
from training.tiny_method import PRESETS

SIZE = (64, 96)


def recipe(devices: int = 1, **data: float) -> Recipe:
    preset = PRESETS["test"]
    chosen = replace(preset.data, crop=32, batch=12, **data)
    return replace(preset, data=chosen, loop=replace(preset.loop, devices=devices))


@pytest.mark.parametrize(("devices", "frames"), [(1, 2), (2, 2), (3, 3)])
def test_the_last_share_is_whole_frames_with_about_as_many_pixels(devices: int, frames: int) -> None:
    """12 crops of 32 x 32 are as many pixels as 2 frames of 64 x 96; processes get equal shares."""
    chosen = recipe(devices, whole_share=0.25)
    assert stage_of(chosen, SIZE, 0.7499) == chosen
    whole = stage_of(chosen, SIZE, 0.75).data
    assert (whole.crop, whole.batch) == (96, frames)


def test_without_a_share_the_recipe_stays_to_the_end() -> None:
    """A share of 0 never changes the crop."""
    assert stage_of(recipe(), SIZE, 1.0) == recipe()


def test_the_stream_changes_stage_at_its_step_and_so_does_a_resumed_one() -> None:
    """Step 6 of 8 begins the last quarter; a stream that starts there gives the same batch as one that came by."""

    def synthesiser(stage: Recipe) -> Callable[[int], Sample]:
        side = stage.data.crop
        return lambda index: {"x": np.full((1, side, side), index, np.float32)}

    chosen = recipe(whole_share=0.25)
    with StagedStream(synthesiser, chosen, SIZE) as stream:
        batches = [stream.batch(step, step / 8)["x"] for step in range(8)]
    assert [tuple(batch.shape[1:]) for batch in batches] == [(1, 32, 32)] * 6 + [(1, 96, 96)] * 2
    assert batches[1][:, 0, 0, 0].tolist() == list(range(12, 24))
    assert batches[7][:, 0, 0, 0].tolist() == [14, 15]
    with StagedStream(synthesiser, chosen, SIZE) as resumed:
        assert resumed.batch(7, 7 / 8)["x"].tolist() == batches[7].tolist()
