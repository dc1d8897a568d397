# SPDX-License-Identifier: Apache-2.0
"""Training samples of DBRN: reproducible, on the part, in the declared shares, with the foreground for the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rasant.preprocess import PreprocessParams
from rasant_training.losses.region import region_loss, region_weights
from rasant_training.methods.dbrn import PRESETS, Synthesiser
from rasant_training.recipe import Recipe
from training.tiny_method import made_parts

SIDE = 64


def synthesiser(modalities: str = "rgbd", seed: int = 7, **synthesis: object) -> Synthesiser:
    """Samples of parts of noise whose foreground is a square."""
    foreground = np.zeros((3, SIDE, SIDE), bool)
    foreground[:, 12:52, 12:52] = True
    parts = made_parts(3, SIDE, foreground=foreground, params=PreprocessParams(size=(SIDE, SIDE)))
    edge: Recipe = PRESETS["edge"]
    settings = replace(edge.settings, synthesis=replace(edge.settings.synthesis, **synthesis))
    data = replace(edge.data, crop=SIDE)
    return Synthesiser(parts, replace(edge, settings=settings, modalities=modalities, data=data), seed)  # type: ignore[arg-type]


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    """Drawn twice, in another order, it is the same to the bit; another index or seed gives another."""
    first, second = synthesiser(), synthesiser()
    forward = [first(k) for k in range(5)]
    backward = [second(k) for k in reversed(range(5))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(forward[0]["color_clean"], forward[1]["color_clean"])
    assert not np.array_equal(synthesiser(seed=8)(0)["color_clean"], forward[0]["color_clean"])


@pytest.mark.parametrize("modalities", ["rgbd", "rgb", "depth"])
def test_a_defect_is_where_the_mask_is_and_on_the_part(modalities: str) -> None:
    """Outside the mask is the normal crop to the bit; the mask lies on the foreground; channels come first."""
    names = {"rgbd": ("color", "depth"), "rgb": ("color",), "depth": ("depth",)}[modalities]
    draw, changed = synthesiser(modalities), 0
    for index in range(30):
        sample = draw(index)
        wanted = {"mask", "foreground", *names, *(f"{name}_clean" for name in names)}
        assert sample.keys() == wanted and all(value.dtype == np.float32 for value in sample.values())
        assert not (sample["mask"] * (1 - sample["foreground"])).any()
        for name in names:
            differs = (sample[name] != sample[f"{name}_clean"]).any(axis=0)
            assert sample[name].shape == ({"color": 3, "depth": 1}[name], SIDE, SIDE)
            assert not (differs & (sample["mask"] == 0)).any()
            changed += bool(differs.any())
    assert changed > 5


def test_modalities_are_left_alone_and_zeroed_in_the_declared_shares() -> None:
    """With the paper's thresholds 30 % of each stay as they are and 20 % become holes, each by a coin of its own."""
    draw = synthesiser(rotation_share=0.0, gain=0.0, threshold=0.0, stroke_share=1.0)
    kept, holes, one = [], [], 0
    for index in range(300):
        sample = draw(index)
        where = sample["mask"] > 0
        stays = [bool(np.array_equal(sample[name], sample[f"{name}_clean"])) for name in ("color", "depth")]
        kept.append(stays)
        one += stays[0] != stays[1]
        if where.any():
            holes.append([not sample[name][:, where].any() for name in ("color", "depth")])
    assert np.mean(kept, axis=0) == pytest.approx([0.3, 0.3], abs=0.08)
    assert np.mean(holes, axis=0) == pytest.approx([0.2 / 0.91] * 2, abs=0.08)  # in 9 % of samples neither is changed
    assert one / 300 == pytest.approx(2 * 0.3 * 0.7, abs=0.08)


def test_the_region_loss_is_equation_2() -> None:
    """1 on the background, 4 on the rest of the part, 10 in the mask; a coarser image is held to the mean of pixels."""
    import torch

    torch.manual_seed(0)
    target, got = torch.rand(2, 2, 3, 8, 8, dtype=torch.float64)
    mask = (torch.rand(2, 8, 8) > 0.8).double()
    part = torch.maximum((torch.rand(2, 8, 8) > 0.5).double(), mask)
    weights = region_weights(mask, part, background=1, part=4, defect=10)
    error = ((got - target) ** 2).mean(dim=1)
    terms = [(error * where).sum() for where in (1 - part, part - mask, mask)]
    expected = (1 * terms[0] + 4 * terms[1] + 10 * terms[2]) / mask.numel()
    torch.testing.assert_close(region_loss(got, target, weights), expected)
    coarse = got[..., :4, :4]
    mean, weight = (torch.nn.functional.avg_pool2d(x, 2) for x in (target, weights))
    torch.testing.assert_close(region_loss(coarse, target, weights), (weight * (coarse - mean) ** 2).mean())
