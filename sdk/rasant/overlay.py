# SPDX-License-Identifier: Apache-2.0
"""The picture of a verdict: the frame with the deciding map glowing through, regions framed, the verdict as an edge."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import RasantError
from rasant.ops.overlay import blend_map
from rasant.types import Frame, Inspection, Verdict

__all__ = ["EDGE_COLORS", "draw_overlay", "frame_regions", "grey_depth", "write_png"]

Picture = npt.NDArray[np.uint8]

REGION_COLOR = (255, 70, 50)
REGION_SHADOW = (20, 10, 10)
EDGE_COLORS = {Verdict.PASS: (60, 165, 90), Verdict.REJECT: (225, 60, 45), Verdict.UNKNOWN: (140, 140, 146)}
MISSING_COLOR = (70, 70, 76)
EDGE_ONLY = cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED


def draw_overlay(
    frame: Frame, inspection: Inspection, *, top: float | None = None, out: Picture | None = None
) -> Picture:
    """The overlay of one inspected frame as (H, W, 3) uint8 RGB.

    top: map value that glows brightest; by default twice the threshold, so that what is rejected is half bright.
    out: (H, W, 3) uint8 to draw into; a new array for every frame costs about as much as drawing it.
    The edge is green for PASS, red for REJECT, grey for UNKNOWN. Without colour the depth is drawn in grey.
    """
    picture, values = _picture(frame), inspection.pooled_map
    if values is None:
        canvas = np.empty_like(picture) if out is None else out
        np.copyto(canvas, picture)
    else:
        if top is None:
            decided = bool(np.isfinite(inspection.threshold))
            top = 2.0 * inspection.threshold if decided else float(values.max())
        canvas = blend_map(picture, values, picture_from_map=inspection.frame_from_map, top=top, out=out)
        frame_regions(canvas, inspection)
    edge = max(2, min(canvas.shape[:2]) // 100)
    color = EDGE_COLORS[inspection.verdict]
    inside = canvas[edge:-edge, edge:-edge]
    if inside.size:  # writes the border alone: in place `inside` stays as it is
        cv2.copyMakeBorder(inside, edge, edge, edge, edge, EDGE_ONLY, dst=canvas, value=color)
    else:
        canvas[...] = color
    return canvas


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


def _picture(frame: Frame) -> Picture:
    """What is drawn over, (H, W, 3): colour, else depth in grey, else a plain field."""
    if _drawable(frame.color, (*frame.size, 3)) and frame.color is not None and frame.color.dtype == np.uint8:
        return np.ascontiguousarray(frame.color)
    if _drawable(frame.depth, frame.size) and frame.depth is not None:
        return grey_depth(frame.depth)
    return np.full((max(1, frame.size[0]), max(1, frame.size[1]), 3), 90, np.uint8)


def _drawable(image: object, shape: tuple[int, ...]) -> bool:
    return isinstance(image, np.ndarray) and image.shape == shape and image.size > 0
