# SPDX-License-Identifier: Apache-2.0
"""Discs that let a few blobs through: on the part, of the asked size, reproducible."""

from __future__ import annotations

import cv2
import numpy as np

from rasant.synthesis.spots import spots_mask


def test_spots_are_few_discs_around_pixels_of_the_part() -> None:
    """One to three discs, each with its centre on the foreground, and a radius within its bounds."""
    foreground = np.zeros((60, 80), bool)
    foreground[20:40, 30:50] = True
    sizes = []
    for seed in range(50):
        mask = spots_mask(foreground, np.random.default_rng(seed), radius=(3.0, 6.0))
        count, _, stats, centres = cv2.connectedComponentsWithStats(mask.view(np.uint8))
        assert 2 <= count <= 4
        if count == 2 and stats[1, 2] == stats[1, 3]:  # one disc
            assert foreground[round(centres[1][1]), round(centres[1][0])]
            sizes.append((stats[1, 4] / np.pi) ** 0.5)
    assert 3 <= min(sizes) < max(sizes) <= 7  # a drawn disc is half a pixel wider than its radius
    again = spots_mask(foreground, np.random.default_rng(49), radius=(3.0, 6.0))
    assert np.array_equal(mask, again)


def test_an_empty_part_has_no_spots() -> None:
    """No pixel to put one on: the mask is empty."""
    assert not spots_mask(np.zeros((8, 8), bool), np.random.default_rng(0), radius=(1.0, 2.0)).any()
