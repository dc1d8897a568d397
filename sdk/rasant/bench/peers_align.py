# SPDX-License-Identifier: Apache-2.0
"""Alignment and normals in numpy and OpenCV: projection of all pixels at once, a z-buffer by np.minimum.at, filters."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.align import AlignPlan, align_color, align_depth, lens_rays
from rasant.ops.normals import surface_normals
from rasant.types import Intrinsics

__all__ = ["COLOR_LENS", "OPERATIONS", "POSE", "Warp", "cross_normals", "filter_normals"]

COLOR_LENS = (-0.0567, 0.0668, 0.0003, 0.0006, -0.0213)  # a D455's colour camera
POSE = np.hstack([cv2.Rodrigues(np.array([0.002, -0.003, 0.004]))[0], np.array([[0.015], [0.0], [0.0]])])
WINDOW, STEP_M = 5, 0.006
RS_ALIGN_MS = 31.0  # librealsense's SSE align of 1280x720, which leaves the lens out
FloatImage = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]


def color_camera(size: Size) -> Intrinsics:
    """The depth camera's twin, with a lens that is not ideal."""
    c = camera_of(size)
    return Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, "brown_conrady", COLOR_LENS)


class Warp:
    """Projection in float32 with buffers that are used again."""

    def __init__(self, size: Size) -> None:
        self.size, self.camera = size, color_camera(size)
        rays = lens_rays(camera_of(size)).reshape(2, -1)
        self.turned = np.vstack([rays, np.ones_like(rays[:1])])
        self.turned = POSE[:, :3].astype(np.float32) @ self.turned
        self.shift = POSE[:, 3:].astype(np.float32)
        self.points = np.empty_like(self.turned)
        self.best = np.empty(size[0] * size[1], np.float32)

    def pixels(self, depth: FloatImage) -> tuple[Floats, Floats, Floats]:
        """(x, y, z) of every depth pixel in the colour image, Brown-Conrady."""
        q, (k1, k2, p1, p2, k3) = self.points, COLOR_LENS
        np.multiply(self.turned, depth.reshape(-1), out=q)
        q += self.shift
        np.maximum(q[2], 0.05, out=q[2])  # holes project anywhere, and are left out
        x, y = q[0] / q[2], q[1] / q[2]
        r2 = x * x + y * y
        gain, xy = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), 2 * x * y
        u = x * gain + p1 * xy + p2 * (r2 + 2 * x * x)
        v = y * gain + p2 * xy + p1 * (r2 + 2 * y * y)
        return u * self.camera.fx + self.camera.cx, v * self.camera.fy + self.camera.cy, q[2]

    def depth(self, depth: FloatImage) -> FloatImage:
        """Nearest of all that cover a pixel; footprints of 2 x 2."""
        x, y, z = self.pixels(depth)
        return self._buffer(x, y, z, depth)

    def slow_depth(self, depth: FloatImage) -> FloatImage:
        """The same by cv2.projectPoints."""
        c = self.camera
        points = (self.turned * depth.reshape(-1) + self.shift).T.astype(np.float64)
        points[:, 2] = np.maximum(points[:, 2], 0.05)
        K = np.array([[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1]])
        pixels = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, np.array(COLOR_LENS))[0].reshape(-1, 2)
        return self._buffer(pixels[:, 0], pixels[:, 1], points[:, 2].astype(np.float32), depth)

    def _buffer(self, x: Floats, y: Floats, z: Floats, depth: FloatImage) -> FloatImage:
        height, width = self.size
        left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        inside = (depth.reshape(-1) > 0) & (left >= 0) & (top >= 0) & (left < width - 1) & (top < height - 1)
        at, z = top[inside] * width + left[inside], z[inside]
        self.best.fill(np.inf)
        for offset in (0, 1, width, width + 1):
            np.minimum.at(self.best, at + offset, z)
        return np.where(np.isfinite(self.best), self.best, np.float32(0)).reshape(self.size)

    def color(self, color: npt.NDArray[np.uint8], depth: FloatImage) -> Floats:
        """cv2.remap at the projections; nothing is hidden."""
        x, y, _ = self.pixels(depth)
        maps = x.reshape(self.size), y.reshape(self.size)
        taken: Floats = cv2.remap(color, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        taken[depth <= 0] = 0
        return taken


def cross_normals(depth: FloatImage, camera: Intrinsics) -> Floats:
    """Cross product of the differences of neighbouring points, as most programs have it; no test for edges."""
    x = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy)) / np.float32(camera.fy)
    points = np.stack([x * depth, y[:, None] * depth, depth], axis=-1)
    down, along = np.gradient(points, axis=(0, 1))
    normals = np.cross(down, along)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-20))


def filter_normals(depth: FloatImage, camera: Intrinsics) -> Floats:
    """The plane through the inverse depth of a window by separable filters; holes and steps by erosion."""
    r = WINDOW // 2
    valid = depth > 0
    w = np.where(valid, 1 / np.where(valid, depth, np.float32(1)), np.float32(0))
    ones, ramp = np.ones(WINDOW, np.float32), np.arange(-r, r + 1, dtype=np.float32)
    ramp /= (ramp * ramp).sum() * WINDOW
    a = cv2.sepFilter2D(w, -1, ramp, ones) * np.float32(camera.fx)
    b = cv2.sepFilter2D(w, -1, ones, ramp) * np.float32(camera.fy)
    c = cv2.blur(w, (WINDOW, WINDOW))
    c -= a * ((np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / np.float32(camera.fx))
    c -= b * ((np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy)) / np.float32(camera.fy))[:, None]
    ok = valid.astype(np.uint8)
    ok[:, 1:] &= np.abs(np.diff(depth, axis=1)) <= STEP_M
    ok[1:] &= np.abs(np.diff(depth, axis=0)) <= STEP_M
    whole: Floats = cv2.erode(ok, np.ones((WINDOW, WINDOW), np.uint8))
    scale = whole.astype(np.float32) / -np.sqrt(np.maximum(a * a + b * b + c * c, np.float32(1e-20)))
    return np.asarray(cv2.merge([a * scale, b * scale, c * scale]))


def make_align_depth(size: Size, threads: int) -> Case:
    """Depth to colour through a Brown-Conrady lens."""
    depth, plan, warp = domed_part(size), AlignPlan(camera_of(size), color_camera(size), POSE), Warp(size)
    out = np.empty(size, np.float32)
    return Case(
        lambda: align_depth(depth, plan, out=out, threads=threads),
        (Peer("cv2.projectPoints, np.minimum.at", lambda: warp.slow_depth(depth)),
         Peer("numpy float32, np.minimum.at of 2x2", lambda: warp.depth(depth))),
        depth.nbytes + plan.tables()[0].nbytes + out.nbytes, RS_ALIGN_MS if size == (720, 1280) else None,
    )  # fmt: skip


def make_align_color(size: Size, threads: int) -> Case:
    """Colour to depth through the same lens, what is hidden left out."""
    depth, plan, warp = domed_part(size), AlignPlan(camera_of(size), color_camera(size), POSE), Warp(size)
    color = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen, out, valid = align_depth(depth, plan), np.empty_like(color), np.empty(size, np.bool_)
    return Case(
        lambda: align_color(color, depth, plan, seen=seen, out=out, out_valid=valid, threads=threads),
        (Peer("numpy float32, cv2.remap, nothing hidden", lambda: warp.color(color, depth)),),
        depth.nbytes + seen.nbytes + plan.tables()[0].nbytes + 2 * color.nbytes + valid.nbytes,
    )


def make_normals(size: Size, threads: int) -> Case:
    """Normals of a window of 5 x 5."""
    depth, camera = domed_part(size), camera_of(size)
    out = np.empty((*size, 3), np.float32)
    return Case(
        lambda: surface_normals(depth, camera, size=WINDOW, step_m=STEP_M, out=out, threads=threads),
        (Peer("numpy gradient and cross", lambda: cross_normals(depth, camera)),
         Peer("cv2.sepFilter2D, erode, merge", lambda: filter_normals(depth, camera))),
        depth.nbytes + out.nbytes,
    )  # fmt: skip


OPERATIONS = (
    Operation("align_depth", make_align_depth, note="Brown-Conrady"),
    Operation("align_color", make_align_color, note="Brown-Conrady"),
    Operation("normals", make_normals, note="5x5"),
)
