# SPDX-License-Identifier: Apache-2.0
"""DRAEM: the published sizes, one modality, losses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rasant.errors import ConfigError
from rasant_training.losses.focal import focal_loss
from rasant_training.losses.ssim import ssim_loss
from rasant_training.method import load_method, load_preset
from rasant_training.methods.draem.losses import draem_losses
from rasant_training.methods.draem.model import Draem
from rasant_training.methods.draem.recipe import DraemLoss, DraemNetwork
from rasant_training.nets.reconstructing import CHANNELS, Outputs
from rasant_training.recipe import apply_changes

SMALL = DraemNetwork(form="edge", stem=2, width=4, discriminator_width=4)


def cost(preset: str) -> tuple[float, float]:
    """Millions of parameters, and GFLOP (2 a multiply-add) of one 256x256 image."""
    recipe = load_preset("draem", preset)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = load_method("draem").build(recipe)
        model({"color": torch.empty(1, 3, 256, 256)})
    return sum(p.numel() for p in model.parameters()) / 1e6, counter.get_total_flops() / 1e9


def test_the_paper_preset_has_the_published_size_and_work() -> None:
    """97.42 M parameters and 395.9 GFLOP, as counted on the authors' networks."""
    assert cost("paper") == (pytest.approx(97.42, rel=0.001), pytest.approx(395.9, rel=0.01))


def test_the_edge_preset_is_a_hundredth_of_it() -> None:
    """The size that README.md states."""
    assert cost("edge") == (pytest.approx(1.73, rel=0.01), pytest.approx(3.92, rel=0.01))


@pytest.mark.parametrize("modality", ["color", "depth"])
@pytest.mark.parametrize("network", [SMALL, replace(SMALL, form="paper", stem=1)])
def test_every_parameter_learns_and_outputs_have_the_size_of_the_input(modality: str, network: DraemNetwork) -> None:
    """For either modality and form; the discriminator's gradient reaches the reconstruction too."""
    torch.manual_seed(0)
    image = torch.rand(2, CHANNELS[modality], 64, 64)
    batch = {modality: image, f"{modality}_clean": image, "mask": (torch.rand(2, 64, 64) > 0.8).float()}
    model = Draem(network, modality)
    outputs = model(batch)
    assert outputs.logits.shape == (2, 2, 64, 64)
    assert outputs.reconstructions[modality].shape == image.shape
    draem_losses(outputs, batch, DraemLoss(reconstruction=0.0, ssim=0.0))["total"].backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_the_total_is_the_weighted_sum_of_its_terms() -> None:
    """Mean squared error, 1 - SSIM and the focal loss, each with its weight."""
    random = np.random.default_rng(3)
    clean, seen = (torch.from_numpy(random.random((2, 1, 24, 24), np.float32)) for _ in range(2))
    logits = torch.from_numpy(random.standard_normal((2, 2, 24, 24), np.float32))
    mask = torch.from_numpy((random.random((2, 24, 24)) > 0.7).astype(np.float32))
    terms = draem_losses(Outputs(logits, {"depth": seen}), {"depth_clean": clean, "mask": mask}, DraemLoss(2, 3, 5))
    squared = float(np.mean((clean.numpy().astype(np.float64) - seen.numpy()) ** 2))
    expected = 2 * squared + 3 * float(ssim_loss(seen, clean)) + 5 * float(focal_loss(logits, mask))
    assert float(terms["total"]) == pytest.approx(expected, rel=1e-5)


def test_two_modalities_are_refused_with_what_to_do() -> None:
    """DRAEM compares one image with its reconstruction."""
    recipe = apply_changes(load_preset("draem", "edge"), {"modalities": "rgbd"}, "test")
    with pytest.raises(ConfigError, match="rgb or depth"):
        load_method("draem").build(recipe)
