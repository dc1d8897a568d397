# SPDX-License-Identifier: Apache-2.0
"""Which modality fired."""

from __future__ import annotations

import numpy as np
import pytest

from rasant.attribution import deviations, name_modality

BOTH = ("color", "depth")
LEVELS = {"color": (0.1, 0.02), "depth": (0.3, 0.1)}


def test_deviations_are_of_the_box() -> None:
    """The mean residual inside the box, in standard deviations above good parts; the rest of the map has no say."""
    residual = np.full((2, 8, 8), 100.0, np.float32)
    residual[0, 2:4, 3:6], residual[1, 2:4, 3:6] = 0.16, 0.2
    assert deviations(residual, LEVELS, BOTH, (3, 2, 3, 2)) == pytest.approx({"color": 3.0, "depth": -1.0}, abs=1e-5)


def test_what_cannot_be_known_is_left_out() -> None:
    """No residual, no level or no finite value gives no number."""
    residual = np.zeros((2, 4, 4), np.float32)
    residual[1, 0, 0] = np.nan
    assert deviations(None, LEVELS, BOTH, (0, 0, 4, 4)) == {}
    assert deviations(residual, {}, BOTH, (0, 0, 4, 4)) == {}
    assert set(deviations(residual, LEVELS, BOTH, (0, 0, 4, 4))) == {"color"}


@pytest.mark.parametrize(
    ("sigmas", "name"),
    [
        ({"color": 9.0, "depth": 1.0}, "color"),
        ({"color": 1.0, "depth": 2.0}, "depth"),
        ({"color": 3.5, "depth": 8.0}, "both"),
        ({"color": 9.0}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_names(sigmas: dict[str, float], name: str) -> None:
    """The higher one, both beyond 3 sigma, or unknown where one has no reference."""
    assert name_modality(sigmas, BOTH) == name


def test_a_single_input_is_its_own_modality() -> None:
    """A network with one input has nothing to weigh."""
    assert name_modality({}, ("depth",)) == "depth"
