# SPDX-License-Identifier: Apache-2.0
"""Perlin noise as a good numpy programmer writes it: four coefficients a row and cell, one matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case
from rasant.ops.perlin import perlin_field

__all__ = ["LATTICES", "cases", "numpy_perlin"]

LATTICES = (1, 2, 4, 8, 16, 32, 64)


def numpy_perlin(size: int, cells: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """(size, size) float32 of cells x cells; within a cell noise = k0 + k1 v + k2 w + k3 v w, w the fade of v."""
    angle = (2 * np.pi * random.random((cells + 1, cells + 1))).astype(np.float32)
    down, across = np.cos(angle), np.sin(angle)
    step = size // cells
    t = (np.arange(step, dtype=np.float32) / np.float32(step)).astype(np.float32)
    fade = t**3 * (t * (t * 6 - 15) + 10)
    u, fu = t[None, :, None], fade[None, :, None]
    a = down[:-1, None] * (u * (1 - fu)) + down[1:, None] * ((u - 1) * fu)  # (rows, step, cells + 1): at v = 0
    b = across[:-1, None] * (1 - fu) + across[1:, None] * fu  # slope along v
    left, right, slope = a[..., :-1], a[..., 1:] - b[..., 1:], b[..., :-1]
    coefficients = np.stack([left, slope, right - left, b[..., 1:] - slope], axis=-1)
    basis = np.stack([np.ones_like(t), t, fade, t * fade]) * np.float32(2**0.5)
    field: npt.NDArray[Any] = coefficients.reshape(-1, 4) @ basis
    return field.reshape(size, size)


def cases(threads: int) -> list[Case]:
    """One field of 256x256, averaged over lattices from 1 to 64 cells; without rotation."""
    random = np.random.default_rng(0)
    out = np.empty((1, 256, 256), np.float32)

    def ours() -> None:
        for cells in LATTICES:
            perlin_field((256, 256), (cells, cells), seed=1, out=out, threads=threads)

    def peer() -> None:
        for cells in LATTICES:
            numpy_perlin(256, cells, random)

    return [
        Case(
            "perlin", "256x256, lattices 1 to 64", ours, "numpy float32, one matmul", peer, out.nbytes, target=10.0,
            target_ms=0.045, threads=threads, count=len(LATTICES),
        )
    ]  # fmt: skip
