# SPDX-License-Identifier: Apache-2.0
"""Parts that stand out among parts said to be good: a wrong part, a black frame, a defect in the training data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["outliers", "suspects"]

LIMIT = 8.0  # robust standard deviations; good parts of a tidy set stay below 4
ENOUGH = 5  # fewer values say nothing about what is usual


def outliers(
    values: Sequence[float], *, limit: float = LIMIT, upper_only: bool = False, floor: float = 1e-12
) -> list[int]:
    """Indices of values more than `limit` robust standard deviations (1.4826 MAD) from the median.

    The spread is never taken below 2 % of the median or below `floor`, so that near-constant values do not accuse each
    other.
    """
    array = np.asarray(values, np.float64)
    if array.size < ENOUGH:
        return []
    median = np.median(array)
    spread = max(1.4826 * float(np.median(np.abs(array - median))), 0.02 * abs(float(median)), floor)
    distance = (array - median) / spread
    return [int(i) for i in np.flatnonzero((distance if upper_only else np.abs(distance)) > limit)]


def suspects(names: Sequence[str], statistics: Sequence[dict[str, float]]) -> list[str]:
    """One sentence for each part whose statistics differ strongly from those of the other parts."""
    found = []
    for key in statistics[0] if statistics else ():
        values = [row[key] for row in statistics]
        for index in outliers(values):
            found.append(f"{names[index]} stands out: {key} is {values[index]:.4g}, usually {np.median(values):.4g}; "
                         "is it a good part?")
    return found
