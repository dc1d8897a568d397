# SPDX-License-Identifier: Apache-2.0
"""Procedural parts: deterministic, plausible in every number that can be checked, with exact masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant.sensors import open_source
from rasant.synthesis.commands import write_dataset
from rasant.synthesis.defects import DEFECTS
from rasant.synthesis.part import CATEGORIES, DEPTH_SCALE, make_part


@pytest.mark.parametrize("category", CATEGORIES)
def test_equal_seed_and_frame_give_equal_bytes(category: str) -> None:
    """The same seed and frame give the same picture; another frame or another seed gives another one."""
    first, again = (make_part(category, 7, 3, defect="dent", size=96) for _ in range(2))
    for name in ("color", "depth", "truth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.color, make_part(category, 7, 4, defect="dent", size=96).color)
    assert not np.array_equal(first.color, make_part(category, 8, 3, defect="dent", size=96).color)


@pytest.mark.parametrize("category", CATEGORIES)
def test_good_parts_look_like_parts_on_a_table(category: str) -> None:
    """A good part has an empty mask, 97 to 99.9 % valid depth at 0.42 to 0.48 m, and a colour that is neither end."""
    for frame in range(6):
        part = make_part(category, 0, frame)
        valid = part.depth > 0
        metres = part.depth[valid] * DEPTH_SCALE
        assert part.label == "good" and part.severity == 0 and not part.truth.any()
        assert part.color.dtype == np.uint8 and part.depth.dtype == np.uint16 and part.truth.dtype == np.bool_
        assert 0.97 < valid.mean() < 0.9995
        assert 0.42 < metres.min() and metres.max() < 0.48
        assert 20 < part.color.mean() < 200 and (part.color == 255).mean() < 0.05


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_every_defect_has_a_small_exact_mask(category: str, kind: str) -> None:
    """Each defect on each part has a mask that is neither empty nor above 5 % of the picture."""
    for frame in range(4):
        part = make_part(category, 1, frame, defect=kind)
        assert part.label == kind and 0 <= part.severity <= 1
        assert 4 <= part.truth.sum() < 0.05 * part.truth.size


@pytest.mark.parametrize("kind", ["dent", "bump"])
def test_geometric_defects_move_the_depth_inside_their_mask(kind: str) -> None:
    """Inside the mask of a dent the depth grows, of a bump it shrinks, against the same surface without the defect."""
    from rasant.synthesis import part as module
    from rasant.synthesis.defects import add_defect

    for frame in range(8):
        rng = np.random.Generator(np.random.Philox(frame))
        surface, _ = module._lay_out(CATEGORIES["plate"], rng, 128)
        before, color = surface.height.copy(), surface.albedo.copy()
        mask = add_defect(surface, kind, 0.8, rng)
        change = surface.height - before
        assert (change[mask] < -0.05).all() if kind == "dent" else (change[mask] > 0.05).all()
        assert np.abs(change[~mask]).max() <= 0.1001
        np.testing.assert_array_equal(surface.albedo, color)


def test_stain_leaves_the_geometry_alone() -> None:
    """A stain changes colour inside its mask and no height anywhere."""
    from rasant.synthesis import part as module
    from rasant.synthesis.defects import add_defect

    rng = np.random.Generator(np.random.Philox(5))
    surface, _ = module._lay_out(CATEGORIES["flange"], rng, 128)
    height, color = surface.height.copy(), surface.albedo.copy()
    mask = add_defect(surface, "stain", 0.9, rng)
    np.testing.assert_array_equal(surface.height, height)
    changed = np.abs(surface.albedo - color).max(axis=0) > 0
    assert changed[mask].all() and not changed[~surface.body].any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"category": "wheel"}, "known are plate"),
        ({"defect": "hole"}, "known are dent"),
        ({"size": 10}, "64 to 1024"),
        ({"seed": -1}, "negative"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], words: str) -> None:
    """An unknown part or defect, a size out of range and a negative seed raise ConfigError that says what is known."""
    call = {"category": "plate", "seed": 0, "frame": 0} | arguments
    with pytest.raises(ConfigError, match=words):
        make_part(call.pop("category"), call.pop("seed"), call.pop("frame"), **call)  # type: ignore[arg-type]


def test_written_data_set_reads_back_exactly(tmp_path: Path) -> None:
    """`rasant synth` writes what `dataset:` reads: counts, labels, masks and depth; a used folder is refused."""
    counts = {"train": 2, "validation": 1, "test_good": 2, "test_defect": 7}
    root = write_dataset(tmp_path, "bracket", seed=9, size=64, **counts)
    with open_source(f"dataset:{tmp_path}?split=all") as source:
        frames = list(source)
    assert len(frames) == 12
    records = json.loads((root / "meta.json").read_text())
    assert {f"bracket/{r['id']}": r["gt_px"] for r in records} == {f.name: int(f.sample.truth.sum()) for f in frames}
    assert {f.sample.label for f in frames if f.sample.split == "test"} == {"good", *DEFECTS}
    first = make_part("bracket", 9, 0, size=64)
    np.testing.assert_array_equal(frames[0].depth, first.depth)
    np.testing.assert_array_equal(frames[0].color, first.color)
    with pytest.raises(ConfigError, match="not empty"):
        write_dataset(tmp_path, "bracket", seed=9, size=64, **counts)
