# SPDX-License-Identifier: Apache-2.0
"""A method small enough for tests: one convolution a modality, squares as defects. Not a test itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rasant.preprocess import PreprocessParams
from rasant.types import Intrinsics
from rasant_training.data.parts import PreparedParts
from rasant_training.recipe import DataRecipe, LoopRecipe, OptimizerRecipe, Recipe

CHANNELS = {"color": 3, "depth": 1}


@dataclass(frozen=True)
class TinySettings:
    """Settings of the tiny method."""

    width: int = 4
    normalised: bool = True  # BatchNorm


class Outputs(NamedTuple):
    """Logits (N, 2, H, W)."""

    logits: torch.Tensor


class Tiny(nn.Module):
    """Convolution, BatchNorm when asked, ReLU, convolution."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width = recipe.settings.width
        self.modalities = recipe.inputs
        self.first = nn.Conv2d(sum(CHANNELS[name] for name in self.modalities), width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if recipe.settings.normalised else nn.Identity()
        self.last = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, images: dict[str, torch.Tensor]) -> Outputs:
        """Logits of the modalities in use."""
        x = torch.cat([images[name] for name in self.modalities], dim=1)
        return Outputs(self.last(functional.relu(self.norm(self.first(x)))))


class TinyExport(nn.Module):
    """Modalities in order -> (logits, residual)."""

    def __init__(self, model: Tiny) -> None:
        super().__init__()
        self.model = model

    def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The residual is the distance of each modality to its own 3x3 mean."""
        named = dict(zip(self.model.modalities, images, strict=True))
        residual = [(x - functional.avg_pool2d(x, 3, 1, 1)).abs().mean(dim=1, keepdim=True) for x in images]
        return self.model(named).logits, torch.cat(residual, dim=1)


class Synthesiser:
    """A crop of a part with a square that is brighter and nearer."""

    def __init__(self, parts: PreparedParts, recipe: Recipe, seed: int) -> None:
        self.parts, self.size, self.seed = parts, recipe.data.crop, seed

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """The sample of an index."""
        random = np.random.default_rng((self.seed, index))
        part, n = int(random.integers(len(self.parts))), self.size
        y, x = (int(random.integers(s - n + 1)) for s in self.parts.depth.shape[1:])
        color = self.parts.color[part, :, y : y + n, x : x + n].copy()
        depth = self.parts.depth[part, y : y + n, x : x + n].copy()[None]
        mask = np.zeros((n, n), np.float32)
        top, left = random.integers(0, n - 5, 2)
        mask[top : top + 5, left : left + 5] = 1.0
        return {"color": color + 0.3 * mask, "depth": depth + 0.2 * mask, "color_clean": color, "depth_clean": depth,
                "mask": mask}


def build(recipe: Recipe) -> Tiny:
    """The network."""
    return Tiny(recipe)


def losses(outputs: Outputs, batch: dict[str, torch.Tensor], recipe: Recipe) -> dict[str, torch.Tensor]:
    """Cross entropy."""
    total = functional.cross_entropy(outputs.logits.float(), batch["mask"].long())
    return {"entropy": total.detach(), "total": total}


def export_module(model: nn.Module) -> nn.Module:
    """The form that goes into a bundle."""
    assert isinstance(model, Tiny)
    return TinyExport(model)


PRESETS = {
    "test": Recipe(
        "training.tiny_method", "test", TinySettings(), preprocess=PreprocessParams(size=(32, 32), foreground_m=0.001),
        data=DataRecipe(crop=16, batch=4), optimizer=OptimizerRecipe(warmup_steps=3),
        loop=LoopRecipe(steps=12, threads=1, accelerator="cpu", log_every=4, picture_every=6, ema=0.9),
    )
}


def made_parts(count: int = 6, size: int = 32, **changes: Any) -> PreparedParts:
    """Parts without a source: noise of a fixed seed."""
    random = np.random.default_rng(5)
    values: dict[str, Any] = {
        "color": random.random((count, 3, size, size), np.float32),
        "depth": random.random((count, size, size), np.float32),
        "foreground": np.ones((count, size, size), bool),
        "valid": np.ones((count, size, size), bool),
        "params": PRESETS["test"].preprocess,
        "names": tuple(f"{n:03d}" for n in range(count)),
        "category": "made", "intrinsics": Intrinsics(size, size, 60.0, 60.0, size / 2, size / 2), "serial": "",
        "sha256": "0" * 64, "limits": {},
    }
    return PreparedParts(**{**values, **changes})
