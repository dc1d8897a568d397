# SPDX-License-Identifier: Apache-2.0
"""Where synthetic defects may be: on the part, a stroke as often as asked, all of the part when the gate is wide."""

from __future__ import annotations

import numpy as np

from rasant_training.data.places import EVERYWHERE, PlaceRecipe, defect_place

NOISE = (0.2, 0.4)
FOREGROUND = np.zeros((48, 64), bool)
FOREGROUND[8:40, 10:50] = True


def test_noise_acts_within_discs_on_the_part() -> None:
    """Without strokes, the place is a part of the foreground, and with a gate wider than the image all of it."""
    random = np.random.default_rng(0)
    for _ in range(20):
        stroke, support, t = defect_place(PlaceRecipe(gate_px=(3.0, 5.0), stroke_share=0.0), FOREGROUND, random, NOISE)
        assert stroke is None and support.any() and 0.2 <= t <= 0.4
        assert not (support & ~FOREGROUND).any() and support.sum() <= 3 * 121
        _, support, _ = defect_place(PlaceRecipe(gate_px=EVERYWHERE, stroke_share=0.0), FOREGROUND, random, NOISE)
        assert np.array_equal(support, FOREGROUND)


def test_strokes_come_as_often_as_asked_and_touch_the_part() -> None:
    """A stroke passes through a pixel of the part; its share is that of the recipe."""
    random = np.random.default_rng(1)
    strokes = [defect_place(PlaceRecipe(stroke_share=0.3), FOREGROUND, random, NOISE).stroke for _ in range(300)]
    drawn = [stroke for stroke in strokes if stroke is not None]
    assert 0.2 < len(drawn) / len(strokes) < 0.4
    assert all(((stroke > 0) & FOREGROUND).any() for stroke in drawn)


def test_without_a_part_there_is_no_place() -> None:
    """An empty foreground gives no stroke and no place, and no error."""
    nothing = np.zeros((16, 16), bool)
    stroke, support, _ = defect_place(PlaceRecipe(stroke_share=1.0), nothing, np.random.default_rng(2), NOISE)
    assert stroke is None and not support.any()
