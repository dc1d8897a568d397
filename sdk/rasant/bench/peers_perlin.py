# SPDX-License-Identifier: Apache-2.0
"""Perlin noise in numpy, three times: as papers' programs have it, rewritten with care, and as one matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.ops.perlin import perlin_field, perlin_mask

__all__ = ["LATTICES", "OPERATIONS", "matmul_perlin", "naive_perlin", "numpy_perlin"]

LATTICES = (1, 2, 4, 8, 16, 32, 64)
ROOT2 = np.float32(2**0.5)

Field = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]


def naive_perlin(size: Size, cells: int, random: np.random.Generator) -> Floats:
    """(h, w) float64 as in DRAEM's program: gradients repeated for every pixel, four dot products, two blends."""
    (h, w), step = size, (size[0] // cells, size[1] // cells)
    grid = np.stack(np.meshgrid(np.arange(h) * cells / h, np.arange(w) * cells / w, indexing="ij"), axis=-1) % 1
    angle = 2 * np.pi * random.random((cells + 1, cells + 1))
    gradients = np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def corner(down: int, across: int) -> Floats:
        part = gradients[down : cells + down, across : cells + across]
        wide = part.repeat(step[0], axis=0).repeat(step[1], axis=1)
        offset = np.stack([grid[..., 0] - down, grid[..., 1] - across], axis=-1)
        dots: Floats = (offset * wide).sum(axis=-1)
        return dots

    fade = 6 * grid**5 - 15 * grid**4 + 10 * grid**3
    above, below = corner(0, 0), corner(1, 0)
    left = above + fade[..., 0] * (below - above)
    above, below = corner(0, 1), corner(1, 1)
    right = above + fade[..., 0] * (below - above)
    field: Floats = np.sqrt(2) * (left + fade[..., 1] * (right - left))
    return field


def _lattice(size: Size, cells: int, random: np.random.Generator) -> tuple[Field, Field, Field, Field, Field, Field]:
    """Gradients times sqrt(2) (down, across), and offset and fade within a cell along rows and columns."""
    angle = random.random((cells + 1, cells + 1), dtype=np.float32) * np.float32(2 * np.pi)
    u, v = (np.arange(side // cells, dtype=np.float32) / np.float32(side // cells) for side in size)
    fade_u, fade_v = (t * t * t * (t * (t * 6 - 15) + 10) for t in (u, v))
    return np.cos(angle) * ROOT2, np.sin(angle) * ROOT2, u, fade_u, v, fade_v


def numpy_perlin(size: Size, cells: int, random: np.random.Generator) -> Field:
    """(h, w) float32 by broadcasting over (cell row, row, cell column, column): nothing is repeated for every pixel."""
    down, across, u, fade_u, v, fade_v = _lattice(size, cells, random)
    u, fade_u = u[:, None, None], fade_u[:, None, None]

    def corner(i: int, j: int) -> Field:
        nodes = np.s_[i : cells + i, None, j : cells + j, None]
        dots: Field = down[nodes] * (u - i) + across[nodes] * (v - j)
        return dots

    left, right = corner(0, 0), corner(0, 1)
    left += fade_u * (corner(1, 0) - left)
    right += fade_u * (corner(1, 1) - right)
    right -= left
    right *= fade_v
    left += right
    return left.reshape(size)


def matmul_perlin(size: Size, cells: int, random: np.random.Generator, out: Field) -> Field:
    """(h, w) float32 into `out`: along a row of a cell, noise = k0 + k1 v + k2 w + k3 v w, w the fade of v."""
    down, across, u, fade_u, v, fade_v = _lattice(size, cells, random)
    u, fade = u[None, :, None], fade_u[None, :, None]
    start = down[:-1, None] * (u - u * fade) + down[1:, None] * ((u - 1) * fade)  # (cells, rows, cells + 1): at v = 0
    slope = across[:-1, None] + (across[1:] - across[:-1])[:, None] * fade  # along v
    coefficients = np.empty((*start.shape[:2], cells, 4), np.float32)
    coefficients[..., 0] = start[..., :-1]
    coefficients[..., 1] = slope[..., :-1]
    np.subtract(start[..., 1:] - slope[..., 1:], start[..., :-1], out=coefficients[..., 2])
    np.subtract(slope[..., 1:], slope[..., :-1], out=coefficients[..., 3])
    basis = np.stack([np.ones_like(v), v, fade_v, v * fade_v])
    np.matmul(coefficients.reshape(-1, 4), basis, out=out.reshape(-1, len(v)))
    return out


def _field(size: Size, _: int) -> Case:
    """The mean over square lattices that divide the image; ours and peers draw their own gradients."""
    random = np.random.default_rng(0)
    lattices = [cells for cells in LATTICES if size[0] % cells == size[1] % cells == 0]
    out, other = np.empty((1, *size), np.float32), np.empty(size, np.float32)

    def ours() -> None:
        for cells in lattices:
            perlin_field(size, (cells, cells), seed=1, out=out)

    peers = (
        Peer("naive: DRAEM's construction in numpy", lambda: [naive_perlin(size, n, random) for n in lattices], 400.0),
        Peer("numpy float32, broadcast over cells", lambda: [numpy_perlin(size, n, random) for n in lattices], 10.0),
        Peer("numpy float32, one matmul", lambda: [matmul_perlin(size, n, random, other) for n in lattices], 10.0),
    )
    target_ms = 0.045 if size == (256, 256) else None
    return Case(ours, peers, out.nbytes, target_ms, count=len(lattices))


def _batch(size: Size, threads: int) -> Case:
    """32 fields at once, shared out among threads."""
    random = np.random.default_rng(0)
    out, other = np.empty((32, *size), np.float32), np.empty((32, *size), np.float32)
    peer = Peer("numpy float32, one matmul", lambda: [matmul_perlin(size, 8, random, field) for field in other])
    ours = partial(perlin_field, size, (8, 8), seed=1, out=out, threads=threads)
    return Case(ours, (peer,), out.nbytes // len(out), count=len(out))


def _mask(size: Size, _: int) -> Case:
    field = perlin_field(size, (4, 4), seed=1)
    mask, above, below = (np.empty(field.shape, np.int8) for _ in range(3))

    def peer() -> None:
        np.greater(field, 0.5, out=above.view(np.bool_))
        np.less(field, -0.5, out=below.view(np.bool_))
        np.subtract(above, below, out=mask)

    return Case(
        lambda: perlin_mask(field, 0.5, mode="ternary", out=mask),
        (
            Peer("naive: numpy where", lambda: np.where(field > 0.5, 1, np.where(field < -0.5, -1, 0)).astype(np.int8)),
            Peer("numpy compare, compare, subtract", peer),
        ),
        field.nbytes + mask.nbytes,
    )


OPERATIONS = (
    Operation("perlin", _field, note="lattices 1 to 64", threaded=False),
    Operation("perlin batch", _batch, sizes=((256, 256), (512, 512)), note="32 fields, lattice 8"),
    Operation("perlin mask", _mask, note="ternary", threaded=False),
)
