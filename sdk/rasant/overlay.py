# SPDX-License-Identifier: Apache-2.0
"""The picture of a verdict: the frame with the deciding map glowing through, regions framed, the verdict as an edge."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import RasantError
from rasant.types import Frame, Inspection, Verdict

__all__ = ["EDGE_COLORS", "blend_map", "draw_overlay", "frame_regions", "grey_depth", "write_png"]

Picture = npt.NDArray[np.uint8]

REGION_COLOR = (255, 70, 50)
REGION_SHADOW = (20, 10, 10)
EDGE_COLORS = {Verdict.PASS: (60, 165, 90), Verdict.REJECT: (225, 60, 45), Verdict.UNKNOWN: (140, 140, 146)}
MISSING_COLOR = (70, 70, 76)
STRIP = 32  # rows that are blended at a time
FIRST_GLOWING = 28  # the lowest of 256 levels that is not transparent


def _tint_and_rest() -> npt.NDArray[np.uint32]:
    """For each level the colour times its opacity, and what is left of the picture, as four bytes in one number."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    opacity = np.clip(1.4 * np.linspace(0.0, 1.0, 256) - 0.15, 0.0, 0.75)[:, None]
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    packed = np.concatenate([np.rint(opacity * colors), np.rint(255 * (1 - opacity))], axis=1).astype(np.uint8)
    return packed.view(np.uint32)[:, 0]


TINT_AND_REST = _tint_and_rest()


def draw_overlay(frame: Frame, inspection: Inspection, *, top: float | None = None) -> Picture:
    """The overlay of one inspected frame as (H, W, 3) uint8 RGB.

    top: map value that glows brightest; by default twice the threshold, so that what is rejected is half bright.
    The edge is green for PASS, red for REJECT, grey for UNKNOWN. Without colour the depth is drawn in grey.
    """
    canvas = _canvas(frame)
    if inspection.pooled_map is not None:
        if top is None:
            decided = bool(np.isfinite(inspection.threshold))
            top = 2.0 * inspection.threshold if decided else float(inspection.pooled_map.max())
        blend_map(canvas, inspection.pooled_map, inspection.frame_from_map, top)
        frame_regions(canvas, inspection)
    edge = max(2, min(canvas.shape[:2]) // 100)
    color = EDGE_COLORS[inspection.verdict]
    for strip in (canvas[:edge], canvas[-edge:], canvas[:, :edge], canvas[:, -edge:]):
        strip[...] = color
    return canvas


def blend_map(
    canvas: Picture, values: npt.NDArray[np.float32], canvas_from_map: npt.NDArray[np.float64], top: float
) -> Picture:
    """A map (h, w) laid over a picture in inferno colours, from transparent at 0 to glowing at `top`.

    canvas_from_map: a scale and a shift, to whole pixels of the picture. Draws into `canvas` and returns it. Colours
    are made at the map's size and enlarged in 8 bits: a tenth of the time of blending in floats at the picture's size.
    """
    scaled = np.nan_to_num(values * np.float32(255.0 / max(top, 1e-9)), nan=0.0, posinf=255.0)
    levels = np.clip(scaled, 0.0, 255.0, out=scaled).astype(np.uint8)
    if levels.max() < FIRST_GLOWING:
        return canvas
    glow = np.take(TINT_AND_REST, levels).view(np.uint8).reshape(*levels.shape, 4)
    (rows, above), (columns, before) = (
        _stretch(canvas_from_map[axis, axis], canvas_from_map[axis, 2], levels.shape[side], canvas.shape[side])
        for axis, side in ((1, 0), (0, 1))
    )
    large = cv2.resize(glow, (before.stop, above.stop), interpolation=cv2.INTER_LINEAR)
    for y in range(rows.start, rows.stop, STRIP):  # in the cache, and without large arrays that the system must clear
        part = canvas[y : min(y + STRIP, rows.stop), columns]
        first = y - rows.start + above.start
        over = large[first : first + len(part), before.start : before.start + part.shape[1]]
        rest = cv2.cvtColor(cv2.extractChannel(over, 3), cv2.COLOR_GRAY2RGB)
        cv2.multiply(part, rest, dst=rest, scale=1.0 / 255.0)
        part[...] = cv2.add(rest, cv2.cvtColor(over, cv2.COLOR_RGBA2RGB), dst=rest)
    return canvas


def _stretch(step: float, offset: float, count: int, end: int) -> tuple[slice, slice]:
    """Where `count` map pixels come to lie: the part of the picture, and that part of the enlarged map (to its end)."""
    first = round(offset - 0.5 * step + 0.5)
    size = max(1, round(offset - 0.5 * step + 0.5 + step * count) - first)
    inside = slice(max(0, first), max(0, min(end, first + size)))
    return inside, slice(inside.start - first, size)


def frame_regions(canvas: Picture, inspection: Inspection) -> None:
    """Draw the boxes of the regions, in place."""
    for region in inspection.regions:
        first = (region.x - 2, region.y - 2)
        last = (region.x + region.width + 1, region.y + region.height + 1)
        cv2.rectangle(canvas, first, last, REGION_SHADOW, 3, cv2.LINE_AA)
        cv2.rectangle(canvas, first, last, REGION_COLOR, 1, cv2.LINE_AA)


def grey_depth(depth: npt.NDArray[np.uint16] | npt.NDArray[np.float32]) -> Picture:
    """Depth (H, W) in any unit as (H, W, 3) uint8, near bright, far dark, by robust percentiles; missing bluish."""
    values = depth.astype(np.float32)
    valid = np.isfinite(values) & (values > 0)
    picture = np.full((*values.shape, 3), MISSING_COLOR, np.uint8)
    if valid.any():
        near, far = np.percentile(values[valid], [1.0, 99.0])
        level = np.clip((far - values[valid]) / max(float(far - near), 1e-6), 0.0, 1.0)
        picture[valid] = (40 + 200 * level).astype(np.uint8)[:, None]
    return picture


def write_png(path: Path, picture: Picture) -> None:
    """Write a (H, W, 3) uint8 RGB picture. Raises RasantError where it cannot be encoded, OSError where not kept."""
    written, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not written:
        raise RasantError(f"a picture of {picture.shape} could not be encoded as PNG")
    path.write_bytes(data.tobytes())


def _canvas(frame: Frame) -> Picture:
    if _drawable(frame.color, (*frame.size, 3)) and frame.color is not None and frame.color.dtype == np.uint8:
        return np.array(frame.color, np.uint8, order="C")
    if _drawable(frame.depth, frame.size) and frame.depth is not None:
        return grey_depth(frame.depth)
    return np.full((max(1, frame.size[0]), max(1, frame.size[1]), 3), 90, np.uint8)


def _drawable(image: object, shape: tuple[int, ...]) -> bool:
    return isinstance(image, np.ndarray) and image.shape == shape and image.size > 0
