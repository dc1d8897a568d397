# SPDX-License-Identifier: Apache-2.0
"""Depth preprocessing as a good numpy and OpenCV assembly: fill, plane, foreground, normalise, resize."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case
from rasant.ops.background import close_mask, fit_plane_ransac, height_above
from rasant.ops.fill import fill_holes
from rasant.ops.normalize import normalize_depth
from rasant.ops.pack import pack
from rasant.types import Intrinsics

__all__ = ["border_plane", "cases", "domed_part", "neighbour_mean", "peer_chain"]

SIDE = 800
CAMERA = Intrinsics(SIDE, SIDE, 900.0, 900.0, (SIDE - 1) / 2, (SIDE - 1) / 2)
ONES = np.ones((3, 3), np.uint8)
FloatImage = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]


def domed_part(seed: int = 0) -> FloatImage:
    """(800, 800) float32 metres: a plane at 0.5 m, a dome of 3 cm, 3 % holes, 0.15 mm noise."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[:SIDE, :SIDE] - SIDE / 2) / (SIDE / 3)
    depth = 0.5 + 0.01 * x - 0.03 * np.sqrt(np.maximum(1 - x * x - y * y, 0)) + random.normal(0, 1.5e-4, x.shape)
    holes = cv2.GaussianBlur(random.random(depth.shape), (0, 0), 2.0)
    depth[holes > np.quantile(holes, 0.97)] = 0.0
    metres: FloatImage = depth.astype(np.float32)
    return metres


def cases(threads: int) -> list[Case]:
    """The chain, and its first two stages alone."""
    depth = domed_part()
    rays = (np.arange(SIDE, dtype=np.float32) - np.float32(CAMERA.cx)) / np.float32(CAMERA.fx)
    return [_chain(depth, rays, threads), _fill(depth, threads), _plane(depth, rays)]


def neighbour_mean(depth: FloatImage, passes: int) -> FloatImage:
    """Fills zeros with the mean of the valid 3x3 neighbours, by box filters of value and validity."""
    for _ in range(passes):
        valid = (depth > 0).astype(np.float32)
        total = cv2.boxFilter(depth, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        count = cv2.boxFilter(valid, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        depth = np.where(valid > 0, depth, total / np.maximum(count, 1e-12)).astype(np.float32)
    return depth


def border_plane(depth: FloatImage, rays: FloatImage) -> tuple[Floats, float]:
    """Least squares on the border strips of 10 pixels: z = a x + b y + c; returns the unit normal and offset."""
    strip = np.zeros(depth.shape, np.bool_)
    strip[:10], strip[-10:], strip[:, :10], strip[:, -10:] = True, True, True, True
    y, x = np.nonzero(strip & (depth > 0))
    z = depth[y, x]
    points = np.stack([rays[x] * z, rays[y] * z, np.ones_like(z)], axis=1)
    (a, b, c), *_ = np.linalg.lstsq(points, z, rcond=None)
    length = float(np.sqrt(a * a + b * b + 1))
    return np.array([a, b, -1]) / length, c / length


def peer_chain(depth: FloatImage, rays: FloatImage) -> FloatImage:
    """(256, 256): height above the border's plane, 0 to 5 cm as 0.1 to 0.9, 0 outside the part."""
    filled = neighbour_mean(depth, 3)
    normal, offset = border_plane(filled, rays)
    slope = (normal[0] * rays)[None, :] + (normal[1] * rays + normal[2])[:, None]
    height = filled * slope.astype(np.float32) + np.float32(offset)
    mask = ((np.abs(height) > 0.005) & (filled > 0)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, ONES, iterations=3)
    normalised = np.where(mask > 0, height * np.float32(0.8 / 0.05) + np.float32(0.1), np.float32(0))
    packed: Floats = cv2.resize(normalised, (256, 256), interpolation=cv2.INTER_AREA)
    return packed


def _chain(depth: FloatImage, rays: FloatImage, threads: int) -> Case:
    filled, height, normal = (np.empty_like(depth) for _ in range(3))
    mask, closed = np.empty(depth.shape, np.bool_), np.empty(depth.shape, np.bool_)
    out = np.empty((1, 1, 256, 256), np.float32)

    def ours() -> None:
        fill_holes(depth, passes=3, out=filled, threads=threads)
        plane = fit_plane_ransac(filled, CAMERA)
        height_above(filled, plane, CAMERA, threshold_m=0.005, out_height=height, out_foreground=mask, threads=threads)
        close_mask(mask, iterations=3, out=closed)
        normalize_depth(height, closed, rule="height_range", low=0.0, high=0.05, out=normal, threads=threads)
        pack(None, normal, size=(256, 256), out_depth=out, threads=threads)

    return Case(
        "depth chain", "800x800 to 256x256", ours, "cv2.boxFilter, lstsq, morphologyEx, resize",
        lambda: peer_chain(depth, rays), depth.nbytes + out.nbytes, target=5.0, target_ms=4.0,
        threads=threads,
    )  # fmt: skip


def _fill(depth: FloatImage, threads: int) -> Case:
    out = np.empty_like(depth)
    return Case(
        "fill", "800x800, 3 passes", lambda: fill_holes(depth, passes=3, out=out, threads=threads),
        "cv2.boxFilter of value and validity", lambda: neighbour_mean(depth, 3), 2 * depth.nbytes, threads=threads,
    )  # fmt: skip


def _plane(depth: FloatImage, rays: FloatImage) -> Case:
    border = 4 * 10 * SIDE * depth.itemsize
    return Case(
        "plane fit", "border of 800x800", lambda: fit_plane_ransac(depth, CAMERA), "numpy lstsq, no outliers allowed",
        lambda: border_plane(depth, rays), border,
    )  # fmt: skip
