# SPDX-License-Identifier: Apache-2.0
"""Makes structured-light.png: two captures of a rendered scan, the depth that comes of it, and its error.

.venv/bin/python docs/guide/structured_light_picture.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration, FittedLens, Motion
from rasant.sensors.structured_light import PatternSequence, ScanDecoder
from rasant.synthesis.lit_scene import LitScene, lit_scene
from rasant.types import Intrinsics

OUT = Path(__file__).with_name("structured-light.png")
PANEL = 320, 240
LEVELS = 16  # of brightness and colour, so that the file stays small


def lens(camera: Intrinsics) -> FittedLens:
    """A lens as the calibration file has it."""
    names = ("width", "height", "fx", "fy", "cx", "cy")
    return FittedLens(**{name: getattr(camera, name) for name in names})


def calibration(scene: LitScene) -> Calibration:
    """The rendered scanner, exactly known."""
    return Calibration(
        created="2026-01-01T00:00:00Z", color=lens(scene.camera), projector=lens(scene.projector),
        projector_from_color=Motion.from_matrix(scene.projector_from_camera),
    )  # fmt: skip


def coloured(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    """(H, W, 3) BGR; NaN is black."""
    small = cv2.resize(values, PANEL, interpolation=cv2.INTER_AREA)
    levels = np.clip(np.round((np.nan_to_num(small) - low) / (high - low) * LEVELS) * 255 / LEVELS, 0, 255)
    picture = cv2.applyColorMap(levels.astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    picture[np.isnan(small)] = 0
    return picture


def grey(shot: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A capture at the panel's size."""
    small = cv2.resize(shot, PANEL, interpolation=cv2.INTER_AREA).astype(float)
    return (np.round(small / 255 * LEVELS) * 255 / LEVELS).astype(np.uint8)


def panel(small: npt.NDArray[Any], text: str) -> npt.NDArray[Any]:
    """A picture with a caption."""
    cv2.rectangle(small, (0, 0), (PANEL[0], 20), (0, 0, 0), -1)
    cv2.putText(small, text, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return small


def main() -> None:
    """Render, decode, draw."""
    scene, random = lit_scene(), np.random.default_rng(0)
    sequence = PatternSequence(width=scene.projector.width, height=scene.projector.height, stripe=4, steps=8)
    shots = [scene.capture(picture, random) for picture in sequence.pictures()]
    depth = ScanDecoder(sequence, calibration(scene))(np.stack([shot[..., 0] for shot in shots])).depth
    measured = np.where(depth > 0, depth, np.nan)
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    flat = np.isfinite(measured)
    design = np.stack([u, v, np.ones_like(u)], axis=-1).astype(float)
    plane = np.linalg.lstsq(design[flat], 1 / measured[flat], rcond=None)[0]  # a plane is linear in 1 / z
    relief, error = 1e3 * (1 / (design @ plane) - measured), 1e3 * (measured - scene.depth)
    rms = float(np.sqrt(np.nanmean(error**2)))
    waves, count = sequence.phase("columns").start, len(sequence)
    rows = (
        (panel(grey(shots[6]), f"capture 7 of {count}: Gray code"),
         panel(grey(shots[waves]), f"capture {waves + 1} of {count}: sinusoid")),
        (panel(coloured(relief, -2.5, 4.5), "relief over the plane, -2.5 to 4.5 mm"),
         panel(coloured(error, -0.3, 0.3), f"error, -0.3 to 0.3 mm; RMS {rms:.3f} mm")),
    )  # fmt: skip
    picture = np.vstack([np.hstack(row) for row in rows])
    OUT.write_bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, RMS {rms:.4f} mm, {flat.mean():.1%} of the pixels")


if __name__ == "__main__":
    main()
