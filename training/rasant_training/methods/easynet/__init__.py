# SPDX-License-Identifier: Apache-2.0
"""EasyNet as the loop and the export know it: presets, network, losses, export form, synthesiser."""

from __future__ import annotations

from torch import Tensor, nn

from rasant_training.data.noise_defects import NoiseDefects as Synthesiser
from rasant_training.methods.easynet.losses import easynet_losses
from rasant_training.methods.easynet.model import Easynet, EasynetExport, Outputs
from rasant_training.methods.easynet.presets import PRESETS
from rasant_training.recipe import Recipe, require_multiple

__all__ = ["PRESETS", "Synthesiser", "build", "export_module", "losses"]


def build(recipe: Recipe) -> Easynet:
    """The branches and heads for the modalities of the recipe. Raises ConfigError where an image size does not fit."""
    network = recipe.settings.network
    require_multiple(recipe, network.stem * 2 ** (len(network.multipliers) - 1))
    return Easynet(network, recipe.inputs, recipe.settings.deploy)


def losses(outputs: Outputs, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Reconstruction and focal terms by name, and "total"."""
    return easynet_losses(outputs, batch, recipe.settings.loss)


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle, with the gate that its manifest declares."""
    assert isinstance(model, Easynet)
    return EasynetExport(model)
