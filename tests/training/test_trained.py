# SPDX-License-Identifier: Apache-2.0
"""The trained network: averaged weights with statistics of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rasant_training import checkpoint
from rasant_training.loop import Job, train
from rasant_training.rundir import checkpoint_path
from rasant_training.trained import BATCHES, trained_network
from training.tiny_method import PRESETS, Synthesiser, Tiny, made_parts


def test_statistics_are_those_of_the_averaged_weights_on_training_samples(tmp_path: Path) -> None:
    """BatchNorm's mean is the mean activation of the averaged network over the first batches, not the running one."""
    preset = PRESETS["test"]
    recipe = replace(preset, loop=replace(preset.loop, picture_every=0, ema=0.99))
    parts = made_parts()
    train(Job(recipe, parts, tmp_path))
    model, progress = trained_network(tmp_path, recipe, parts)
    assert progress.average_updates == progress.step

    averaged = Tiny(recipe)
    checkpoint.read_weights(checkpoint_path(tmp_path), averaged)
    draw = Synthesiser(parts, recipe, recipe.loop.seed)
    activations = []
    for index in range(BATCHES * recipe.data.batch):
        sample = draw(index)
        x = torch.from_numpy(np.concatenate([sample[name] for name in recipe.inputs]))[None]
        with torch.no_grad():
            activations.append(averaged.first(x))
    expected = torch.cat(activations).mean(dim=(0, 2, 3))
    assert not model.training
    assert isinstance(model, Tiny)
    torch.testing.assert_close(model.norm.running_mean, expected, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(averaged.norm.running_mean, expected, atol=1e-4)


def test_without_averaging_the_running_statistics_stay(tmp_path: Path) -> None:
    """A run without averaged weights keeps what BatchNorm gathered while it trained."""
    preset = PRESETS["test"]
    recipe = replace(preset, loop=replace(preset.loop, picture_every=0, ema=0.0))
    train(Job(recipe, made_parts(), tmp_path))
    plain = Tiny(recipe)
    checkpoint.read_weights(checkpoint_path(tmp_path), plain)
    model, _ = trained_network(tmp_path, recipe, made_parts())
    assert torch.equal(plain.norm.running_mean, model.norm.running_mean)
