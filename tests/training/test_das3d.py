# SPDX-License-Identifier: Apache-2.0
"""DAS3D: sizes of the published shape, static forward pass, losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rasant.errors import ConfigError
from rasant_training.method import load_method, load_preset
from rasant_training.methods.das3d.losses import das3d_losses
from rasant_training.methods.das3d.model import Das3d
from rasant_training.methods.das3d.recipe import Das3dLoss, Das3dNetwork
from rasant_training.nets.reconstructing import CHANNELS, ReconstructionExport
from rasant_training.recipe import apply_changes

PAPER = {"form": "paper", "stem": 1, "multipliers": (1, 2, 4, 8, 8), "discriminator_multipliers": (1, 2, 4, 8, 8, 8)}
BOTH = ("color", "depth")
SMALL = Das3dNetwork(width=4, discriminator_width=4)


def images(modalities: tuple[str, ...], side: int, batch: int = 1) -> dict[str, torch.Tensor]:
    return {name: torch.rand(batch, CHANNELS[name], side, side) for name in modalities}


@pytest.mark.parametrize(("width", "discriminator", "millions"), [(64, 32, 41.8), (32, 32, 15.8), (64, 64, 63.3)])
def test_paper_form_has_the_specified_parameter_count(width: int, discriminator: int, millions: float) -> None:
    """The published autoencoder and discriminator give the parameter counts worked out from their descriptions."""
    with torch.device("meta"):
        model = Das3d(Das3dNetwork(width=width, discriminator_width=discriminator, **PAPER), BOTH)
    counted = sum(p.numel() for p in model.parameters()) / 1e6
    assert counted == pytest.approx(millions, abs=0.05)


def test_paper_form_has_the_specified_work() -> None:
    """Width 32 and discriminator 32 cost 71 GFLOP (2 a multiply-add) for one 256x256 frame."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = Das3d(Das3dNetwork(width=32, discriminator_width=32, **PAPER), BOTH)
        model({name: torch.empty(1, CHANNELS[name], 256, 256) for name in BOTH})
    assert counter.get_total_flops() / 1e9 == pytest.approx(71, rel=0.01)


@pytest.mark.parametrize("modalities", [BOTH, ("color",), ("depth",)])
@pytest.mark.parametrize("stem", [1, 2])
def test_outputs_have_the_size_of_the_inputs(modalities: tuple[str, ...], stem: int) -> None:
    """Logits and reconstructions come at frame size, for each set of modalities and each stem."""
    model = Das3d(Das3dNetwork(stem=stem, width=4, discriminator_width=4), modalities).eval()
    outputs = model(images(modalities, 64, batch=2))
    assert outputs.logits.shape == (2, 2, 64, 64)
    assert {k: tuple(v.shape) for k, v in outputs.reconstructions.items()} == {
        name: (2, CHANNELS[name], 64, 64) for name in modalities
    }


def test_export_module_gives_logits_and_one_residual_a_modality() -> None:
    """The exported module takes the modalities in order and returns the absolute reconstruction error of each."""
    model = Das3d(SMALL, BOTH).eval()
    inputs = images(BOTH, 64)
    logits, residual = ReconstructionExport(model)(inputs["color"], inputs["depth"])
    outputs = model(inputs)
    assert torch.equal(outputs.logits, logits)
    assert residual.shape == (1, 2, 64, 64)
    expected = (outputs.reconstructions["color"] - inputs["color"]).abs().mean(1)
    assert torch.allclose(expected, residual[:, 0])


def test_losses_vanish_for_a_perfect_answer_and_sum_by_weight() -> None:
    """A perfect reconstruction and a certain, right mask cost nothing; the total is the weighted sum of its terms."""
    torch.manual_seed(0)
    batch = images(BOTH, 32, batch=2)
    mask = (torch.rand(2, 32, 32) > 0.9).float()
    batch |= {"mask": mask, "color_clean": batch["color"], "depth_clean": batch["depth"]}
    model = Das3d(SMALL, BOTH)
    outputs = model(batch)
    sure = torch.stack([-40 * (2 * mask - 1), 40 * (2 * mask - 1)], dim=1)
    perfect = outputs._replace(logits=sure, reconstructions={name: batch[name] for name in BOTH})
    assert das3d_losses(perfect, batch, Das3dLoss())["total"].item() == pytest.approx(0, abs=1e-6)
    weights = Das3dLoss(color=2, ssim=3, depth=5, focal=7)
    terms = das3d_losses(outputs, batch, weights)
    expected = 2 * terms["mse_color"] + 3 * terms["ssim_color"] + 5 * terms["mse_depth"] + 7 * terms["focal"]
    assert torch.allclose(expected, terms["total"])


def test_every_parameter_learns() -> None:
    """One backward pass of the total loss reaches every parameter of all three networks."""
    torch.manual_seed(0)
    batch = images(BOTH, 64, batch=2) | {"mask": (torch.rand(2, 64, 64) > 0.8).float()}
    batch |= {f"{name}_clean": batch[name] for name in BOTH}
    model = Das3d(SMALL, BOTH)
    das3d_losses(model(batch), batch, Das3dLoss())["total"].backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_late_fusion_takes_the_surer_modality_in_each_pixel() -> None:
    """The probability is the largest of the heads', at the stem's resolution, where they are fused."""
    torch.manual_seed(1)
    model = Das3d(replace(SMALL, fusion="late", stem=1), BOTH).eval()
    outputs = model(images(BOTH, 64, batch=2))
    assert outputs.heads is not None and set(outputs.heads) == set(BOTH)
    alone = torch.stack([head.softmax(dim=1)[:, 1] for head in outputs.heads.values()])
    assert torch.allclose(outputs.logits.softmax(dim=1)[:, 1], alone.amax(dim=0), atol=1e-6)
    assert not torch.equal(alone[0], alone[1])


def test_late_fusion_of_one_modality_is_no_fusion() -> None:
    """A network of colour alone has the same weights and answers whatever the fusion is called."""
    built = []
    for fusion in ("early", "late"):
        torch.manual_seed(2)
        built.append(Das3d(replace(SMALL, fusion=fusion), ("color",)).eval())
    image = images(("color",), 64)
    assert torch.equal(*(model(image).logits for model in built))


def test_each_head_answers_for_its_own_modality_alone() -> None:
    """Late fusion: every parameter learns, each head from its own mask, and the total is the sum by weight."""
    torch.manual_seed(0)
    model = Das3d(replace(SMALL, fusion="late"), BOTH)
    batch = images(BOTH, 64, batch=2)
    batch |= {f"{name}_clean": batch[name] for name in BOTH}
    mask = (torch.rand(2, 64, 64) > 0.8).float()
    batch |= {"mask": mask, "color_mask": mask, "depth_mask": torch.zeros_like(mask)}
    outputs = model(batch)
    terms = das3d_losses(outputs, batch, Das3dLoss(focal=7))
    reconstructed = sum(terms[name] for name in ("mse_color", "ssim_color", "mse_depth"))
    assert torch.allclose(terms["total"], reconstructed + 7 * (terms["focal_color"] + terms["focal_depth"]))
    other = das3d_losses(outputs, batch | {"color_mask": torch.zeros_like(mask)}, Das3dLoss(focal=7))
    assert torch.equal(other["focal_depth"], terms["focal_depth"])
    assert not torch.equal(other["focal_color"], terms["focal_color"])
    terms["total"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("network", "form", "papper"), ("network", "multipliers", [1, 2]), ("synthesis", "dropout", 5.0),
        ("synthesis", "sigma_px", [0.0, 1.0]), ("synthesis", "lattice", [5, 2]), ("loss", "focal", -1.0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_their_place(table: str, key: str, value: object) -> None:
    """A setting that would fail or do nothing later is refused when the recipe is read."""
    with pytest.raises(ConfigError, match=f"settings.{table}.{key}"):
        apply_changes(load_preset("das3d", "edge"), {"settings": {table: {key: value}}}, "test")


@pytest.mark.parametrize(("table", "key", "value"), [("data", "crop", 100), ("preprocess", "size", [100, 256])])
def test_an_image_size_that_does_not_fit_the_levels_is_refused(table: str, key: str, value: object) -> None:
    """Sizes are multiples of what the deepest level needs; the error names the multiple."""
    recipe = apply_changes(load_preset("das3d", "edge"), {table: {key: value}}, "test")
    with pytest.raises(ConfigError, match=f"{table}.{key} must be a multiple of 32"):
        load_method("das3d").build(recipe)
