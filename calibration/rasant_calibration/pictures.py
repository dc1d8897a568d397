# SPDX-License-Identifier: Apache-2.0
"""What a person looks at to believe a calibration. Every picture is (rows, cols, 3) uint8 RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant_calibration.board import View

__all__ = ["boxed", "corners", "coverage", "edges_on", "peak", "plane_residuals", "residual_arrows", "small"]

Picture = npt.NDArray[np.uint8]

_GROUND, _GRID = (24, 26, 30), (58, 63, 72)
_USED, _REJECTED = (76, 196, 127), (255, 112, 100)
_EDGE = (25, 210, 190)
_LARGE_PX, _SMALL_PX = 640, 240


def small(image: npt.NDArray[np.uint8], longest_px: int = _SMALL_PX) -> Picture:
    """A grey or colour picture, shrunk where it is larger."""
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    scale = min(1.0, longest_px / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def corners(image: npt.NDArray[np.uint8], view: View, used: bool = True) -> Picture:
    """A view with its corners: green where it was used, red where it was rejected."""
    picture = small(image)
    scale = picture.shape[1] / image.shape[1]
    for x, y in (view.pixels + 0.5) * scale - 0.5:
        _dot(picture, x, y, _USED if used else _REJECTED)
    return picture


def residual_arrows(
    size: tuple[int, int], views: Sequence[View], residuals: Sequence[npt.NDArray[np.float64]]
) -> tuple[Picture, float]:
    """Every corner with its residual, and how much that is enlarged: so that one in ten is longer than 24 px.

    Equal arrows all over a region mean a lens model that does not fit.
    """
    picture, scale = _canvas(size)
    lengths = np.linalg.norm(np.concatenate(residuals), axis=1)
    gain = 24.0 / max(float(np.quantile(lengths, 0.9)), 1e-6)
    level = np.clip(255 * lengths / max(float(np.quantile(lengths, 0.98)), 1e-6), 0, 255).astype(np.uint8)
    tones = cv2.applyColorMap(level[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    starts = (np.concatenate([view.pixels for view in views]) + 0.5) * scale - 0.5
    for start, step, tone in zip(starts, np.concatenate(residuals), tones, strict=True):
        points = [tuple(round(v * 8) for v in at) for at in (start, start + gain * step)]
        cv2.arrowedLine(picture, points[0], points[1], tone.tolist(), 1, cv2.LINE_AA, shift=3, tipLength=0.25)
    return picture, gain / scale


def coverage(size: tuple[int, int], counts: npt.NDArray[np.int64]) -> Picture:
    """How many corners lay in each cell of the image; empty cells stay dark."""
    picture, _ = _canvas(size)
    rows, cols = counts.shape
    level = (60 + 195 * np.sqrt(counts / max(1, counts.max()))).astype(np.uint8)
    tones = cv2.applyColorMap(level, cv2.COLORMAP_CIVIDIS)[..., ::-1]
    for row in range(rows):
        for col in range(cols):
            top, bottom = (place * picture.shape[0] // rows for place in (row, row + 1))
            left, right = (place * picture.shape[1] // cols for place in (col, col + 1))
            if counts[row, col]:
                picture[top : bottom - 1, left : right - 1] = tones[row, col]
            text = str(counts[row, col])
            cv2.putText(
                picture, text, ((left + right) // 2 - 5 * len(text), (top + bottom) // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX,
                0.45, (240, 240, 240) if counts[row, col] < 0.4 * counts.max() else (20, 20, 20), 1, cv2.LINE_AA,
            )  # fmt: skip
    return picture


def boxed(color: npt.NDArray[np.uint8], box: tuple[int, int, int, int]) -> Picture:
    """A picture with a region (x, y, width, height) framed in turquoise."""
    picture = color.copy()
    x, y, width, height = box
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), _EDGE, max(2, picture.shape[1] // 240))
    return small(picture, _LARGE_PX)


def plane_residuals(residual_m: npt.NDArray[np.float32]) -> Picture:
    """Depth minus plane: blue is nearer, red is farther, dark was not measured; the range is the 99th percentile."""
    valid = np.isfinite(residual_m)
    reach = max(float(np.quantile(np.abs(residual_m[valid]), 0.99)), 1e-9) if valid.any() else 1.0
    level = np.where(valid, np.clip(127.5 * (1.0 + np.where(valid, residual_m, 0.0) / reach), 0, 255), 0)
    picture = np.asarray(cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1], np.uint8).copy()
    picture[~valid] = _GROUND
    return small(picture, _LARGE_PX)


def edges_on(color: npt.NDArray[np.uint8], outlines: npt.NDArray[np.bool_]) -> Picture:
    """Outlines of depth in turquoise on the dimmed colour picture: they should lie on what they outline."""
    picture = (0.75 * color).astype(np.uint8)
    picture[outlines] = _EDGE
    return small(picture, _LARGE_PX)


def peak(agreement: npt.NDArray[Any]) -> Picture:
    """Agreement of the outlines for every shift; a cross marks that of no shift."""
    low, high = float(agreement.min()), float(agreement.max())
    level = (255 * (agreement - low) / max(high - low, 1e-12)).astype(np.uint8)
    grown = cv2.resize(level, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(cv2.applyColorMap(grown, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8).copy()
    middle = picture.shape[0] // 2
    picture[middle, :] = picture[:, middle] = (210, 214, 220)
    return picture


def _canvas(size: tuple[int, int]) -> tuple[Picture, float]:
    scale = min(1.0, _LARGE_PX / max(size))
    picture = np.full((round(size[0] * scale), round(size[1] * scale), 3), _GROUND, np.uint8)
    cv2.rectangle(picture, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), _GRID, 1)
    return picture, scale


def _dot(picture: Picture, x: float, y: float, tone: tuple[int, int, int]) -> None:
    cv2.circle(picture, (round(8 * x), round(8 * y)), 16, tone, -1, cv2.LINE_AA, shift=3)
