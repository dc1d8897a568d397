# SPDX-License-Identifier: Apache-2.0
"""Pictures of an inspected frame: colour, shaded depth, anomaly map, truth and overlay, all in the same small frame.

Every picture is (rows, cols, 3) uint8 RGB. Anomaly maps of one report share one scale, so that they can be compared.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import RasantError
from rasant.evaluate import Record
from rasant.ops.overlay import blend_map
from rasant.overlay import EDGE_COLORS, MISSING_COLOR, frame_regions
from rasant.types import Frame, Inspection, Region

__all__ = ["PictureBook", "Thumbnail", "data_uri", "heat", "overlay", "overlay_strip", "shade_depth", "show_truth"]

Picture = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

_TRUTH = (25, 190, 175)  # turquoise
_LIGHT = np.array([-0.70, -0.45, 0.55]) / np.linalg.norm([-0.70, -0.45, 0.55])  # raking, from the upper left


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """What a report keeps of a frame. `thumb_from_map` takes map (x, y, 1) to thumbnail pixels."""

    color: Picture | None
    depth: Picture | None
    truth: npt.NDArray[np.bool_] | None
    thumb_from_map: Matrix
    size: tuple[int, int]


class PictureBook:
    """An observer of `inspect_source` that keeps thumbnails, in the order of the records."""

    def __init__(self, *, longest_px: int = 208) -> None:
        self.longest_px = longest_px
        self.thumbnails: list[Thumbnail] = []

    def __call__(self, frame: Frame, record: Record) -> None:
        """Keep the thumbnail of one frame."""
        rows, cols = frame.size
        scale = min(1.0, self.longest_px / max(rows, cols))
        size = (max(1, round(rows * scale)), max(1, round(cols * scale)))
        step = np.array([size[1] / cols, size[0] / rows])
        matrix = step[:, None] * record.inspection.frame_from_map
        matrix[:, 2] += 0.5 * step - 0.5
        truth = frame.sample.truth if frame.sample is not None else None
        small_truth = None if truth is None else _resize(truth.astype(np.uint8), size, cv2.INTER_NEAREST_EXACT) > 0
        color = None if frame.color is None else _resize(frame.color, size, cv2.INTER_AREA)
        depth = None if frame.depth is None else _resize(shade_depth(frame), size, cv2.INTER_AREA)
        self.thumbnails.append(Thumbnail(color, depth, small_truth, matrix, size))


def _resize(image: npt.NDArray[Any], size: tuple[int, int], how: int) -> npt.NDArray[Any]:
    return image.copy() if image.shape[:2] == size else np.asarray(cv2.resize(image, size[::-1], interpolation=how))


def shade_depth(frame: Frame) -> Picture:
    """Depth as height above the frame's border plane, coloured by height, in raking light; missing pixels dark grey."""
    depth = np.asarray(frame.depth)
    metres = depth.astype(np.float32) * np.float32(frame.depth_scale if depth.dtype == np.uint16 else 1.0)
    valid = np.isfinite(metres) & (metres > 0)
    if not valid.any():
        return np.full((*metres.shape, 3), MISSING_COLOR, np.uint8)
    middle = float(np.median(metres[valid]))
    weight = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), 1.2)
    height = _plane(metres, valid) - np.where(valid, metres, np.float32(middle))
    height = np.where(valid, height, 0.0).astype(np.float32)
    smooth = cv2.GaussianBlur(height, (0, 0), 1.2) / np.maximum(weight, 1e-3)
    low, high = np.percentile(smooth[valid], [1.0, 99.0])
    level = np.clip((smooth - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    base = cv2.applyColorMap((40 + 190 * level).astype(np.uint8), cv2.COLORMAP_CIVIDIS)[..., ::-1].astype(np.float32)
    pitch = middle / frame.intrinsics.fx
    gradient_y, gradient_x = np.gradient(smooth / pitch)
    normal = np.stack([-gradient_x, -gradient_y, np.ones_like(smooth)], axis=-1)
    lit = np.clip((normal @ _LIGHT) / np.linalg.norm(normal, axis=-1), 0.0, 1.0) / _LIGHT[2]
    picture: Picture = np.clip(base * (0.30 + 0.70 * lit)[..., None], 0, 255).astype(np.uint8)
    picture[~valid] = MISSING_COLOR
    return picture


def _plane(metres: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Least-squares plane through the valid pixels of the frame's border, evaluated at every pixel."""
    rows, cols = metres.shape
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    band = max(2, min(rows, cols) // 20)
    border = valid.copy()
    border[band:-band, band:-band] = False
    chosen = border if np.count_nonzero(border) >= 16 else valid
    design = np.stack([x[chosen], y[chosen], np.ones(np.count_nonzero(chosen), np.float32)], axis=1)
    a, b, c = np.linalg.lstsq(design, metres[chosen], rcond=None)[0]
    return np.asarray(a * x + b * y + c, np.float32)


def _on_thumb(values: npt.NDArray[np.float32], thumb: Thumbnail) -> npt.NDArray[np.float32]:
    """A map moved into the thumbnail; 0 outside the region of interest."""
    size = thumb.size[::-1]
    return np.asarray(cv2.warpAffine(values, thumb.thumb_from_map, size, flags=cv2.INTER_LINEAR), np.float32)


def heat(values: npt.NDArray[np.float32], thumb: Thumbnail, top: float) -> Picture:
    """An anomaly map as inferno colours from 0 to `top`."""
    level = np.clip(_on_thumb(values, thumb) / max(top, 1e-9), 0.0, 1.0)
    return np.ascontiguousarray(cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1])


def _canvas(thumb: Thumbnail) -> Picture:
    """What to draw on: colour, else depth, else grey."""
    picture = thumb.color if thumb.color is not None else thumb.depth
    return picture.copy() if picture is not None else np.full((*thumb.size, 3), 90, np.uint8)


def show_truth(thumb: Thumbnail) -> Picture | None:
    """The true defect in turquoise on the dimmed picture; None where the source has no mask."""
    if thumb.truth is None:
        return None
    canvas = _canvas(thumb)
    grey = np.repeat(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    picture = (0.55 * grey).astype(np.uint8)
    picture[thumb.truth] = (0.25 * picture[thumb.truth] + 0.75 * np.array(_TRUTH)).astype(np.uint8)
    return picture


def overlay(inspection: Inspection, thumb: Thumbnail, top: float) -> Picture:
    """The picture with the deciding map glowing through and the regions framed in red."""
    picture = _canvas(thumb)
    if inspection.pooled_map is None:
        return picture
    blend_map(picture, inspection.pooled_map, picture_from_map=thumb.thumb_from_map, top=top, out=picture)
    scale = thumb.thumb_from_map[0, 0] / inspection.frame_from_map[0, 0]
    frame_regions(picture, replace(inspection, regions=tuple(_scaled(r, scale) for r in inspection.regions)))
    return picture


def _scaled(region: Region, scale: float) -> Region:
    x, y, width, height = (round(v * scale) for v in (region.x, region.y, region.width, region.height))
    return replace(region, x=x, y=y, width=width, height=height)


def data_uri(picture: Picture) -> str:
    """A picture as a PNG data URI, with 6 bits a channel: sensor noise below that would double the page for nothing."""
    coarse = (picture & 0xFC) | (picture >> 6)
    written, data = cv2.imencode(".png", np.ascontiguousarray(coarse[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not written:
        raise RasantError(f"a picture of {picture.shape} could not be encoded as PNG")
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def overlay_strip(
    records: Sequence[Record], thumbnails: Sequence[Thumbnail], *, top: float, columns: int = 8, rows: int = 3
) -> Picture:
    """A contact sheet of overlays, evenly spread over the records: green edge PASS, red REJECT, grey UNKNOWN."""
    paired = list(zip(records, thumbnails, strict=True))
    count = min(len(paired), columns * rows)
    chosen = [paired[place] for place in np.linspace(0, len(paired) - 1, count).round().astype(int)]
    height = max((t.size[0] for _, t in chosen), default=1)
    width = max((t.size[1] for _, t in chosen), default=1)
    edge, gap = 5, 8
    used_rows, used_columns = -(-len(chosen) // columns), min(columns, len(chosen))
    tile_h, tile_w = height + 2 * edge + gap, width + 2 * edge + gap
    sheet = np.full((used_rows * tile_h + gap, used_columns * tile_w + gap, 3), (24, 26, 30), np.uint8)
    for place, (record, thumb) in enumerate(chosen):
        y, x = gap + place // columns * tile_h, gap + place % columns * tile_w
        sheet[y : y + height + 2 * edge, x : x + width + 2 * edge] = EDGE_COLORS[record.inspection.verdict]
        picture = overlay(record.inspection, thumb, top)
        sheet[y + edge : y + edge + picture.shape[0], x + edge : x + edge + picture.shape[1]] = picture
    return sheet
