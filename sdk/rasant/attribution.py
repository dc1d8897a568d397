# SPDX-License-Identifier: Apache-2.0
"""Which modality fired: the network's reconstruction residual in a region, against its level on good parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["BOTH_SIGMA", "deviations", "name_modality"]

BOTH_SIGMA = 3.0

Level = tuple[float, float]  # mean and standard deviation on good parts


def deviations(
    residual: npt.NDArray[np.float32] | None, levels: Mapping[str, Level], modalities: tuple[str, ...],
    box: tuple[int, int, int, int],
) -> dict[str, float]:
    """For each modality the mean residual inside a box, in standard deviations above its level on good parts.

    residual: (M, h, w) in the order of `modalities`, or None; box: (x, y, width, height) in map pixels. Modalities
    without a level, and values that are not finite, are left out.
    """
    if residual is None:
        return {}
    x, y, width, height = box
    found = {}
    for index, modality in enumerate(modalities):
        if modality in levels:
            mean, std = levels[modality]
            value = (float(residual[index, y : y + height, x : x + width].mean()) - mean) / std
            if np.isfinite(value):
                found[modality] = value
    return found


def name_modality(sigmas: Mapping[str, float], modalities: tuple[str, ...]) -> str:
    """"color", "depth", "both" where both exceed 3 sigma, or "unknown" without a reference for every modality.

    A network with one input has nothing to weigh: it is that input.
    """
    if len(modalities) == 1:
        return modalities[0]
    if any(modality not in sigmas for modality in modalities):
        return "unknown"
    if all(sigmas[modality] > BOTH_SIGMA for modality in modalities):
        return "both"
    return max(modalities, key=lambda modality: sigmas[modality])
