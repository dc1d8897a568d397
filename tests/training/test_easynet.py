# SPDX-License-Identifier: Apache-2.0
"""EasyNet: the published sizes, the reordered heads, the ablations, what the gate gets, losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from rasant_training.losses.focal import focal_loss
from rasant_training.losses.ssim import ssim_loss
from rasant_training.method import load_method, load_preset
from rasant_training.methods.easynet.heads import PixelHead, enlarge
from rasant_training.methods.easynet.losses import easynet_losses
from rasant_training.methods.easynet.model import Easynet, EasynetExport
from rasant_training.methods.easynet.recipe import EasynetDeploy, EasynetLoss, EasynetNetwork
from rasant_training.nets.reconstructing import CHANNELS

BOTH = ("color", "depth")
SMALL = EasynetNetwork(form="edge", stem=2, width=4, hidden=8)
PAPER = replace(SMALL, form="paper", stem=1)


def images(modalities: tuple[str, ...], side: int = 64, batch: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.rand(batch, CHANNELS[name], side, side) for name in modalities}


def literal(head: PixelHead, levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """The published order: all features at full size, joined, one first layer."""
    joined = torch.cat([enlarge(x, level) for level, x in enumerate(levels)], dim=1)
    weight = torch.cat([first.weight for first in head.first], dim=1)  # type: ignore[misc]
    logits: torch.Tensor = head.rest(functional.conv2d(joined, weight, head.first[0].bias))  # type: ignore[arg-type]
    return logits


def cost(preset: str, modalities: str = "rgbd") -> tuple[float, float]:
    """Millions of parameters, and GFLOP (2 a multiply-add) of one 256x256 frame."""
    recipe = replace(load_preset("easynet", preset), modalities=modalities)  # type: ignore[arg-type]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = load_method("easynet").build(recipe)
        model({name: torch.empty(1, CHANNELS[name], 256, 256) for name in recipe.inputs})
    return sum(p.numel() for p in model.parameters()) / 1e6, counter.get_total_flops() / 1e9


@pytest.mark.parametrize(("modalities", "millions", "gflop"), [("rgbd", 140.60, 927.5), ("rgb", 70.04, 429.4)])
def test_the_paper_preset_has_the_published_size_and_work(
    monkeypatch: Any, modalities: str, millions: float, gflop: float
) -> None:
    """As counted on the authors' networks, with the heads in their literal order."""
    monkeypatch.setattr(PixelHead, "forward", literal)
    assert cost("paper", modalities) == (pytest.approx(millions, rel=0.001), pytest.approx(gflop, rel=0.01))


def test_the_reordered_heads_save_77_gflop_and_the_edge_preset_most_of_the_rest() -> None:
    """The sizes that README.md states: 850.2 GFLOP for the paper preset, 1.71 M and 4.58 GFLOP for edge."""
    assert cost("paper") == (pytest.approx(140.60, rel=0.001), pytest.approx(927.5 - 77.3, rel=0.001))
    assert cost("edge") == (pytest.approx(1.71, rel=0.01), pytest.approx(4.58, rel=0.01))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_reordered_head_equals_the_literal_one(levels: int, training: bool) -> None:
    """Within 1e-4, for every number of layers, with running and with batch statistics."""
    torch.manual_seed(levels)
    head = PixelHead(12, 32, levels, normalised=True).train(training)
    features = [torch.randn(2, 12, 32 >> level, 48 >> level) for level in range(levels)]
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
    reordered = head(features)
    assert reordered.shape == (2, 2, 32, 48)
    assert (reordered - literal(head, features)).abs().max() < 1e-4


@pytest.mark.parametrize("network", [SMALL, PAPER])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("modalities", [BOTH, ("color",), ("depth",)])
def test_every_parameter_learns(network: EasynetNetwork, layers: int, modalities: tuple[str, ...]) -> None:
    """In the 1-, 2- and 3-layer forms, for each set of modalities; logits have the size of the inputs."""
    batch = images(modalities) | {"mask": (torch.rand(2, 64, 64) > 0.8).float()}
    batch |= {f"{name}_clean": batch[name] for name in modalities}
    model = Easynet(replace(network, layers=layers), modalities)
    outputs = model(batch)
    assert outputs.logits.shape == (2, 2, 64, 64)
    assert (outputs.color_logits is not None) == (len(modalities) == 2)
    easynet_losses(outputs, batch, EasynetLoss())["total"].backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_the_total_counts_reconstructions_once_a_head() -> None:
    """The published program goes backwards once for each head, each time with all reconstruction terms."""
    batch = images(BOTH) | {"mask": (torch.rand(2, 64, 64) > 0.8).float()}
    batch |= {f"{name}_clean": torch.rand_like(batch[name]) for name in BOTH}
    outputs = Easynet(PAPER, BOTH)(batch)
    terms = easynet_losses(outputs, batch, EasynetLoss(focal=7))
    color, depth = (outputs.reconstructions[name] for name in BOTH)
    rebuilt = (color - batch["color_clean"]).square().mean() + ssim_loss(color, batch["color_clean"])
    rebuilt = rebuilt + (depth - batch["depth_clean"].repeat(1, 3, 1, 1)).square().mean()
    focal = focal_loss(outputs.logits, batch["mask"]) + focal_loss(outputs.color_logits, batch["mask"])
    assert torch.allclose(2 * rebuilt + 7 * focal, terms["total"])


def test_an_open_gate_needs_nothing_but_the_fused_map() -> None:
    """By default, and for one modality, the export has no gate: logits and residual alone."""
    for gate, modalities in (("open", BOTH), ("entropy", ("color",))):
        export = EasynetExport(Easynet(SMALL, modalities, EasynetDeploy(gate)))  # type: ignore[arg-type]
        assert export.outputs == ("logits", "residual")
        assert export.gate is None


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_gate_gets_the_means_of_the_features_at_full_size(layers: int) -> None:
    """Colour first; a level's mean is that of the enlarged level, which is never made."""
    model = Easynet(replace(PAPER, layers=layers), BOTH, EasynetDeploy("entropy")).eval()
    export = EasynetExport(model)
    assert export.gate is not None
    assert (export.gate.mode, export.gate.color_features) == ("entropy", 8 * layers)
    inputs = images(BOTH)
    found = dict(zip(export.outputs, export(*inputs.values()), strict=True))
    outputs = model(inputs)
    assert outputs.color_logits is not None
    assert torch.equal(found["logits_color"], outputs.color_logits)
    full = [enlarge(x, level) for name in BOTH for level, x in enumerate(outputs.features[name])]
    assert torch.allclose(found["pooled"], torch.cat(full, dim=1).mean((2, 3)), atol=1e-5)
