# SPDX-License-Identifier: Apache-2.0
"""Small data sets of boxes on a plane, written to disk in rasant's layout. Not a test itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from rasant.preprocess import PreprocessParams

SIZE = 64
SCALE = 2e-5  # metres per count
PARAMS = PreprocessParams(size=(32, 32), foreground_m=0.001, inlier_m=0.002, border_px=6, fill_passes=2)


def picture(seed: int, height_m: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Colour and depth counts of a box of the given height on a plane half a metre away, with a few holes."""
    random = np.random.default_rng(seed)
    color = random.integers(60, 200, (SIZE, SIZE, 3), np.uint8)
    depth = 0.5 + random.normal(0, 2e-5, (SIZE, SIZE))
    depth[20:44, 20:44] -= height_m
    counts = np.round(depth / SCALE).astype(np.uint16)
    counts[random.random((SIZE, SIZE)) < 0.01] = 0
    return color, counts


def write_split(root: Path, pictures: Iterable[tuple[np.ndarray, np.ndarray]], split: str = "train",
                label: str = "good") -> Path:
    """Write pictures in rasant's layout and return the category's folder."""
    folder = root / split / label
    for name in ("color", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, (color, depth) in enumerate(pictures):
        cv2.imwrite(str(folder / "color" / f"{index:03d}.png"), color[..., ::-1])
        cv2.imwrite(str(folder / "depth" / f"{index:03d}.png"), depth)
    camera = {"width": SIZE, "height": SIZE, "fx": 150.0, "fy": 150.0, "cx": 31.5, "cy": 31.5,
              "distortion_model": "none", "distortion": [], "depth_scale": SCALE}
    (root / "camera.json").write_text(json.dumps(camera))
    return root
