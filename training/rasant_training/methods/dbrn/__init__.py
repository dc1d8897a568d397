# SPDX-License-Identifier: Apache-2.0
"""DBRN as the loop and the export know it: presets, network, losses, export form, synthesiser."""

from __future__ import annotations

import math

from torch import Tensor, nn

from rasant.errors import ConfigError
from rasant_training.methods.dbrn.losses import dbrn_losses
from rasant_training.methods.dbrn.model import Dbrn, DbrnExport, Outputs
from rasant_training.methods.dbrn.presets import PRESETS
from rasant_training.methods.dbrn.recipe import DbrnNetwork
from rasant_training.methods.dbrn.synthesis import Synthesiser
from rasant_training.recipe import Recipe

__all__ = ["PRESETS", "Synthesiser", "build", "export_module", "losses"]


def build(recipe: Recipe) -> Dbrn:
    """The networks for the recipe's modalities, on samples and whole frames. Raises ConfigError for a bad shape."""
    network, rows_cols = recipe.settings.network, recipe.preprocess.size
    levels = len(network.depths)
    for name, count in (("heads", levels), ("skip_rates", levels - 1)):
        if len(getattr(network, name)) != count:
            raise ConfigError(f"recipe: settings.network.{name} must have {count} values for {levels} depths, "
                              f"got {getattr(network, name)}")
    if network.scales >= levels:
        raise ConfigError(f"recipe: settings.network.scales must be below the {levels} levels, got {network.scales}")
    for level, heads in enumerate(network.heads):
        if network.width * 2**level % heads:
            raise ConfigError(f"recipe: settings.network.heads[{level}] = {heads} must divide the width "
                              f"{network.width * 2**level} of its level")
    crop = (min(recipe.data.crop, rows_cols[0]), min(recipe.data.crop, rows_cols[1]))
    for place, sides in (("preprocess.size", rows_cols), ("data.crop", crop)):
        for side in sides:
            _check_side(network, place, side)
    return Dbrn(network, recipe.inputs, list(dict.fromkeys((rows_cols, crop))), recipe.settings.deploy)


def _check_side(network: DbrnNetwork, place: str, side: int) -> None:
    """A side must divide into patches and, on every level, into windows unless one window covers it."""
    levels = len(network.depths)
    pair_step = network.pair_patch * 2 ** (len(network.multipliers) - 1)
    step = math.lcm(network.patch * 2 ** (levels - 1), pair_step)
    if side % step:
        raise ConfigError(f"recipe: {place} must be a multiple of {step} for this network, got {side}")
    for level in range(levels):
        tokens = side // network.patch >> level
        if tokens > network.window and tokens % network.window:
            raise ConfigError(f"recipe: {place} = {side} gives {tokens} tokens on level {level}, which windows of "
                              f"{network.window} do not divide; use a multiple of {network.patch * network.window}")


def losses(outputs: Outputs, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Terms of eq. 2 and 5 by name, and "total"."""
    return dbrn_losses(outputs, batch, recipe.settings.loss)


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle: modalities in order -> (logits, residual)."""
    assert isinstance(model, Dbrn)
    return DbrnExport(model)
