# SPDX-License-Identifier: Apache-2.0
"""Losses against literal formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.reconstruction import reconstruction_losses
from rasant_training.losses.ssim import ssim_loss


def test_focal_loss_is_the_formula_on_softmax_probabilities() -> None:
    """(1 - p)^2 * -log p of the true class's softmax probability, averaged; weights multiply anomalous pixels."""
    torch.manual_seed(1)
    logits, mask = torch.randn(2, 2, 5, 7, dtype=torch.float64) * 3, (torch.rand(2, 5, 7) > 0.5).double()
    p = torch.softmax(logits, dim=1)
    true = torch.where(mask > 0, p[:, 1], p[:, 0])
    expected = (1 - true) ** 2 * -torch.log(true)
    assert torch.allclose(expected.mean(), focal_loss(logits, mask))
    assert torch.allclose((expected * (1 + 4 * mask)).mean(), focal_loss(logits, mask, positive=5.0))


def test_focal_loss_stays_finite_for_extreme_logits() -> None:
    """Logits of a thousand neither overflow nor lose their gradient's sign."""
    logits = torch.tensor([[[[1000.0]], [[-1000.0]]]], requires_grad=True)
    loss = focal_loss(logits, torch.ones(1, 1, 1))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_ssim_loss_is_the_formula() -> None:
    """An 11x11 Gaussian of sigma 1.5 with zero padding, C1 = 0.01^2, C2 = 0.03^2, averaged and taken from 1."""
    random = np.random.default_rng(2)
    a, b = random.random((2, 1, 2, 20, 23))
    axis = np.arange(11) - 5.0
    w = np.exp(-(axis**2) / (2 * 1.5**2))
    w /= w.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(x, w, axis=2, mode="constant"), w, axis=3, mode="constant")

    ma, mb = blur(a), blur(b)
    va, vb, c = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    ssim = (2 * ma * mb + 1e-4) * (2 * c + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    got = ssim_loss(torch.from_numpy(a), torch.from_numpy(b)).item()
    assert 1 - ssim.mean() == pytest.approx(got, abs=1e-9)
    assert ssim_loss(torch.from_numpy(a), torch.from_numpy(a)).item() == pytest.approx(0, abs=1e-12)


def test_reconstruction_losses_are_means_over_every_modality() -> None:
    """Squared error of each, SSIM of those that are asked for; one channel is compared with each of three."""
    random = np.random.default_rng(4)
    seen = {"color": random.random((2, 3, 16, 16)), "depth": random.random((2, 3, 16, 16))}
    clean = {"color_clean": random.random((2, 3, 16, 16)), "depth_clean": random.random((2, 1, 16, 16))}
    images, batch = ({k: torch.from_numpy(v) for k, v in one.items()} for one in (seen, clean))
    terms = reconstruction_losses(images, batch, ssim=("color",))
    assert set(terms) == {"mse_color", "ssim_color", "mse_depth"}
    for name in seen:
        expected = np.mean((seen[name] - clean[f"{name}_clean"]) ** 2)
        assert terms[f"mse_{name}"].item() == pytest.approx(expected, rel=1e-6)
    expected = ssim_loss(images["color"], batch["color_clean"]).item()
    assert terms["ssim_color"].item() == pytest.approx(expected, abs=1e-6)
