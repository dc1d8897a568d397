# SPDX-License-Identifier: Apache-2.0
"""DAS3D as the loop and the export know it: presets, network, losses, export form, synthesiser."""

from __future__ import annotations

from torch import Tensor, nn

from rasant_training.methods.das3d.losses import das3d_losses
from rasant_training.methods.das3d.model import Das3d
from rasant_training.methods.das3d.presets import PRESETS
from rasant_training.methods.das3d.synthesis import Synthesiser
from rasant_training.nets.reconstructing import Outputs, ReconstructionExport
from rasant_training.recipe import Recipe, require_multiple

__all__ = ["PRESETS", "Synthesiser", "build", "export_module", "losses"]


def build(recipe: Recipe) -> Das3d:
    """The three networks for the modalities of the recipe. Raises ConfigError where an image size does not fit them."""
    network = recipe.settings.network
    levels = max(len(network.multipliers), len(network.discriminator_multipliers))
    require_multiple(recipe, network.stem * 2 ** (levels - 1))
    return Das3d(recipe.settings.network, recipe.inputs)


def losses(outputs: Outputs, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Terms of eq. 12 and 13 by name, and "total"."""
    return das3d_losses(outputs, batch, recipe.settings.loss)


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle: modalities in order -> (logits, residual)."""
    assert isinstance(model, Das3d)
    return ReconstructionExport(model)
