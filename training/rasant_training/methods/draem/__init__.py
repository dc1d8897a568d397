# SPDX-License-Identifier: Apache-2.0
"""DRAEM as the loop and the export know it: presets, networks, losses, export form, synthesiser."""

from __future__ import annotations

from torch import Tensor, nn

from rasant.errors import ConfigError
from rasant_training.data.noise_defects import NoiseDefects as Synthesiser
from rasant_training.methods.draem.losses import draem_losses
from rasant_training.methods.draem.model import Draem
from rasant_training.methods.draem.presets import PRESETS
from rasant_training.nets.reconstructing import Outputs, ReconstructionExport
from rasant_training.recipe import Recipe, require_multiple

__all__ = ["PRESETS", "Synthesiser", "build", "export_module", "losses"]


def build(recipe: Recipe) -> Draem:
    """The two networks. Raises ConfigError for two modalities, or where an image size does not fit the levels."""
    if len(recipe.inputs) != 1:
        raise ConfigError("recipe: draem sees one image; set modalities to rgb or depth, or train das3d, dbrn or "
                          "easynet on both")
    network = recipe.settings.network
    levels = max(len(network.multipliers), len(network.discriminator_multipliers))
    require_multiple(recipe, network.stem * 2 ** (levels - 1))
    return Draem(network, recipe.inputs[0])


def losses(outputs: Outputs, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Squared error, structural similarity and focal loss by name, and "total"."""
    return draem_losses(outputs, batch, recipe.settings.loss)


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle: image -> (logits, residual)."""
    assert isinstance(model, Draem)
    return ReconstructionExport(model)
