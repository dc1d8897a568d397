# SPDX-License-Identifier: Apache-2.0
"""Samples of EasyNet and DRAEM: reproducible, half of them normal, changed under the mask and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant_training.data.noise_defects import NoiseDefects, NoiseRecipe
from rasant_training.data.places import EVERYWHERE
from rasant_training.data.throughput import made_parts
from rasant_training.method import load_preset
from rasant_training.recipe import Recipe

PARTS = made_parts(3, 96)


def recipe(modalities: str = "rgbd", **synthesis: object) -> Recipe:
    """EasyNet's edge recipe with another synthesis, crops of 64."""
    edge = load_preset("easynet", "edge")
    settings = replace(edge.settings, synthesis=NoiseRecipe(**synthesis))  # type: ignore[arg-type]
    return replace(edge, modalities=modalities, settings=settings, data=replace(edge.data, crop=64))  # type: ignore[arg-type]


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    """Drawn twice, in another order, it is the same to the bit; another seed gives another."""
    draw, again, other = (NoiseDefects(PARTS, recipe(), seed) for seed in (7, 7, 8))
    forward = [draw(k) for k in range(6)]
    backward = [again(k) for k in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(other(0)["color_clean"], forward[0]["color_clean"])


@pytest.mark.parametrize("modalities", ["rgbd", "rgb", "depth"])
def test_images_change_under_the_mask_and_nowhere_else(modalities: str) -> None:
    """Colour and depth outside the mask stay to the bit; a normal sample has an empty mask; about half are normal."""
    names = set(recipe(modalities).inputs)
    draw = NoiseDefects(PARTS, recipe(modalities, lattice=(2, 4)), 2)
    samples = [draw(k) for k in range(60)]
    assert set(samples[0]) == {"mask", *names, *(f"{name}_clean" for name in names)}
    for sample in samples:
        outside = sample["mask"] == 0
        for name in names:
            changed = (sample[name] != sample[f"{name}_clean"]).any(axis=0)
            assert not changed[outside].any()
            assert sample[name].dtype == np.float32
            assert sample["mask"].any() == changed.any()
    assert 0.3 < np.mean([not s["mask"].any() for s in samples]) < 0.7


def test_noise_replaces_depth_with_values_above_the_threshold() -> None:
    """Under the mask of EasyNet's default, depth is the noise itself: between 0.5 and 1, and on the part alone."""
    draw = NoiseDefects(PARTS, recipe(normal_share=0.0, rotation_share=0.0, lattice=(2, 4)), 3)
    for k in range(20):
        sample = draw(k)
        marked = sample["mask"] > 0
        assert ((sample["depth"][0][marked] > 0.5) & (sample["depth"][0][marked] <= 1.0)).all()
        assert (sample["depth_clean"][0][marked] > 0.2).all()  # made_parts: the table lies at 0.1


def test_both_sides_mark_about_twice_as_much() -> None:
    """sides = "both" marks where the noise is below minus the threshold, too."""
    published = {"normal_share": 0.0, "gate_px": EVERYWHERE, "stroke_share": 0.0}
    one, both = (
        np.mean([NoiseDefects(PARTS, recipe(sides=s, **published), 4)(k)["mask"].mean() for k in range(60)])
        for s in ("pos", "both")
    )
    assert 1.6 < both / one < 2.4


def test_a_picture_in_depth_keeps_its_share_of_the_part() -> None:
    """DRAEM on depth: opacity 1 may keep nearly all of it, opacity 0 nothing; everywhere means off the part, too."""
    draw = NoiseDefects(PARTS, recipe("depth", depth="picture", where="everywhere", normal_share=0.0), 5)
    samples = [draw(k) for k in range(40)]
    assert any((s["depth_clean"][0][s["mask"] > 0] < 0.2).any() for s in samples)
    values = np.concatenate([s["depth"][0][s["mask"] > 0] for s in samples])
    assert values.min() >= 0.0 and values.max() <= 1.0
    assert (values < 0.5).any()


def test_a_defect_may_be_of_one_modality_alone() -> None:
    """alone_share = 1 leaves colour or depth as it was, each about as often; 0 changes both."""
    for share, wanted in ((1.0, {(True, False), (False, True)}), (0.0, {(True, True)})):
        draw = NoiseDefects(PARTS, recipe(normal_share=0.0, alone_share=share, lattice=(2, 4)), 8)
        samples = [sample for sample in map(draw, range(40)) if sample["mask"].any()]
        changed = [
            tuple(bool((s[name] != s[f"{name}_clean"]).any()) for name in ("color", "depth")) for s in samples
        ]  # fmt: skip
        assert set(changed) == wanted and 0.2 < np.mean([c for c, _ in changed]) <= 1.0


def test_a_folder_of_pictures_is_used_under_draems_operations(tmp_path: Path) -> None:
    """Photographs of a user's folder are the foreign texture."""
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8))
    draw = NoiseDefects(PARTS, recipe("rgb", textures=str(tmp_path), normal_share=0.0, opacity=0.0), 6)
    sample = next(s for s in map(draw, range(20)) if s["mask"].any())
    assert np.array_equal(draw(0)["color"], draw(0)["color"])
    inside = sample["color"][:, sample["mask"] > 0]
    assert inside.std() > 0.0
