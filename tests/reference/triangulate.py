# SPDX-License-Identifier: Apache-2.0
"""Triangulation in numpy float64: the inverse depth by a search along each ray, with `reference.align`'s lenses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reference.align import D455, project

Image = npt.NDArray[Any]


def seen_at(rays: Image, depth: Image, pose: Image, projector: dict[str, Any]) -> tuple[Image, Image]:
    """Projector pixels (u, v) of the points at `depth` along the camera's rays; NaN behind the projector."""
    ray = np.concatenate([rays.astype(np.float64), np.ones((1, *depth.shape))])
    q = np.einsum("ij,jhw->ihw", pose[:, :3], ray) * depth + pose[:, 3, None, None]
    ahead = np.where(q[2] > 0, q[2], np.nan)
    return project(projector, q[0] / ahead, q[1] / ahead)


def triangulate(
    column: Image, row: Image, rays: Image, pose: Image, projector: dict[str, Any], near: float, far: float
) -> Image:
    """Depth float64 between near and far where the seen pixel comes nearest to the measured one."""
    low, high = (np.full(rays.shape[1:], 1 / end) for end in (far, near))

    def miss(inverse: Image) -> Image:
        u, v = seen_at(rays, 1 / inverse, pose, projector)
        error = ((column - u) / projector["fx"]) ** 2 + ((row - v) / projector["fy"]) ** 2
        return np.where(np.isnan(error), np.inf, error)

    golden = (np.sqrt(5) - 1) / 2
    for _ in range(70):
        a, b = high - golden * (high - low), low + golden * (high - low)
        left = miss(a) < miss(b)
        low, high = np.where(left, low, a), np.where(left, b, high)
    return 2 / (low + high)


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry of the operation."""
    lens = (1.0, 40.0, 40.0, 20.0, 15.0, *D455, *([0.0] * 7), *np.eye(3).ravel().tolist(), np.inf)
    pose = tuple(np.hstack([np.eye(3), [[-0.1], [0.0], [0.0]]]).ravel().tolist())
    v, u = np.mgrid[:13, :21].astype(np.float32)
    rays, depth = np.stack([(u - 10) / 20, (v - 6) / 20]), np.full((13, 21), 0.5)
    projector = {"fx": 40.0, "fy": 40.0, "cx": 20.0, "cy": 15.0, "model": "brown_conrady", "k": D455}
    column, row = seen_at(rays, depth, np.reshape(pose, (3, 4)), projector)
    out = np.empty((13, 21), np.float32)
    measured = column.astype(np.float32), row.astype(np.float32)
    return {"triangulate": (*measured, rays, lens, pose, 2.0, (0.0, 2.0), out, np.empty_like(out), 1)}
