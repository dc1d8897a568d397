# SPDX-License-Identifier: Apache-2.0
"""DBRN: sizes of the published shape, the three forms of its skip dropout, scores, pairs, losses, rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rasant.errors import ConfigError
from rasant_training.loop import _optimizer
from rasant_training.method import load_method, load_preset
from rasant_training.methods.dbrn.losses import dbrn_losses
from rasant_training.methods.dbrn.model import (
    Dbrn,
    DbrnExport,
    ImportanceScores,
    PairEmbed,
    SkipDropout,
    SwinUNet,
    mean_logits,
)
from rasant_training.methods.dbrn.recipe import DbrnDeploy, DbrnLoss, DbrnNetwork
from rasant_training.nets.reconstructing import CHANNELS
from rasant_training.recipe import Recipe, apply_changes, with_deployment

BOTH = ("color", "depth")
SMALL = DbrnNetwork(
    width=8, depths=(2, 2, 1), heads=(1, 2, 2), window=4, skip_rates=(0.6, 0.4), scales=2, pair_width=8,
    multipliers=(1, 2),
)  # fmt: skip
SEEDED = DbrnDeploy()


def published(scales: int) -> DbrnNetwork:
    """The network of the paper preset with so many scales."""
    return replace(load_preset("dbrn", "paper").settings.network, scales=scales)


def network(modalities: tuple[str, ...] = BOTH, deploy: DbrnDeploy = SEEDED, **changes: object) -> Dbrn:
    """A small network with fixed weights, in evaluation mode, for images of 32x32."""
    torch.manual_seed(0)
    return Dbrn(replace(SMALL, **changes), modalities, [(32, 32)], deploy).eval()  # type: ignore[arg-type]


def images(modalities: tuple[str, ...] = BOTH, batch: int = 1, side: int = 32) -> dict[str, torch.Tensor]:
    """The same pictures each time."""
    torch.manual_seed(1)
    return {name: torch.rand(batch, CHANNELS[name], side, side) for name in modalities}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_published_branch_has_the_specified_size_and_work(channels: int) -> None:
    """Swin-UNet [2, 2, 4, 2] on 256x256 with one scale: 34.28 M parameters and 19.78 GFLOP, 2 a multiply-add."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        branch = SwinUNet(channels, published(1), [(256, 256)], DbrnDeploy("mean"), 0).eval()
        branch(torch.empty(1, channels, 256, 256))
    assert sum(p.numel() for p in branch.parameters()) / 1e6 == pytest.approx(34.28, rel=0.001)
    assert counter.get_total_flops() / 1e9 == pytest.approx(19.78, rel=0.01)


def test_the_published_discriminator_has_the_specified_size() -> None:
    """Scores of 0.66 M and a UNet of 17.6 M parameters; three scales share them and add 0.03 M to each branch."""
    with torch.device("meta"):
        model = Dbrn(published(3), BOTH, [(256, 256)], SEEDED)
    millions = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    assert millions["score"] == pytest.approx(0.66, abs=0.01)
    assert millions["discriminate"] == pytest.approx(17.6, abs=0.05)
    assert millions["reconstruct"] == pytest.approx(2 * 34.31, abs=0.02)


@pytest.mark.parametrize("modalities", [BOTH, ("color",), ("depth",)])
@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("head", ["direct", "expand"])
def test_outputs_have_the_size_of_the_inputs(modalities: tuple[str, ...], scales: int, head: str) -> None:
    """Logits at frame size, each reconstruction half as fine as the one before; one modality needs no scores."""
    model = network(modalities, scales=scales, head=head)
    outputs = model(images(modalities, batch=2))
    assert outputs.logits.shape == (2, 2, 32, 32)
    for name in modalities:
        sizes = [tuple(image.shape) for image in outputs.reconstructions[name]]
        assert sizes == [(2, CHANNELS[name], 32 >> scale, 32 >> scale) for scale in range(scales)]
    assert (model.score is None) == (len(modalities) == 1)


def test_a_dropout_keeps_the_declared_share_and_the_expectation() -> None:
    """Each mask is 0 or 1 / (1 - rate); over many seeds its mean is 1, so that `mean`, no mask at all, is it."""
    x = torch.rand(1, 8, 8, 64) + 1
    seeded = [SkipDropout(0.6, 64, [(8, 8)], DbrnDeploy(seed=seed), 3).eval()(x) for seed in range(400)]
    assert set(torch.round(seeded[0] / x, decimals=4).unique().tolist()) == {0.0, 2.5}
    assert float((seeded[0] == 0).float().mean()) == pytest.approx(0.6, abs=0.03)
    many = SkipDropout(0.6, 64, [(8, 8)], DbrnDeploy("mean"), 3).eval()(x)
    assert torch.equal(many, x)
    averaged = torch.stack(seeded).mean(dim=0) / x
    assert float(averaged.mean()) == pytest.approx(1.0, abs=0.005)
    assert float(averaged.std()) == pytest.approx((0.6 / 0.4 / 400) ** 0.5, rel=0.1)  # nothing but the spread of 400
    again = SkipDropout(0.6, 64, [(8, 8), (4, 4)], DbrnDeploy(seed=0), 3).eval()(x)
    assert torch.equal(again, seeded[0])


def test_dropouts_of_levels_and_branches_have_masks_of_their_own() -> None:
    """Equal masks in colour and depth would leave the same places without detail in both."""
    ones = torch.ones(1, 8, 8, 16)
    found = [SkipDropout(0.5, 16, [(8, 8)], SEEDED, branch).eval()(ones) for branch in range(4)]
    assert len({mask.numpy().tobytes() for mask in found}) == 4
    numbers = [[drop.masks_8x8 for drop in branch.drop[:1]] for branch in network().reconstruct.values()]
    assert not torch.equal(numbers[0][0], numbers[1][0])


def test_training_drops_anew_each_time_and_inference_never() -> None:
    """Two passes differ while it trains; in evaluation they are equal to the bit, for each form."""
    for form in ("seeded", "mean", "mc:3"):
        model, pictures = network(deploy=DbrnDeploy(form)), images()
        assert torch.equal(model(pictures).logits, model(pictures).logits)
        model.train()
        assert not torch.equal(model(pictures).logits, model(pictures).logits)


def test_a_batch_of_masks_is_so_many_seeded_runs() -> None:
    """`mc:3` gives the mean probability and the mean residual of the three seeds from its own on, for a batch too."""
    pictures = images(batch=2)
    runs = [DbrnExport(network(deploy=DbrnDeploy(seed=seed)))(*pictures.values()) for seed in (5, 6, 7)]
    logits, residual = DbrnExport(network(deploy=DbrnDeploy("mc:3", seed=5)))(*pictures.values())
    expected = torch.stack([run[0].softmax(dim=1) for run in runs]).mean(dim=0)
    torch.testing.assert_close(logits.softmax(dim=1), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(residual, torch.stack([run[1] for run in runs]).mean(dim=0), atol=1e-6, rtol=0)
    assert not torch.allclose(runs[0][1], runs[1][1], atol=1e-4)


def test_the_mean_of_scales_is_one_of_probabilities_and_hides_no_nan() -> None:
    """Logits of the mean map: their softmax is it, certain answers stay finite, and a NaN stays a NaN."""
    logits = torch.randn(6, 2, 4, 4) * 5
    logits[0, :, 0, 0] = torch.tensor([500.0, -500.0])
    mean = mean_logits(logits, 3)
    torch.testing.assert_close(mean.softmax(dim=1), logits.softmax(dim=1).unflatten(0, (3, 2)).mean(dim=0))
    certain = mean_logits(torch.tensor([900.0, -900.0]).reshape(1, 2, 1, 1).repeat(2, 1, 1, 1), 2)
    assert torch.isfinite(certain).all() and certain[0, 0] > certain[0, 1] + 20
    assert mean_logits(logits * torch.nan, 3).isnan().all()
    assert torch.equal(mean_logits(logits, 1), logits)


def test_colours_are_not_averaged_to_grey() -> None:
    """Two images of equal grey and other colours differ in their features, which an affine embed would not show."""
    embed = PairEmbed(8, 4, BOTH).eval()
    color = torch.rand(1, 3, 8, 8)
    other = color[:, [2, 0, 1]].clone()
    other[:, :, :4] = color.mean(dim=1, keepdim=True)[:, :, :4]
    assert not torch.allclose(embed(color, color, "color"), embed(other, other, "color"), atol=1e-3)


def test_the_machine_normalises_each_modality_as_training_did() -> None:
    """With statistics of one batch, that batch has the features it had in training, however far colour is from depth.

    Statistics that both modalities shared would be those of neither.
    """
    embed, pictures = PairEmbed(8, 4, BOTH), {"color": torch.rand(4, 3, 64, 64), "depth": torch.rand(4, 1, 64, 64)}
    pictures["depth"] = 0.1 * pictures["depth"] + 0.8
    for norm in embed.norm.values():
        norm.momentum = 1.0
    trained = {name: embed(image, image, name) for name, image in pictures.items()}
    embed.eval()
    for name, image in pictures.items():
        torch.testing.assert_close(embed(image, image, name), trained[name], atol=2e-3, rtol=0)


def test_the_scores_weigh_each_modality_between_nothing_and_all() -> None:
    """Equation 4 with weights of a sigmoid: the sum lies between 0 and both features' sum, place by place."""
    scores = ImportanceScores(4).eval()
    color, depth = torch.rand(2, 1, 4, 8, 8)
    weights = scores.weigh(torch.cat([color, depth], dim=1)).detach()
    torch.testing.assert_close(scores(color, depth), color * weights[:, :4] + depth * weights[:, 4:])
    assert 0 < float(weights.min()) and float(weights.max()) < 1


def test_identical_pairs_come_in_one_modality_at_the_declared_rate() -> None:
    """A quarter of the samples judge colour against itself, a quarter depth, none both; all scales do alike."""
    model = network().train()
    pictures = images(batch=400, side=8)
    rebuilt = {name: [torch.zeros_like(image)] * 2 for name, image in pictures.items()}
    torch.manual_seed(3)
    replaced = model.identical_pairs(pictures, rebuilt)
    same = {name: [(x == pictures[name]).all(dim=(1, 2, 3)) for x in replaced[name]] for name in BOTH}
    assert not (same["color"][0] & same["depth"][0]).any()
    for name in BOTH:
        assert float(same[name][0].float().mean()) == pytest.approx(0.25, abs=0.06)
        assert torch.equal(same[name][0], same[name][1])
        assert torch.equal(replaced[name][0][~same[name][0]], torch.zeros_like(replaced[name][0][~same[name][0]]))


def batch_for(modalities: tuple[str, ...] = BOTH, batch: int = 2) -> dict[str, torch.Tensor]:
    """Images with their normal selves and regions."""
    found = images(modalities, batch)
    mask = (torch.rand(batch, 32, 32) > 0.9).float()
    found |= {f"{name}_clean": found[name] for name in modalities}
    return {**found, "mask": mask, "foreground": (torch.rand(batch, 32, 32) > 0.5).float()}


def test_losses_vanish_for_a_perfect_answer_and_sum_by_weight() -> None:
    """A perfect reconstruction on every scale and a certain, right mask cost nothing; the total is the sum of terms."""
    batch = batch_for()
    mask = batch["mask"]
    outputs = network()(batch)
    sure = torch.stack([-40 * (2 * mask - 1), 40 * (2 * mask - 1)], dim=1)
    area = torch.nn.functional.avg_pool2d
    exact = {name: (batch[name], area(batch[name], 2)) for name in BOTH}
    perfect = outputs._replace(logits=sure, reconstructions=exact)
    assert dbrn_losses(perfect, batch, DbrnLoss())["total"].item() == pytest.approx(0, abs=1e-5)
    terms = dbrn_losses(outputs, batch, DbrnLoss(ssim=3, focal=7))
    expected = 7 * terms["focal"] + sum(terms[f"region_{name}"] + 3 * terms[f"ssim_{name}"] for name in BOTH)
    torch.testing.assert_close(terms["total"], expected)


@pytest.mark.parametrize("modalities", [BOTH, ("depth",)])
def test_every_parameter_learns(modalities: tuple[str, ...]) -> None:
    """One backward pass of the total loss reaches every parameter; detached, the focal term spares the branches."""
    batch = batch_for(modalities)
    model = network(modalities).train()
    dbrn_losses(model(batch), batch, DbrnLoss())["total"].backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
    model = network(modalities, detach=True).train()
    dbrn_losses(model(batch), batch, DbrnLoss())["focal"].backward()
    assert all(p.grad is None for p in model.reconstruct.parameters())


def test_the_parts_learn_at_their_own_rates() -> None:
    """Branches 1e-4, discriminator and pair embed 1e-5, scores 1e-3 (section IV-B); each parameter in one group."""
    recipe = load_preset("dbrn", "paper")
    model = network()
    groups = _optimizer(recipe.optimizer, model).param_groups
    rate = {id(p): group["share"] * recipe.optimizer.learning_rate for group in groups for p in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    wanted = {"reconstruct": 1e-4, "embed": 1e-5, "discriminate": 1e-5, "score": 1e-3}
    for name, parameter in model.named_parameters():
        assert rate[id(parameter)] == pytest.approx(wanted[name.split(".")[0]])
    assert groups[0]["share"] == 1.0  # the rate that is logged


def test_the_presets_build_with_each_modality() -> None:
    """The edge preset on its crops and whole frames; the paper's network without memory, on the meta device."""
    for preset in ("edge", "paper"):
        for modalities in ("rgbd", "rgb", "depth"):
            recipe = replace(load_preset("dbrn", preset), modalities=modalities)
            with torch.device("meta"):
                assert tuple(load_method("dbrn").build(recipe).modalities) == recipe.inputs


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("network", "scales", 0), ("network", "head", "wide"), ("network", "swap", 0.6),
        ("network", "skip_rates", [1.0]), ("deploy", "skip_dropout", "random"), ("deploy", "skip_dropout", "mc:1"),
        ("deploy", "seed", -1),
        ("synthesis", "unchanged", 1.5), ("synthesis", "gate_px", [9.0, 2.0]), ("loss", "mask", -1.0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_their_place(table: str, key: str, value: object) -> None:
    """A setting that would fail or do nothing later is refused when the recipe is read."""
    with pytest.raises(ConfigError, match=f"settings.{table}.{key}"):
        apply_changes(load_preset("dbrn", "edge"), {"settings": {table: {key: value}}}, "test")


def changed(**tables: dict[str, object]) -> Recipe:
    """The edge preset with other values."""
    return apply_changes(load_preset("dbrn", "edge"), tables, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"crop": 100}}, "data.crop must be a multiple of 32"),
        ({"preprocess": {"size": [256, 288]}}, "windows of 8 do not divide"),
        ({"settings": {"network": {"heads": [2, 4]}}}, "heads must have 3 values"),
        ({"settings": {"network": {"heads": [2, 4, 7]}}}, r"heads\[2\] = 7 must divide"),
        ({"settings": {"network": {"scales": 3}}}, "scales must be below the 3 levels"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, dict[str, object]], message: str) -> None:
    """The error names the setting and what it has to be."""
    with pytest.raises(ConfigError, match=message):
        load_method("dbrn").build(changed(**changes))


def test_the_form_of_the_dropout_may_change_after_training_and_nothing_else() -> None:
    """What `rasant export --set` may say: settings.deploy, where the method has it; the rest is refused by its name."""
    recipe = load_preset("dbrn", "edge")
    changed_recipe = with_deployment(recipe, {"settings": {"deploy": {"skip_dropout": "mc:4"}}})
    assert changed_recipe.settings.deploy.copies == 4
    assert replace(changed_recipe, settings=recipe.settings) == recipe == with_deployment(recipe, {})
    for wrong, name in (({"data": {"crop": 64}}, "data"), ({"settings": {"network": {"width": 8}}}, "network")):
        with pytest.raises(ConfigError, match=f"--set {name}"):
            with_deployment(recipe, wrong)
    with pytest.raises(ConfigError, match="deploy"):
        with_deployment(load_preset("das3d", "edge"), {"settings": {"deploy": {"seed": 1}}})


def test_masks_are_no_weights() -> None:
    """Constants of a size are not saved: a checkpoint of one size and form fits every other."""
    wanted = network().state_dict()
    other = Dbrn(SMALL, BOTH, [(64, 64), (32, 32)], DbrnDeploy("mc:2", seed=9)).state_dict()
    assert {name: tuple(value.shape) for name, value in wanted.items()} == {
        name: tuple(value.shape) for name, value in other.items()
    }
    assert not any("mask" in name or "index" in name for name in wanted)
    assert np.prod(network().reconstruct["color"].drop[0].masks_8x8.shape) == 8 * 8 * 8
