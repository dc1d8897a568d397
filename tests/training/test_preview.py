# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch

from rasant_training.preview import preview


def test_the_montage_shows_each_column_of_each_sample() -> None:
    """Rows are samples, columns are colour, depth, truth and prediction, each stretched to what an eye can see."""
    batch = {
        "color": torch.linspace(0, 1, 3 * 64).reshape(1, 3, 8, 8).repeat(3, 1, 1, 1),
        "depth": torch.linspace(5.0, 5.1, 64).reshape(1, 1, 8, 8).repeat(3, 1, 1, 1),
        "mask": torch.eye(8).repeat(3, 1, 1),
    }
    logits = torch.stack([torch.zeros(3, 8, 8), 100.0 * (batch["mask"] - 0.5)], dim=1)
    picture = preview(batch, logits, rows=2)
    assert picture.shape == (2 * 10, 4 * 10, 3)
    assert picture.dtype == np.uint8
    depth, truth, prediction = (picture[:8, x : x + 8, 0] for x in (10, 20, 30))
    assert (depth.min(), depth.max()) == (0, 255)
    np.testing.assert_array_equal(truth, 255 * np.eye(8, dtype=np.uint8))
    np.testing.assert_array_equal(prediction, truth)
    assert preview({"mask": batch["mask"], "depth": batch["depth"]}, logits).shape == (3 * 10, 3 * 10, 3)
