# SPDX-License-Identifier: Apache-2.0
"""Alignment in numpy float64, written from the formulas: every pixel's footprint, one target pixel at a time.

Rounding decides which pixel a border belongs to. `aligned_depth` therefore also says which pixels are sure: those that
no border and no limit between ranks comes nearer than `NEAR`, and whose first is clearly before the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
NEAR = 2e-4  # pixels
D455 = (-0.0567, 0.0668, 0.0003, 0.0006, -0.0213)  # a D455's colour camera


def distort(model: str, k: tuple[float, ...], x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Normalised image coordinates of the rays (x, y, 1)."""
    r2 = x * x + y * y
    r = np.sqrt(r2)
    if model == "none":
        return x, y
    if model in ("kannala_brandt4", "ftheta"):
        t = np.arctan(r)
        if model == "ftheta":
            d = np.arctan(2 * r * np.tan(k[0] / 2)) / k[0]
        else:
            d = t + k[0] * t**3 + k[1] * t**5 + k[2] * t**7 + k[3] * t**9
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(r > 0, d / r, 1.0)
        return x * scale, y * scale
    k1, k2, p1, p2, k3 = (*k, 0.0)[:5] if len(k) == 4 else k[:5]
    gain = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    if model == "rational":
        gain = gain / (1 + k[5] * r2 + k[6] * r2**2 + k[7] * r2**3)
    a, b = (x * gain, y * gain) if model in ("modified_brown_conrady", "inverse_brown_conrady") else (x, y)
    u = x * gain + 2 * p1 * a * b + p2 * (r2 + 2 * a * a)
    v = y * gain + 2 * p2 * a * b + p1 * (r2 + 2 * b * b)
    if model == "rational" and len(k) >= 12:
        u, v = u + k[8] * r2 + k[9] * r2**2, v + k[10] * r2 + k[11] * r2**2
    if model == "rational" and len(k) == 14:
        cos_x, sin_x, cos_y, sin_y = np.cos(k[12]), np.sin(k[12]), np.cos(k[13]), np.sin(k[13])
        turn = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]]) @ np.array(
            [[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]]
        )
        tilt = np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]]) @ turn
        u, v, w = np.einsum("ij,j...->i...", tilt, np.stack([u, v, np.ones_like(u)]))
        u, v = u / w, v / w
    return u, v


def growth_limit(model: str, k: tuple[float, ...]) -> float:
    """Largest tangent of the angle to the axis that is seen: from there on the radial part no longer grows."""
    if model in ("none", "ftheta"):
        return float("inf")
    fisheye = model == "kannala_brandt4"
    r = np.tan(np.arange(1024) * (np.pi / 2048)) if fisheye else np.arange(4097) / 256
    plain = (*k[:2], 0.0, 0.0, *k[4:5], *((0.0,) if len(k) == 4 else ()))
    radial = k if fisheye else (*plain, *k[5:8])
    d = distort(model if fisheye or len(k) < 8 else "rational", radial, r, np.zeros_like(r))[0]
    stops = np.flatnonzero(~(np.diff(d) > 0))
    return float(r[stops[0]]) if len(stops) else float("inf")


def project(camera: dict, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Pixels of rays (x, y, 1); NaN beyond the limit."""
    u, v = distort(camera["model"], camera["k"], x, y)
    seen = x * x + y * y <= growth_limit(camera["model"], camera["k"]) ** 2
    return np.where(seen, camera["fx"] * u + camera["cx"], np.nan), camera["fy"] * v + camera["cy"]


def seen_points(depth: Floats, rays: Floats, pose: Floats, camera: dict) -> tuple[Floats, Floats, Floats, Floats]:
    """(px, py, z, scale) of each depth pixel in the colour image; px is NaN where it is not seen."""
    ray = np.concatenate([rays.astype(np.float64), np.ones((1, *depth.shape))])
    turned = np.einsum("ij,jhw->ihw", pose[:, :3], ray)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        q = depth.astype(np.float64) * turned + pose[:, 3, None, None]
        px, py = project(camera, q[0] / q[2], q[1] / q[2])
        valid = (depth > 0) & np.isfinite(depth) & (q[2] >= 2.0**-32) & (q[2] < 2.0**31)
        return np.where(valid, px, np.nan), py, q[2], depth * turned[2] / q[2]


def footprints(rays: Floats, pose: Floats, camera: dict) -> tuple[Floats, Floats]:
    """(half width, half height) of each depth pixel at infinity: of a bounding box, the largest of 16 in a row."""
    height, width = rays.shape[1:]
    px, py, _, _ = seen_points(np.ones((height, width)), rays, np.hstack([pose[:, :3], np.zeros((3, 1))]), camera)
    halves = []
    for p in (px, np.where(np.isnan(px), np.nan, py)):
        slopes = [np.gradient(p, axis=axis) if p.shape[axis] > 1 else np.full(p.shape, np.nan) for axis in (0, 1)]
        half = 0.5 * (np.abs(slopes[0]) + np.abs(slopes[1]))
        padded = np.pad(half, ((0, 0), (0, -width % 16)), constant_values=np.nan)
        block = np.nanmax(np.where(np.isnan(padded), -1.0, padded).reshape(height, -1, 16), axis=2)
        largest = block.max()
        block = np.where(block > 0, block, largest if largest > 0 else 0.5)
        halves.append(np.repeat(block, 16, axis=1)[:, :width])
    return halves[0], halves[1]


def aligned_depth(
    depth: Floats, rays: Floats, pose: Floats, camera: dict, size: tuple[int, int], margin: float
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(depth of the colour camera, which of its pixels are sure)."""
    px, py, z, scale = seen_points(depth, rays, pose, camera)
    half_x, half_y = (np.clip(half * scale + margin, 0.5, 16.0) for half in footprints(rays, pose, camera))
    height, width = size
    best = np.full(size, np.inf)
    keys = np.full((2, *size), 2**40)  # the lowest and the one above it
    sure = np.ones(size, bool)
    for i in np.flatnonzero(np.isfinite(px) & np.isfinite(py)):
        x, y, a, b = px.flat[i], py.flat[i], half_x.flat[i], half_y.flat[i]
        rows = np.arange(max(int(y - b) - 1, 0), min(int(y + b) + 3, height))
        columns = np.arange(max(int(x - a) - 1, 0), min(int(x + a) + 3, width))
        if len(rows) == 0 or len(columns) == 0:
            continue
        dx, dy = columns - x, rows - y
        ink = ((dx >= -a) & (dx < a))[None, :] & ((dy >= -b) & (dy < b))[:, None]
        rank_x, rank_y = (np.minimum(np.floor(np.abs(d) / h * 7), 6) for d, h in ((dx, a), (dy, b)))
        doubt = _near(dx, a)[None, :] | _near(dy, b)[:, None]
        part = np.ix_(rows, columns)
        sure[part] &= ~(doubt & ((np.abs(dx) < a + 1)[None, :] & (np.abs(dy) < b + 1)[:, None]))
        rank = np.maximum(rank_x[None, :], rank_y[:, None]).astype(np.int64)
        key = np.where(ink, int(np.float32(z.flat[i]).view(np.uint32)) + 2**14 * rank, 2**40)
        first, second = keys[0][part], keys[1][part]
        best[part] = np.where(key < first, z.flat[i], best[part])
        keys[0][part], keys[1][part] = np.minimum(first, key), np.minimum(second, np.maximum(first, key))
    sure &= (keys[1] - keys[0] > 32) | (keys[0] == 2**40)
    return np.where(np.isfinite(best), best, 0.0), sure


def _near(distance: Floats, half: float) -> npt.NDArray[np.bool_]:
    """Whether a target pixel lies so near to a border of the footprint or to a limit between ranks."""
    rank = np.abs(distance) / half * 7
    return np.abs(rank - np.round(rank)) * half / 7 < NEAR


def bilinear(color: npt.NDArray[np.uint8], px: Floats, py: Floats) -> Floats:
    """Colours between pixels, the border repeated, in 1/32 pixels."""
    height, width = color.shape[:2]
    x = np.floor(np.clip(px, 0, width - 1) * 32 + 0.5) / 32
    y = np.floor(np.clip(py, 0, height - 1) * 32 + 0.5) / 32
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    c = color.astype(np.float64)
    top = c[y0, x0] * (1 - fx) + c[y0, x1] * fx
    return top * (1 - fy) + (c[y1, x0] * (1 - fx) + c[y1, x1] * fx) * fy


def examples() -> dict[str, tuple[Any, ...]]:
    """A valid call of each native entry of the operation."""
    lens = (1.0, 20.0, 20.0, 10.0, 7.0, *D455, *([0.0] * 7), *np.eye(3).ravel().tolist(), np.inf)
    pose = tuple(np.eye(3, 4).ravel().tolist())
    v, u = np.mgrid[:13, :21].astype(np.float32)
    depth, rays = np.full((13, 21), 0.5, np.float32), np.stack([(u - 10) / 20, (v - 6) / 20])
    foot, seen = np.full((2, 13, 2), 0.5, np.float32), np.full((15, 19), 0.5, np.float32)
    color, taken, valid = np.ones((15, 19, 3), np.uint8), np.empty((13, 21, 3), np.uint8), np.empty((13, 21), np.bool_)
    return {
        "lens_numbers": ("brown_conrady", (20.0, 20.0, 10.0, 7.0), D455),
        "lens_rays": (lens, np.empty((2, 13, 21), np.float32), 1),
        "align_footprint": (lens, pose, rays, foot),
        "align_depth": (depth, rays, foot, lens, pose, 0.25, np.empty((15, 19), np.float32), 1),
        "align_color": (color, depth, seen, rays, lens, pose, 0.02, True, taken, valid, 1),
    }
