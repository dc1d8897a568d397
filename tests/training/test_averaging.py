# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch

from rasant_training.averaging import WeightAverage


def test_the_average_follows_its_formula_and_keeps_buffers() -> None:
    """After n updates the shadow is the recurrence d w' + (1 - d) w with d = min(decay, (1 + k) / (10 + k))."""
    model = torch.nn.BatchNorm1d(3)
    average = WeightAverage(model, 0.4)
    expected = np.ones(3)
    for k in range(12):
        with torch.no_grad():
            model.weight.copy_(torch.tensor([k, -k, 2.0 * k]))
            model.running_mean.fill_(float(k))
        average.update(model)
        d = min(0.4, (1 + k) / (10 + k))
        expected = d * expected + (1 - d) * np.array([k, -k, 2.0 * k])
    weights = average.weights(model)
    np.testing.assert_allclose(weights["weight"].numpy(), expected, rtol=1e-5)
    assert weights["running_mean"].tolist() == [11.0] * 3
