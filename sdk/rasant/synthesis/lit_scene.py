# SPDX-License-Identifier: Apache-2.0
"""A surface that a projector lights and a camera beside it sees: captures of structured light with known depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasant.types import Intrinsics

__all__ = ["CAMERA", "PROJECTOR", "LitScene", "lit_scene"]

Floats = npt.NDArray[np.float64]
ByteImage = npt.NDArray[np.uint8]

CAMERA = Intrinsics(640, 480, 800.0, 800.0, 319.5, 239.5)
PROJECTOR = Intrinsics(1024, 768, 1100.0, 1100.0, 511.5, 383.5)
BASELINE_M, TURN_RAD = 0.16, float(np.radians(18.0))


@dataclass(frozen=True, slots=True)
class LitScene:
    """What the camera sees. All images (H, W) of `camera`, all pixels lit by the projector or outside its picture.

    depth: metres. column, row: where each pixel lies in the projector's picture. albedo: (H, W, 3), 0..1 RGB.
    projector_from_camera: (3, 4) [R | t], metres.
    """

    camera: Intrinsics
    projector: Intrinsics
    projector_from_camera: Floats
    depth: Floats
    column: Floats
    row: Floats
    albedo: Floats

    def capture(
        self,
        picture: ByteImage,
        random: np.random.Generator,
        *,
        blur_px: float = 0.6,
        noise: float = 1.5,
        gamma: float = 1.0,
        ambient: float = 20.0,
    ) -> ByteImage:
        """(H, W, 3) uint8 RGB of the scene under a picture of the projector, (height, width) uint8.

        blur_px: the projector's defocus; gamma: of its response; noise: standard deviation of the camera's, and
        ambient: light of the room, both in grey levels of 255.
        """
        import cv2

        light = np.asarray(cv2.GaussianBlur((picture / np.float32(255)) ** gamma, (0, 0), blur_px), np.float32)
        levels = ambient + 200.0 * self.albedo * self._sample(light)[..., None]
        levels += random.normal(0.0, noise, self.depth.shape)[..., None]
        return np.clip(np.round(levels), 0, 255).astype(np.uint8)

    def _sample(self, light: npt.NDArray[np.float32]) -> Floats:
        """Bilinear, 0 outside the picture."""
        height, width = light.shape
        u, v = np.clip(self.column, 0, width - 1), np.clip(self.row, 0, height - 1)
        x, y = np.minimum(u.astype(int), width - 2), np.minimum(v.astype(int), height - 2)
        right, down = u - x, v - y
        top = light[y, x] * (1 - right) + light[y, x + 1] * right
        low = light[y + 1, x] * (1 - right) + light[y + 1, x + 1] * right
        outside = (u != self.column) | (v != self.row)
        return np.where(outside, 0.0, top * (1 - down) + low * down)


def lit_scene(scale: int = 1) -> LitScene:
    """A leaning plate half a metre away with a bulge of 4 mm, a pit of 1.5 mm and a block 3 mm high.

    The projector stands 16 cm to the right of the camera, turned 18 degrees towards it. scale: the camera's pixels
    are so many times larger.
    """
    c = _coarser(CAMERA, scale)
    v, u = np.mgrid[: c.height, : c.width].astype(np.float64)
    x, y = (u - c.cx) / c.fx, (v - c.cy) / c.fy
    depth = np.full(x.shape, 0.5)
    for _ in range(40):  # the height field is shallow: it converges to 1e-9
        depth = _plate(x * depth, y * depth)
    cos, sin = np.cos(TURN_RAD), np.sin(TURN_RAD)
    rotation = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    motion = np.hstack([rotation, -rotation @ [[BASELINE_M], [0.0], [0.0]]])
    q = np.einsum("ij,jhw->ihw", rotation, np.stack([x, y, np.ones_like(x)]) * depth) + motion[:, 3, None, None]
    column, row = q[0] / q[2] * PROJECTOR.fx + PROJECTOR.cx, q[1] / q[2] * PROJECTOR.fy + PROJECTOR.cy
    shade = 0.5 + 0.3 * np.sin(scale * u / 37.0) * np.sin(scale * v / 23.0)
    albedo = np.repeat(shade[..., None], 3, axis=2)
    return LitScene(c, PROJECTOR, motion, depth, column, row, albedo)


def _coarser(camera: Intrinsics, scale: int) -> Intrinsics:
    """The same view with fewer pixels."""
    cx, cy = (camera.cx + 0.5) / scale - 0.5, (camera.cy + 0.5) / scale - 0.5
    return Intrinsics(camera.width // scale, camera.height // scale, camera.fx / scale, camera.fy / scale, cx, cy)


def _plate(x: Floats, y: Floats) -> Floats:
    """Depth of the surface above a point of the table, metres."""
    bulge = 0.004 * np.exp(-((x - 0.05) ** 2 + (y - 0.03) ** 2) / (2 * 0.012**2))
    pit = 0.0015 * np.exp(-((x + 0.08) ** 2 + (y + 0.05) ** 2) / (2 * 0.006**2))
    block = 0.003 * ((np.abs(x + 0.02) < 0.02) & (np.abs(y - 0.08) < 0.015))
    return np.asarray(0.5 + 0.05 * x - 0.03 * y - bulge + pit - block)
