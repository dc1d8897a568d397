# SPDX-License-Identifier: Apache-2.0
"""Swin transformer blocks (Liu et al., ICCV 2021) and the resampling steps of Swin-UNet (Cao et al., ECCVW 2022).

Tokens keep their place in the image, (N, H, W, C), so that every step says what it does to rows and columns. What
depends on a grid's size alone, the masks of shifted windows and the indices of relative positions, is a constant of the
network and of its export: a stage is built for the grids that it will meet.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rasant.errors import ShapeError

__all__ = ["Expand", "Grid", "Merge", "SwinStage", "initialise_swin", "relative_index", "shift_mask", "shifts"]

Grid = tuple[int, int]  # (rows, cols) of tokens
APART = -100.0  # added to the attention between tokens that only the cyclic shift has made neighbours


def window_of(grid: Grid, window: int) -> Grid:
    """The window on a grid: as published, never larger than the grid itself."""
    return min(window, grid[0]), min(window, grid[1])


def shifts(grid: Grid, window: int) -> Grid:
    """How far odd blocks shift their windows: by half, and not at all along a side that one window covers."""
    return tuple(0 if side <= window else window // 2 for side in grid)  # type: ignore[return-value]


def partition(x: Tensor, size: Grid) -> Tensor:
    """(N, H, W, C) -> (N * windows, rows * cols of a window, C), windows in reading order."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // size[0], size[0], w // size[1], size[1], c)
    return x.transpose(2, 3).reshape(-1, size[0] * size[1], c)


def assemble(x: Tensor, size: Grid, grid: Grid) -> Tensor:
    """Undo `partition`: (N * windows, tokens, C) -> (N, H, W, C)."""
    rows, cols = grid[0] // size[0], grid[1] // size[1]
    x = x.reshape(-1, rows, cols, size[0], size[1], x.shape[-1])
    return x.transpose(2, 3).reshape(-1, *grid, x.shape[-1])


def relative_index(grid: Grid, window: int) -> Tensor:
    """(tokens, tokens) int64: which row of the bias table, ((2 window - 1)^2, heads), each pair of tokens uses."""
    rows, cols = window_of(grid, window)
    y, x = (place.flatten() for place in torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij"))
    dy, dx = y[:, None] - y + window - 1, x[:, None] - x + window - 1
    return dy * (2 * window - 1) + dx


def shift_mask(grid: Grid, window: int) -> Tensor:
    """(windows, tokens, tokens): 0 between tokens that are neighbours in the image, APART between the others."""
    size, moved = window_of(grid, window), shifts(grid, window)
    regions = torch.zeros(1, *grid, 1)
    for axis, (side, length, shift) in enumerate(zip(grid, size, moved, strict=True)):
        place = torch.arange(side)
        region = (place >= side - length).float() + (place >= side - shift).float() if shift else torch.zeros(side)
        regions += region.reshape((1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1)) * 3**axis
    label = partition(regions, size)[..., 0]
    return (label[:, :, None] != label[:, None, :]).float() * APART


class WindowAttention(nn.Module):
    """Multi-head self-attention inside each window, with a learnt bias for each relative position."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:
        """x (N * windows, tokens, C), index (tokens, tokens), mask (windows, tokens, tokens) or None -> as x."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        affinity = (q * self.scale) @ k.transpose(-2, -1) + self.bias[index].permute(2, 0, 1)
        if mask is not None:
            affinity = (affinity.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        x = affinity.softmax(dim=-1) @ v
        return self.out(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SwinBlock(nn.Module):
    """Attention in windows and a perceptron, each behind a normalisation and beside a shortcut."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, size: Grid, shift: Grid, index: Tensor, mask: Tensor | None) -> Tensor:
        """x (N, H, W, C) and what `SwinStage` knows of this grid -> as x."""
        grid = (x.shape[1], x.shape[2])
        moved = self.norm1(x)
        if any(shift):
            moved = moved.roll((-shift[0], -shift[1]), dims=(1, 2))
        moved = assemble(self.attention(partition(moved, size), index, mask), size, grid)
        if any(shift):
            moved = moved.roll(shift, dims=(1, 2))
        x = x + moved
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class SwinStage(nn.Module):
    """Blocks on one resolution; every second one shifts its windows, so that neighbours meet.

    grids: the token grids that it will meet; a side is a multiple of the window, or not larger than it. Another grid
    raises ShapeError.
    """

    def __init__(self, width: int, depth: int, heads: int, window: int, grids: Iterable[Grid]) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(SwinBlock(width, heads, window) for _ in range(depth))
        self.grids = tuple(dict.fromkeys(grids))
        for number, grid in enumerate(self.grids):
            self.register_buffer(f"index{number}", relative_index(grid, window), persistent=False)
            mask = shift_mask(grid, window) if any(shifts(grid, window)) else None
            self.register_buffer(f"mask{number}", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        grid = (x.shape[1], x.shape[2])
        if grid not in self.grids:
            raise ShapeError(f"this stage was built for token grids {list(self.grids)}, got {grid}; name it there too")
        number = self.grids.index(grid)
        index, mask = getattr(self, f"index{number}"), getattr(self, f"mask{number}")
        size, shift = window_of(grid, self.window), shifts(grid, self.window)
        for place, block in enumerate(self.blocks):
            odd = place % 2 == 1
            x = block(x, size, shift if odd else (0, 0), index, mask if odd else None)
        return x


class Merge(nn.Module):
    """Patch merging: four neighbours become one token of twice the width, (N, H, W, C) -> (N, H/2, W/2, 2C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5)  # columns first, as published
        return self.reduce(self.norm(x.reshape(n, h // 2, w // 2, 4 * c)))  # type: ignore[no-any-return]


class Expand(nn.Module):
    """Patch expanding: (N, H, W, C) -> (N, factor H, factor W, outputs), each token becoming factor^2."""

    def __init__(self, width: int, outputs: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.grow = nn.Linear(width, factor * factor * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        n, h, w, _ = x.shape
        x = self.grow(x).reshape(n, h, w, self.factor, self.factor, -1).transpose(2, 3)
        return self.norm(x.reshape(n, h * self.factor, w * self.factor, -1))  # type: ignore[no-any-return]


def initialise_swin(module: nn.Module) -> None:
    """Linear layers and bias tables N(0, 0.02) cut at two, as the Swin release does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.trunc_normal_(module.bias, std=0.02)
