# SPDX-License-Identifier: Apache-2.0
"""The surface below a part in numpy and OpenCV: plane fits, height and foreground, the largest connected part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.background import Plane, fit_plane_ransac, height_above, keep_largest
from rasant.types import Intrinsics

__all__ = [
    "BORDER", "OPERATIONS", "Heights", "border_points", "largest_part", "least_squares", "naive_height", "naive_ransac",
    "ransac", "rays_of",
]  # fmt: skip

BORDER, INLIER_M, THRESHOLD_M = 10, 0.004, 0.005
FloatImage = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]


def rays_of(camera: Intrinsics) -> tuple[FloatImage, FloatImage]:
    """(x, y): the rays of columns and rows, float32 at depth 1."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return x.astype(np.float32), y.astype(np.float32)


def border_points(depth: FloatImage, rays: tuple[FloatImage, FloatImage]) -> FloatImage:
    """(3, n) metres: x, y, z of the valid pixels of the border strips, each once."""
    rows, columns = depth.shape
    parts = []
    for top, bottom, left, right in (
        (0, BORDER, 0, columns), (rows - BORDER, rows, 0, columns), (BORDER, rows - BORDER, 0, BORDER),
        (BORDER, rows - BORDER, columns - BORDER, columns),
    ):  # fmt: skip
        z = depth[top:bottom, left:right]
        parts.append(np.stack([rays[0][left:right] * z, rays[1][top:bottom, None] * z, z]).reshape(3, -1))
    points = np.concatenate(parts, axis=1)
    return points[:, points[2] > 0]


def least_squares(points: FloatImage) -> tuple[Floats, float]:
    """Total least squares of (3, n) points: unit normal with z < 0, and offset in metres."""
    mean = points.mean(axis=1, keepdims=True)
    centred = points - mean
    _, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    normal = vectors[:, 0] * (-1.0 if vectors[2, 0] > 0 else 1.0)
    return normal, -float(normal @ mean[:, 0])


def naive_ransac(points: FloatImage, random: np.random.Generator, hypotheses: int = 1000) -> tuple[Floats, float]:
    """As BTF and M3DM fit it: 1000 planes of 50 points each, the one with most inliers, refitted to those."""
    best, kept = 0, np.ones(points.shape[1], np.bool_)
    for _ in range(hypotheses):
        normal, offset = least_squares(points[:, random.integers(0, points.shape[1], 50)])
        near = np.abs(normal @ points + offset) < INLIER_M
        count = int(np.count_nonzero(near))
        if count > best:
            best, kept = count, near
    return least_squares(points[:, kept])


def ransac(points: FloatImage, random: np.random.Generator, hypotheses: int = 64) -> tuple[Floats, float]:
    """All hypotheses of 3 points at once, counted on 2048 points by one matrix product, and one refit."""
    chosen = points[:, random.integers(0, points.shape[1], (3, hypotheses))]  # (xyz, corner, hypothesis)
    normals = np.cross(chosen[:, 1] - chosen[:, 0], chosen[:, 2] - chosen[:, 0], axis=0)
    normals /= np.linalg.norm(normals, axis=0) + np.float32(1e-30)  # one point drawn twice
    offsets = -(normals * chosen[:, 0]).sum(axis=0)
    subset = points[:, random.integers(0, points.shape[1], 2048)]
    near = np.abs(normals.T @ subset + offsets[:, None]) < INLIER_M
    best = int(np.argmax(near.sum(axis=1)))
    inliers = np.abs(normals[:, best] @ points + offsets[best]) < INLIER_M
    return least_squares(points[:, inliers])


def _plane(size: Size, _: int) -> Case:
    depth, camera = domed_part(size), camera_of(size)
    rays, random = rays_of(camera), np.random.default_rng(0)
    peers = (
        Peer("naive: numpy RANSAC, 1000 planes of 50 points", lambda: naive_ransac(border_points(depth, rays), random)),
        Peer("numpy RANSAC, 64 planes in one matmul", lambda: ransac(border_points(depth, rays), random)),
        Peer("numpy least squares: no outlier allowed", lambda: least_squares(border_points(depth, rays))),
    )
    border = 2 * BORDER * (size[0] + size[1]) * depth.itemsize
    return Case(lambda: fit_plane_ransac(depth, camera), peers, border, 0.3 if size == (800, 800) else None)


def naive_height(depth: FloatImage, plane: Plane, camera: Intrinsics) -> tuple[Floats, Floats]:
    """(height, foreground) from a point cloud, as programs that begin with one do."""
    v, u = np.mgrid[: camera.height, : camera.width]
    cloud = np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], axis=-1)
    distance = cloud @ np.array(plane.normal) + plane.offset
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(depth.shape)], axis=-1)
    height = np.where(depth > 0, distance / -(rays @ np.array(plane.normal)), 0.0)
    return height, (np.abs(distance) > THRESHOLD_M) & (depth > 0)


@dataclass(slots=True)
class Heights:
    """Height and foreground without a cloud: a row plus a column give the slope. Keeps its buffers."""

    rays: tuple[FloatImage, FloatImage]
    slope: FloatImage
    height: FloatImage
    inside: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.uint8]
    foreground: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, camera: Intrinsics) -> Heights:
        """Buffers for one camera."""
        size = (camera.height, camera.width)
        images, masks = np.empty((2, *size), np.float32), np.empty((2, *size), np.uint8)
        return cls(rays_of(camera), images[0], images[1], masks[0], masks[1], np.empty(size, np.bool_))

    def __call__(self, depth: FloatImage, normal: Floats, offset: float) -> tuple[FloatImage, npt.NDArray[np.bool_]]:
        """(height, foreground), valid until the next call."""
        a, b, c = (np.float32(n) for n in normal)
        np.add(self.rays[0] * -a, (self.rays[1] * -b - c)[:, None], out=self.slope)
        np.multiply(depth, self.slope, out=self.height)
        np.subtract(np.float32(offset), self.height, out=self.height)
        cv2.inRange(self.height, -THRESHOLD_M, THRESHOLD_M, dst=self.inside)  # 255 there
        np.greater(depth, 0.0, out=self.valid.view(np.bool_))
        np.greater(self.valid, self.inside, out=self.foreground)
        np.divide(self.height, self.slope, out=self.height)
        np.multiply(self.height, self.valid, out=self.height)
        return self.height, self.foreground


def _height(size: Size, threads: int) -> Case:
    depth, camera = domed_part(size), camera_of(size)
    plane, heights = fit_plane_ransac(depth, camera), Heights.of(camera)
    height, foreground = np.empty(size, np.float32), np.empty(size, np.bool_)
    normal = np.array(plane.normal)

    def ours() -> None:
        height_above(
            depth, plane, camera, threshold_m=THRESHOLD_M, out_height=height, out_foreground=foreground,
            threads=threads,
        )  # fmt: skip

    peers = (
        Peer("naive: numpy point cloud", lambda: naive_height(depth, plane, camera)),
        Peer("numpy in place, cv2.inRange", lambda: heights(depth, normal, plane.offset)),
    )
    return Case(ours, peers, 2 * depth.nbytes + foreground.nbytes)


def largest_part(mask: npt.NDArray[np.bool_]) -> Floats:
    """The largest 8-connected part; depth steps do not cut it, as OpenCV has no such rule."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    kept: Floats = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return kept


def _largest(size: Size, _: int) -> Case:
    depth, camera = domed_part(size), camera_of(size)
    mask = height_above(depth, fit_plane_ransac(depth, camera), camera, threshold_m=THRESHOLD_M)[1]
    out = np.empty_like(mask)
    peer = Peer("cv2.connectedComponentsWithStats, blind to depth", lambda: largest_part(mask))
    return Case(lambda: keep_largest(mask, depth, out=out), (peer,), depth.nbytes + 2 * mask.nbytes)


OPERATIONS = (
    Operation("plane fit", _plane, note="border of 10", threaded=False),
    Operation("height", _height),
    Operation("largest part", _largest, threaded=False),
)
