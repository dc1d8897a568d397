# SPDX-License-Identifier: Apache-2.0
"""The published synthesisers: seeded, equal on every device, local, and as their papers have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from devices import get, put
from rasant.ops.defect import Defective
from rasant.synthesis.affine_depth import affine_depth
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture
from rasant.synthesis.replace_noise import replace_noise
from rasant.synthesis.signed_hills import signed_hills
from rasant.synthesis.skew_gauss import skew_gauss
from rasant.synthesis.zero_or_blend import zero_or_blend

Draw = Callable[..., Defective]
DRAWS: dict[str, Draw] = {
    "replace_noise": replace_noise, "zero_or_blend": zero_or_blend, "signed_hills": signed_hills,
    "skew_gauss": skew_gauss,
}  # fmt: skip
SIZE = (40, 48)


def part() -> dict[str, Any]:
    """Colour, depth in [0.2, 0.8] and the foreground of a small part."""
    random = np.random.default_rng(0)
    foreground = np.zeros(SIZE, np.bool_)
    foreground[4:-5, 6:-3] = True
    return {
        "color": random.random((3, *SIZE), dtype=np.float32), "foreground": foreground,
        "depth": random.uniform(0.2, 0.8, SIZE).astype(np.float32),
    }  # fmt: skip


def images(drawn: Defective) -> tuple[np.ndarray, ...]:
    """Colour, depth and mask as numpy."""
    found = (drawn.color, drawn.depth, drawn.mask)
    return tuple(image if isinstance(image, np.ndarray) else get(image) for image in found)


@pytest.mark.parametrize("name", DRAWS)
def test_a_sample_follows_its_seed_on_every_device(name: str) -> None:
    """The same seed and index give the same bits on cpu and on emu; another seed or index gives another sample."""
    draw, normal = DRAWS[name], part()
    there = {key: put(image) for key, image in normal.items()}
    for index in range(6):
        here = images(draw(**normal, seed=3, index=index))
        for again in (draw(**normal, seed=3, index=index), draw(**there, seed=3, index=index, device="emu")):
            assert all(np.array_equal(a, b) for a, b in zip(here, images(again), strict=True))
    others = [images(draw(**normal, seed=seed, index=index))[2] for seed, index in ((3, 9), (4, 9), (3, 10))]
    several = [images(draw(**normal, seed=seed, index=9))[1] for seed in range(6)]
    assert len({m.tobytes() for m in others} | {d.tobytes() for d in several}) >= 4


@pytest.mark.parametrize("name", DRAWS)
def test_a_defect_is_local(name: str) -> None:
    """Colour changes under the mask alone, the mask lies on the part, depth stays in [0, 1] and beyond it as it was."""
    normal = part()
    marked = 0
    for index in range(40):
        drawn = DRAWS[name](**normal, seed=1, index=index)
        assert drawn.color is not None and drawn.depth is not None
        assert np.array_equal(drawn.color[:, ~drawn.mask], normal["color"][:, ~drawn.mask])
        assert not np.any(drawn.mask & ~normal["foreground"])
        outside = ~normal["foreground"] if name == "skew_gauss" else ~drawn.mask
        assert np.array_equal(drawn.depth[outside], normal["depth"][outside])
        assert 0 <= drawn.depth.min() and drawn.depth.max() <= 1
        marked += bool(drawn.mask.any())
    assert marked >= 20


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("modality", ["color", "depth"])
def test_one_modality_is_enough(name: str, modality: str) -> None:
    """Without colour or without depth, the other one is drawn as it is with both."""
    normal = part()
    drawn = [DRAWS[name](**(normal | {other: None}), seed=2, index=5) for other in ("color", "depth")]
    alone = drawn[0 if modality == "depth" else 1]
    assert (alone.color is None, alone.depth is None) == (modality == "depth", modality == "color")


def test_replaced_depth_is_the_noise() -> None:
    """EasyNet: under the mask, depth is the field itself, above its threshold; with both sides also below it."""
    normal = part() | {"color": None}
    for rule in ("positive", "absolute"):
        below = False
        for index in range(20):
            drawn = replace_noise(**normal, seed=5, index=index, rule=rule)  # type: ignore[arg-type]
            field = RandomFields(SIZE, np.random.default_rng((5, index)), seed=5, first=index * FIELDS)(0)[0]
            assert drawn.depth is not None
            expected = np.clip(field, 0, 1)  # depth lies in [0, 1]
            np.testing.assert_allclose(drawn.depth[drawn.mask], expected[drawn.mask], atol=1e-6)
            marked = field > 0.5 if rule == "positive" else np.abs(field) > 0.5
            assert np.array_equal(drawn.mask, marked & normal["foreground"])
            below |= bool((field[drawn.mask] < 0).any())
        assert below == (rule == "absolute")


def test_zero_or_blend_keeps_its_chances() -> None:
    """DBRN: each modality stays in 30 %, becomes 0 in 20 % and is mixed in 50 % of the samples, on its own."""
    normal = part()
    normal["foreground"][:] = True
    found = {"color": [0, 0, 0], "depth": [0, 0, 0]}
    both = total = 0
    for index in range(600):
        drawn = zero_or_blend(**normal, seed=6, index=index, threshold=0.2, lattice=(1, 3))
        kinds = []
        if not drawn.mask.any():
            continue
        for name in found:
            now, before = getattr(drawn, name)[..., drawn.mask], normal[name][..., drawn.mask]
            kinds.append(0 if np.array_equal(now, before) else 1 if not now.any() else 2)
            found[name][kinds[-1]] += 1
        total += 1
        both += kinds == [2, 2]
    seen = 1 - 0.3 * 0.3  # samples in which both stay have no mask and are not counted
    for counts in found.values():
        shares = np.array(counts) / total
        np.testing.assert_allclose(shares, [0.3 * 0.7 / seen, 0.2 / seen, 0.5 / seen], atol=0.07)
    assert both / total == pytest.approx(0.25 / seen, abs=0.07)


def test_opacity_bounds_what_stays_of_the_part_in_a_mixture() -> None:
    """With opacity k, of two parts that differ by 1 no more than k is left of the difference inside the mask."""
    foreground = np.ones(SIZE, np.bool_)
    black, white = (np.full((3, *SIZE), level, np.float32) for level in (0.0, 1.0))
    for opacity in (0.0, 0.3, 1.0):
        left = []
        for index in range(60):
            how = {"seed": 2, "index": index, "threshold": 0.2, "unchanged": 0.0, "zeroed": 0.0, "opacity": opacity}
            dark, bright = (zero_or_blend(color, None, foreground, **how) for color in (black, white))
            left += [float((bright.color - dark.color)[:, dark.mask].max())] if dark.mask.any() else []
        assert left and max(left) <= opacity + 1e-6
        assert max(left) >= 0.8 * opacity


def test_hills_are_continuous_and_bounded() -> None:
    """TransFusion: both signs occur, none beyond the height, and the smallest changes are at the rim."""
    normal = part() | {"color": None}
    normal["depth"][:] = 0.5
    changes = []
    for index in range(40):
        drawn = signed_hills(**normal, seed=7, index=index)
        assert drawn.depth is not None
        changes.append((drawn.depth - 0.5)[drawn.mask])
    every = np.concatenate(changes)
    assert every.max() == pytest.approx(0.1, abs=1e-6) and every.min() == pytest.approx(-0.1, abs=1e-6)
    assert np.abs(every).min() < 1e-3


def test_affine_depth_fills_its_span() -> None:
    """DADA: in [0, 1]; spans and places are spread over it; the same seed gives the same image on cpu and emu."""
    drawn = [affine_depth(SIZE, seed=8, index=index) for index in range(60)]
    lows, highs = np.array([d.min() for d in drawn]), np.array([d.max() for d in drawn])
    assert lows.min() >= 0 and highs.max() <= 1
    assert 0.35 < (highs - lows).mean() < 0.65 and (highs - lows).min() < 0.1 and (highs - lows).max() > 0.9
    for index in (0, 1, 2):
        assert np.array_equal(get(affine_depth(SIZE, seed=8, index=index, device="emu")), drawn[index])


def test_textures_come_from_the_samples_own_fields() -> None:
    """Fields 1 and 2 of a sample: an image in range, another for each sample."""
    random = np.random.default_rng(0)
    textures = [random_texture(RandomFields(SIZE, random, seed=1, first=k * FIELDS), random) for k in (0, 1)]
    assert textures[0].shape == (3, *SIZE) and not np.array_equal(*textures)
