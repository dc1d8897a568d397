# SPDX-License-Identifier: Apache-2.0
"""What the loop and the export ask of a method: a module of `rasant_training.methods` with these names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from rasant.errors import ConfigError
from rasant_training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from rasant_training.data.batches import Sample
    from rasant_training.data.parts import PreparedParts

__all__ = ["Method", "load_method", "load_preset"]


class Method(Protocol):
    """A trainable method.

    `build(recipe)` gives a network whose `forward(images)` takes the modalities in use ("color" (B, 3, h, w), "depth"
    (B, 1, h, w)) and returns a NamedTuple (Fabric refuses frozen dataclasses) with a field `logits` (B, 2, h, w).
    `losses(outputs, batch, recipe)` gives scalar tensors, the one to minimise under "total"; mean over samples, so that
    processes with equal shares average to the gradient of the whole batch.
    `export_module(model)` gives a network whose `forward` takes the modalities in use, in the order color, depth, and
    returns `logits` (1, 2, h, w) and `residual` (1, M, h, w), one channel for each modality in use. It may name other
    outputs in a tuple `outputs`, and have a `gate` (`rasant.bundle.gate_schema.Gate`) for the manifest.
    `Synthesiser(parts, recipe, seed)` makes the sample of an index; it is called from several threads at once.
    """

    PRESETS: dict[str, Recipe]

    def build(self, recipe: Recipe) -> torch.nn.Module: ...  # noqa: D102

    def losses(  # noqa: D102
        self, outputs: Any, batch: dict[str, torch.Tensor], recipe: Recipe
    ) -> dict[str, torch.Tensor]: ...

    def export_module(self, model: torch.nn.Module) -> torch.nn.Module: ...  # noqa: D102

    def Synthesiser(  # noqa: D102, N802
        self, parts: PreparedParts, recipe: Recipe, seed: int
    ) -> Callable[[int], Sample]: ...


def load_method(name: str) -> Method:
    """The method called `name`; a name with a dot is the import path of your own. Raises ConfigError."""
    from rasant_training.methods import METHODS

    if name not in METHODS and "." not in name:
        raise ConfigError(f"unknown method {name!r}; known methods: {', '.join(sorted(METHODS))}, or the import path "
                          "of your own, for example my_package.my_method")
    try:
        return cast(Method, importlib.import_module(METHODS.get(name, name)))
    except ModuleNotFoundError as error:
        if name in METHODS:
            raise  # a package is missing, which the command explains
        raise ConfigError(f"method {name!r} cannot be imported: {error}") from error


def load_preset(method: str, preset: str) -> Recipe:
    """The recipe of a method's preset. Raises ConfigError with the known names."""
    presets = load_method(method).PRESETS
    if preset not in presets:
        raise ConfigError(f"unknown preset {preset!r} of {method}; known presets: {', '.join(sorted(presets))}")
    return presets[preset]
