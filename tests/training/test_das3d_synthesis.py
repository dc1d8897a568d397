# SPDX-License-Identifier: Apache-2.0
"""Training samples of DAS3D: reproducible, local, aligned, with modalities dropped at the declared rate."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant.preprocess import PreprocessParams
from rasant.types import Intrinsics
from rasant_training.data.parts import PreparedParts
from rasant_training.methods.das3d import PRESETS, Synthesiser
from rasant_training.methods.das3d.recipe import Das3dRecipe
from rasant_training.recipe import Recipe, apply_changes

SIDE = 96


def parts() -> PreparedParts:
    """Three squares 10 mm high on a plane, each with its own colour."""
    depth = np.full((3, SIDE, SIDE), 0.1, np.float32)
    depth[:, 20:76, 20:76] = 0.5
    random = np.random.default_rng(0)
    color = random.uniform(0.3, 0.7, (3, 3, 1, 1)).astype(np.float32) * np.ones((1, 1, SIDE, SIDE), np.float32)
    foreground = depth > 0.2
    params = PreprocessParams(size=(SIDE, SIDE), depth_low=0.0, depth_high=0.02)
    return PreparedParts(
        color=color, depth=depth, foreground=foreground, valid=np.ones_like(foreground), params=params,
        names=("a", "b", "c"), category="square", intrinsics=Intrinsics(SIDE, SIDE, 100, 100, 47.5, 47.5), serial="",
        sha256="", limits={},
    )  # fmt: skip


def recipe(**synthesis: object) -> Recipe:
    edge = PRESETS["edge"]
    settings = cast(Das3dRecipe, edge.settings)
    changed = replace(settings, synthesis=replace(settings.synthesis, **synthesis))  # type: ignore[arg-type]
    return replace(edge, settings=changed, data=replace(edge.data, crop=64))


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    """Drawn twice, in another order, it is the same to the bit; another index or seed gives another."""
    first, second = Synthesiser(parts(), recipe(), 7), Synthesiser(parts(), recipe(), 7)
    forward = [first(k) for k in range(6)]
    backward = [second(k) for k in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(forward[0]["color"], forward[1]["color"])
    assert not np.array_equal(Synthesiser(parts(), recipe(), 8)(0)["depth"], forward[0]["depth"])


def test_late_fusion_is_told_which_modality_was_changed() -> None:
    """Each modality's mask is the mask where that modality was drawn on, and empty where it was left out; the samples
    are those of early fusion.
    """
    late = apply_changes(recipe(), {"settings": {"network": {"fusion": "late"}}}, "here")
    draw, early = Synthesiser(parts(), late, 5), Synthesiser(parts(), recipe(), 5)
    seen = set()
    for k in range(40):
        sample, plain = draw(k), early(k)
        assert all(np.array_equal(sample[name], plain[name]) for name in plain)
        changed = {name: (sample[name] != sample[f"{name}_clean"]).any() for name in ("color", "depth")}
        for name, is_changed in changed.items():
            assert not is_changed or np.array_equal(sample[f"{name}_mask"], sample["mask"])
            assert is_changed or not sample["mask"].any() or not sample[f"{name}_mask"].any()
        seen.add(tuple(changed.values()))
    assert len(seen) == 4


def test_the_samples_of_a_seed_stay_what_they_were() -> None:
    """A run of an older version can be resumed or repeated: the first samples of a seed have the recorded sums."""
    draw = Synthesiser(parts(), recipe(), 5)
    sums = [[float(draw(k)[name].sum(dtype=np.float64)) for name in ("color", "depth", "mask")] for k in range(3)]
    recorded = [[6461.0351, 1192.8, 191], [5286.3665, 1436.7554, 89], [6169.4784, 1342.4, 84]]
    assert np.allclose(sums, recorded, rtol=1e-6, atol=0)


def test_shapes_and_dtypes() -> None:
    """Channels first, float32, of the crop's size; mask 0 or 1."""
    sample = Synthesiser(parts(), recipe(), 1)(0)
    shapes = {name: (array.shape, array.dtype) for name, array in sample.items()}
    color, depth, mask = ((3, 64, 64), np.float32), ((1, 64, 64), np.float32), ((64, 64), np.float32)
    assert shapes == {"mask": mask, "color": color, "color_clean": color, "depth": depth, "depth_clean": depth}
    assert set(np.unique(sample["mask"])) <= {0.0, 1.0}


def test_changes_stay_inside_the_mask_or_below_what_can_be_seen() -> None:
    """Colour changes only where the mask is set; depth changes elsewhere are smaller than the visible height."""
    draw = Synthesiser(parts(), recipe(dropout=0.0), 2)
    step = draw.units_per_mm * 0.25
    for k in range(40):
        sample = draw(k)
        outside = sample["mask"] == 0
        assert not np.any((sample["color"] != sample["color_clean"])[:, outside])
        assert np.all(np.abs(sample["depth"] - sample["depth_clean"])[0][outside] < step * 1.001)


def test_defects_come_at_all_depths_and_signs_within_their_bounds() -> None:
    """Over many draws there are dents and bumps, and none deeper than the largest amplitude."""
    draw = Synthesiser(parts(), recipe(dropout=0.0), 3)
    change = [(s["depth"] - s["depth_clean"]) / draw.units_per_mm for s in map(draw, range(80))]
    assert min(c.min() for c in change) < -1
    assert max(c.max() for c in change) > 1
    assert max(np.abs(c).max() for c in change) <= 6.0 * 1.001


def test_dropout_leaves_each_modality_at_its_rate_and_never_a_mask_without_a_change() -> None:
    """p_d = 0.5 for each: a quarter of the samples is normal in both, and then the mask is empty."""
    draw = Synthesiser(parts(), recipe(), 4)
    samples = [draw(k) for k in range(400)]
    changed = np.array([[not np.array_equal(s[n], s[f"{n}_clean"]) for n in ("color", "depth")] for s in samples])
    marked = np.array([s["mask"].any() for s in samples])
    assert not np.any(marked & ~changed.any(axis=1))
    with_mask = changed[marked]
    # Of three equally likely cases with a defect, one changes both, one colour alone, one depth alone.
    assert with_mask.all(axis=1).mean() == pytest.approx(1 / 3, abs=0.1)
    assert with_mask[:, 0].mean() == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize("modality", ["color", "depth"])
def test_a_single_modality_gives_samples_of_it_alone(modality: str) -> None:
    """RGB-only and depth-only samples hold one image, and half of them stay normal."""
    only = replace(recipe(), modalities={"color": "rgb", "depth": "depth"}[modality])
    draw = Synthesiser(parts(), only, 5)
    samples = [draw(k) for k in range(100)]
    assert set(samples[0]) == {"mask", modality, f"{modality}_clean"}
    assert 0.25 < np.mean([s["mask"].any() for s in samples]) < 0.65


def test_colour_and_depth_turn_together() -> None:
    """The part's edge lies at the same place in colour, depth and foreground of a turned crop."""
    have = parts()
    color = np.repeat((have.depth[:, None] > 0.2).astype(np.float32), 3, axis=1)
    draw = Synthesiser(replace(have, color=color), recipe(rotation_share=1.0, dropout=1.0, gain=0.0), 6)
    for k in range(20):
        sample = draw(k)
        differs = (sample["color"][0] > 0.5) != (sample["depth"][0] > 0.3)
        assert differs.mean() < 0.01


def test_a_kernel_wider_than_the_operation_takes_is_refused_with_the_recipe() -> None:
    """A sigma above 32 pixels fails when the recipe is read, and not when such a sample is drawn an hour later."""
    with pytest.raises(ConfigError, match="sigma_px"):
        apply_changes(PRESETS["edge"], {"settings": {"synthesis": {"sigma_px": [1.0, 40.0]}}}, "test")


def test_samples_leave_the_parts_as_they_are() -> None:
    """Drawing whole frames and crops changes nothing in the prepared parts."""
    have = parts()
    before = [have.color.copy(), have.depth.copy(), have.foreground.copy()]
    for crop in (64, SIDE):
        draw = Synthesiser(have, replace(recipe(), data=replace(recipe().data, crop=crop)), 9)
        for k in range(20):
            draw(k)
    after = [have.color, have.depth, have.foreground]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
