# SPDX-License-Identifier: Apache-2.0
"""A threshold is a promise about good parts: what a target false-reject rate costs, and how many parts can show it."""

from __future__ import annotations

import numpy as np

from rasant_calibration.threshold import choose_threshold, parts_needed

TARGET = 0.05
scores_of_good_parts = np.random.default_rng(7).lognormal(mean=-3.0, sigma=0.35, size=400).clip(0, 0.999)

print(f"{parts_needed(TARGET)} good parts can show a false-reject rate of {TARGET:.0%}")
for count in (5, 20, 60, 400):
    choice = choose_threshold(scores_of_good_parts[:count], false_reject=TARGET)
    low, high = choice.bound.low, choice.bound.high
    print(
        f"{count:4d} parts: threshold {choice.threshold:.4f} by {choice.rule:<10} "
        f"-> between {low:.1%} and {high:.1%} of new good parts will be rejected"
    )
