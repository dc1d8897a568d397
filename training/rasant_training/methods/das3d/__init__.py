# SPDX-License-Identifier: Apache-2.0
"""DAS3D as the loop and the export know it: presets, network, losses, export form, synthesiser."""

from __future__ import annotations

from torch import Tensor, nn

from rasant.errors import ConfigError
from rasant_training.methods.das3d.losses import das3d_losses
from rasant_training.methods.das3d.model import Das3d, Das3dExport, Outputs
from rasant_training.methods.das3d.presets import PRESETS
from rasant_training.methods.das3d.synthesis import Synthesiser
from rasant_training.recipe import Recipe

__all__ = ["PRESETS", "Synthesiser", "build", "export_module", "losses"]


def build(recipe: Recipe) -> Das3d:
    """The three networks for the modalities of the recipe. Raises ConfigError where an image size does not fit them."""
    network = recipe.settings.network
    step = network.stem * 2 ** (max(len(network.multipliers), len(network.discriminator_multipliers)) - 1)
    for place, sides in (("preprocess.size", recipe.preprocess.size), ("data.crop", (recipe.data.crop,))):
        if any(side % step for side in sides):
            raise ConfigError(f"recipe: {place} must be a multiple of {step} for this network, got {sides}")
    return Das3d(recipe.settings.network, recipe.inputs)


def losses(outputs: Outputs, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Terms of eq. 12 and 13 by name, and "total"."""
    return das3d_losses(outputs, batch, recipe.settings.loss)


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle: modalities in order -> (logits, residual)."""
    assert isinstance(model, Das3d)
    return Das3dExport(model)
