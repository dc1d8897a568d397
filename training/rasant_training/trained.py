# SPDX-License-Identifier: Apache-2.0
"""The network that a run has made: averaged weights, with BatchNorm statistics that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import update_bn

from rasant_training import checkpoint
from rasant_training.data.parts import PreparedParts
from rasant_training.data.stages import stage_of
from rasant_training.method import load_method
from rasant_training.recipe import Recipe
from rasant_training.rundir import checkpoint_path

__all__ = ["trained_network"]

BATCHES = 48  # of training samples, for the statistics


def trained_network(run: Path, recipe: Recipe, parts: PreparedParts) -> tuple[torch.nn.Module, checkpoint.Progress]:
    """The run's network in evaluation mode, float32, and where the run stands.

    Averaged weights were never seen by the running statistics, which follow the weights of the last steps: with those
    the network sees shifted activations. So the statistics are measured again on training samples (Izmailov et al.,
    "Averaging weights leads to wider optima and better generalization", UAI 2018, section 3.2).
    parts: the training parts. Raises CheckpointError when the checkpoint is damaged or does not fit.
    """
    method = load_method(recipe.method)
    model = method.build(recipe).float()
    progress = checkpoint.read_weights(checkpoint_path(run), model)
    if progress.average_updates:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.loop.seed)  # a method may draw while it trains; two exports must not differ
            update_bn(_inputs(recipe, parts), model)
    return model.eval(), progress


def _inputs(recipe: Recipe, parts: PreparedParts) -> Iterator[dict[str, torch.Tensor]]:
    """The network inputs of training batches as the last stage of the run has them."""
    recipe = stage_of(recipe, parts.foreground.shape[1:], 1.0)
    synthesise = load_method(recipe.method).Synthesiser(parts, recipe, recipe.loop.seed)
    for batch in range(BATCHES):
        samples = [synthesise(batch * recipe.data.batch + k) for k in range(recipe.data.batch)]
        yield {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in recipe.inputs}
