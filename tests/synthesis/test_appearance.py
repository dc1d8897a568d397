# SPDX-License-Identifier: Apache-2.0
"""Textures and strokes: bounded, varied, reproducible."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rasant.errors import ConfigError
from rasant.synthesis.strokes import stroke_mask
from rasant.synthesis.texture import FolderTextures, foreign_texture, tinted


def test_textures_are_images_in_range_and_follow_their_seed() -> None:
    """(3, h, w) float32 in [0, 1]; the same generator state gives the same texture, another one another."""
    fields = np.random.default_rng(1).uniform(-1, 1, (2, 24, 32)).astype(np.float32)
    first, again, other = (foreign_texture(fields, np.random.default_rng(s)) for s in (5, 5, 6))
    assert first.shape == (3, 24, 32)
    assert first.dtype == np.float32
    assert 0 <= first.min() and first.max() <= 1
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_tint_keeps_the_surface_but_changes_it() -> None:
    """A stain is the part's own image under another gain: in range, of the same shape, and different."""
    color = np.random.default_rng(2).random((3, 16, 16), dtype=np.float32)
    stained = tinted(color, np.random.default_rng(3))
    assert stained.shape == color.shape
    assert stained.dtype == np.float32
    assert 0 <= stained.min() and stained.max() <= 1
    assert np.abs(stained - color).mean() > 0.01


def test_a_folder_of_pictures_serves_crops_of_any_size(tmp_path: Path) -> None:
    """A user's pictures are cut to the asked size; a folder without one is refused and named."""
    picture = np.random.default_rng(4).integers(0, 255, (40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    textures = FolderTextures(tmp_path, side=64)
    for size in ((32, 48), (64, 64), (100, 90)):
        crop = textures.crop(size, np.random.default_rng(0))
        assert crop.shape == (3, *size)
        assert 0 <= crop.min() and crop.max() <= 1
    empty = tmp_path / "none"
    empty.mkdir()
    with pytest.raises(ConfigError, match=r"no picture that can be decoded in .*none"):
        FolderTextures(empty)


def test_strokes_are_thin_short_and_pass_through_their_point() -> None:
    """Over many draws: inside the length bound, a few pixels wide, and near the point they were asked to cross."""
    for seed in range(60):
        mask = stroke_mask((96, 96), np.array([40.0, 50.0]), np.random.default_rng(seed), longest=30)
        rows, cols = np.nonzero(mask)
        assert 6 <= mask.sum() <= 34 * 5
        assert np.hypot(rows - 40, cols - 50).max() <= 30
        assert np.hypot(rows - 40, cols - 50).min() <= 4
