# SPDX-License-Identifier: Apache-2.0
"""Swin blocks against their definition: shifted windows, relative positions, merging and expanding of patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rasant.errors import ShapeError
from rasant_training.nets.swin import (
    APART,
    Expand,
    Merge,
    SwinStage,
    initialise_swin,
    relative_index,
    shift_mask,
)
from reference.swin import window_attention


def twin(image: np.ndarray, a: torch.nn.Module, window: int, shift: tuple[int, ...]) -> np.ndarray:
    """The definition with the weights of an attention."""
    qkv, out = ((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (a.qkv, a.out))
    return window_attention(
        image, qkv, out, a.bias.detach().numpy(), heads=a.heads, window=window, shift=(shift[0], shift[1])
    )


@pytest.mark.parametrize(
    ("grid", "window"), [((8, 8), 4), ((8, 12), 4), ((4, 4), 4), ((2, 3), 4), ((4, 8), 4), ((6, 6), 3)]
)
def test_a_stage_is_attention_in_straight_and_in_shifted_windows(grid: tuple[int, int], window: int) -> None:
    """Both blocks equal the definition on every pair of tokens; a side that one window covers is not shifted."""
    torch.manual_seed(1)
    stage = SwinStage(12, 2, 3, window, [grid]).apply(initialise_swin).double()
    for block in stage.blocks:
        torch.nn.init.normal_(block.attention.bias, std=0.5)
        torch.nn.init.normal_(block.attention.qkv.weight, std=0.5)
    x = torch.randn(2, *grid, 12, dtype=torch.float64)
    got = stage(x)
    for place, block in enumerate(stage.blocks):
        moved = tuple(window // 2 if place and side > window else 0 for side in grid)
        normal = block.norm1(x).detach().numpy()
        x = x + torch.from_numpy(np.stack([twin(image, block.attention, window, moved) for image in normal]))
        x = x + block.mlp(block.norm2(x))
    torch.testing.assert_close(got, x, atol=1e-9, rtol=0)


def test_the_mask_keeps_apart_what_only_the_roll_has_joined() -> None:
    """Of a 4x4 grid with windows of 2, the last window holds the four corners of the image, strangers to each other."""
    mask = shift_mask((4, 4), 2)
    assert mask.shape == (4, 4, 4)
    assert torch.equal(mask[0], torch.zeros(4, 4))
    assert torch.equal(mask[3], APART * (1 - torch.eye(4)))


def test_relative_positions_share_one_table_on_all_grids() -> None:
    """The row of a pair depends on its offset alone, so a grid smaller than the window uses the table's centre."""
    index = relative_index((8, 8), 8)
    assert (int(index.min()), int(index.max()), len(index.unique())) == (0, 224, 225)
    assert torch.equal(index.diagonal(), torch.full((64,), 112))
    small = relative_index((2, 2), 8)
    places = [0, 1, 8, 9]  # of the same tokens in the window of 8
    assert torch.equal(small, index[places][:, places])


def test_a_stage_refuses_a_grid_it_was_not_built_for() -> None:
    """Its masks are constants of the grids that were named; the error lists them."""
    with pytest.raises(ShapeError, match=r"\(8, 8\)"):
        SwinStage(4, 1, 1, 4, [(8, 8)])(torch.zeros(1, 4, 8, 4))


def test_merging_takes_four_neighbours_in_the_published_order() -> None:
    """Top left, bottom left, top right, bottom right, as a checkpoint of the release expects them."""
    merge = Merge(1)
    x = torch.arange(16.0).reshape(1, 4, 4, 1)
    merge.norm, merge.reduce = torch.nn.Identity(), torch.nn.Identity()  # type: ignore[assignment]
    assert merge(x)[0, 0, 0].tolist() == [0, 4, 1, 5]
    assert merge(x)[0, 1, 1].tolist() == [10, 14, 11, 15]


@pytest.mark.parametrize("factor", [2, 4])
def test_expanding_places_what_a_token_grows_into_where_the_token_was(factor: int) -> None:
    """Row by row inside the token's square: the same as a pixel shuffle of each channel."""
    torch.manual_seed(0)
    expand = Expand(6, 3, factor)
    expand.norm = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.randn(2, 3, 5, 6)
    grown = expand.grow(x).unflatten(-1, (factor**2, 3)).transpose(-1, -2).flatten(-2).permute(0, 3, 1, 2)
    expected = torch.nn.functional.pixel_shuffle(grown, factor).permute(0, 2, 3, 1)
    torch.testing.assert_close(expand(x), expected)
