# SPDX-License-Identifier: Apache-2.0
"""Pictures of boards and planes by inverse mapping: exact up to the chosen blur and noise, a few milliseconds each.

Each pixel's ray is bent by OpenCV's own lens and cut with the board's plane; the board is looked up there. Four rays a
pixel and a small blur stand for the pixel's area and the lens.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.types import Intrinsics

Matrix = npt.NDArray[np.float64]
FINE = 2  # rays a pixel and axis


def pose(turn: npt.ArrayLike, place: npt.ArrayLike, middle: npt.ArrayLike = (0, 0, 0)) -> Matrix:
    """(4, 4) camera from board: turned by a rotation vector about `middle`, which comes to lie at `place`."""
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array(turn, np.float64))[0]
    matrix[:3, 3] = np.array(place) - matrix[:3, :3] @ np.asarray(middle, np.float64)
    return matrix


def matrix_of(lens: Intrinsics) -> Matrix:
    """(3, 3) camera matrix."""
    return np.array([[lens.fx, 0.0, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, 1.0]])


@lru_cache(maxsize=8)
def rays(lens: Intrinsics, fine: int = 1) -> npt.NDArray[np.float64]:
    """(fine H, fine W, 3) rays (x, y, 1) of sub-pixels."""
    at = [(np.arange(side * fine) + 0.5) / fine - 0.5 for side in (lens.height, lens.width)]
    y, x = np.meshgrid(*at, indexing="ij")
    pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-12)
    flat = (pixels - [lens.cx, lens.cy]) / [lens.fx, lens.fy]
    if lens.distortion:
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-12)
        flat = cv2.undistortPoints(pixels, matrix_of(lens), np.array(lens.distortion), criteria=stop)
    return np.dstack([flat.reshape(*x.shape, 2), np.ones(x.shape)])


def plane_depth(lens: Intrinsics, camera_from_plane: Matrix) -> npt.NDArray[np.float64]:
    """(H, W) metres along the optical axis to the plane z = 0 of a frame."""
    normal = camera_from_plane[:3, 2]
    return (normal @ camera_from_plane[:3, 3]) / (rays(lens) @ normal)


def picture(
    board: npt.NDArray[np.uint8], pixels_per_metre: float, lens: Intrinsics, camera_from_board: Matrix, *,
    blur: float = 0.6, noise: float = 1.5, seed: int = 0, surround: int = 128,
) -> npt.NDArray[np.uint8]:
    """(H, W) uint8: a board's image, of which x = 0, y = 0 is the outer corner of the first pixel, seen by a camera."""
    towards = rays(lens, FINE)
    normal = camera_from_board[:3, 2]
    distance = (normal @ camera_from_board[:3, 3]) / (towards @ normal)
    on_board = (towards * distance[..., None] - camera_from_board[:3, 3]) @ camera_from_board[:3, :2]
    at = (on_board * pixels_per_metre - 0.5).astype(np.float32)
    seen: npt.NDArray[Any] = cv2.remap(
        board, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=surround
    ).astype(np.float32)
    seen = cv2.resize(seen, (lens.width, lens.height), interpolation=cv2.INTER_AREA)
    seen = 20.0 + 0.8 * cv2.GaussianBlur(seen, (0, 0), blur)
    seen += np.random.default_rng(seed).normal(0.0, noise, seen.shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def corners_of(points: npt.ArrayLike, lens: Intrinsics, camera_from_board: Matrix) -> npt.NDArray[np.float64]:
    """(N, 2) pixels at which a camera sees points of a board."""
    turn = cv2.Rodrigues(camera_from_board[:3, :3])[0]
    bent = np.array(lens.distortion or np.zeros(5))
    seen, _ = cv2.projectPoints(np.asarray(points), turn, camera_from_board[:3, 3], matrix_of(lens), bent)
    return np.asarray(seen, np.float64).reshape(-1, 2)


def poses(count: int, middle: npt.ArrayLike, distance_m: float, seed: int = 0) -> list[Matrix]:
    """Poses as a person holds a board: leaning by up to 30 degrees, all over the picture."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        lean, spin = rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.3, 0.3)
        x, y, z = rng.uniform([-0.12, -0.08, 0.85], [0.12, 0.08, 1.2]) * distance_m
        found.append(pose((lean[0], lean[1], spin), (x, y, z), middle))
    return found
