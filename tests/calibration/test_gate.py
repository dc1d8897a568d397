# SPDX-License-Identifier: Apache-2.0
"""The choice of a gate's alpha: the best split of hand-made evidence, and depth trusted until it does harm."""

from __future__ import annotations

import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant_calibration.gate import ALWAYS, NEVER, Evidence, choose_alpha


def evidence(gain: list[float], fused: list[float], color: list[float], defective: list[int]) -> Evidence:
    return Evidence(np.array(gain), np.array(fused), np.array(color), np.array(defective, bool))


def test_alpha_lies_between_the_frames_that_depth_helps_and_harms() -> None:
    """Depth finds the defect that it adds information to, and cries wolf where it adds none."""
    choice = choose_alpha(evidence([0.1, 0.2, 0.6, 0.8], [0.9, 0.1, 0.2, 0.8], [0.2, 0.6, 0.3, 0.3], [0, 1, 0, 1]))
    assert 0.2 < choice.alpha < 0.6
    assert (choice.auroc, choice.opened) == (1.0, 0.5)
    assert (choice.auroc_open, choice.auroc_closed) == (0.25, 0.875)
    assert (choice.good, choice.defective) == (2, 2)


@pytest.mark.parametrize(
    ("fused", "color", "alpha"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0.5, 0.6, 0.4, 0.3], ALWAYS),  # depth is better everywhere
        ([0.95, 0.96, 0.01, 0.02], [0.1, 0.2, 0.8, 0.9], NEVER),  # colour is
        ([0.1, 0.2, 0.8, 0.9], [0.1, 0.2, 0.8, 0.9], ALWAYS),  # nothing speaks against depth
    ],
)
def test_one_map_that_is_best_everywhere_is_always_taken(fused: list[float], color: list[float], alpha: float) -> None:
    """The ends of the range hold for every frame to come; a tie leaves the gate open."""
    assert choose_alpha(evidence([0.1, 0.4, 0.2, 0.3], fused, color, [0, 0, 1, 1])).alpha == alpha


def test_evidence_of_one_kind_is_refused() -> None:
    """Good parts alone cannot say what a gate is good for."""
    with pytest.raises(ConfigError, match="with and without a defect"):
        choose_alpha(evidence([0.1, 0.2], [0.1, 0.2], [0.1, 0.2], [0, 0]))
