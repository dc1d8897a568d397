# SPDX-License-Identifier: Apache-2.0
"""After training: does the network itself doubt one of the parts that it was told are good?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from rasant_training.data.parts import PreparedParts
from rasant_training.data.suspects import outliers
from rasant_training.method import load_method
from rasant_training.recipe import Recipe
from rasant_training.trained import trained_network

__all__ = ["odd_parts", "part_scores"]

FLOOR = 0.02  # of the score's range 0 to 1; smaller spreads are noise


@torch.no_grad()
def part_scores(run: Path, recipe: Recipe, parts: PreparedParts) -> list[float]:
    """Image score of each training part by the run's averaged weights, reduced as the inspector does it."""
    network = load_method(recipe.method).export_module(trained_network(run, recipe, parts)[0]).eval()
    kernel = recipe.postprocess.kernel
    scores = []
    for index in range(len(parts)):
        images = {"color": parts.color[index], "depth": parts.depth[index][None]}
        logits = network(*(torch.from_numpy(images[name][None]) for name in recipe.inputs))[0]
        anomaly = torch.sigmoid(logits[:, 1:] - logits[:, :1])
        if recipe.postprocess.mask_to_foreground:
            anomaly = anomaly * torch.from_numpy(parts.foreground[index])
        scores.append(float(functional.avg_pool2d(anomaly, kernel, 1, kernel // 2).max()))
    return scores


def odd_parts(run: Path, recipe: Recipe, parts: PreparedParts) -> list[str]:
    """One sentence for each training part that scores far above the others: a defect may be among the good parts.

    A defect that is on many parts is learnt as normal and can not be found this way.
    """
    scores = part_scores(run, recipe, parts)
    return [
        f"{parts.names[index]} scores {scores[index]:.3f} after training, the good parts usually "
        f"{float(np.median(scores)):.3f}: look whether it has a defect, and train again without it if so"
        for index in outliers(scores, upper_only=True, floor=FLOOR)
    ]
