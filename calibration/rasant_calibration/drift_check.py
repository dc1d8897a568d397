# SPDX-License-Identifier: Apache-2.0
"""Is a station still what it was when it was calibrated? Seen from its own frames, without a board.

- **Shift.** Depth and colour jump at the same outlines. The correlation of their edges peaks where they lie on each
  other; edges count by direction modulo half a turn, since a bright part on dark ground jumps against its depth.
- **Fill rate**, and how it changes over the run: dirt on a window and a dying projector make holes.
- **Temporal noise**, and a flat **reference tile** in view: distance, tilt, and RMS of its plane.

The same figures are taken when the station is known to be good, and kept in the calibration file as its reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration, DriftReference
from rasant.errors import BackgroundError, ConfigError
from rasant.ops.align import lens_rays
from rasant.ops.depth import to_metres
from rasant.types import Frame
from rasant_calibration.depth_quality import Box, central, fit_plane, temporal_noise
from rasant_calibration.limits import Check, DriftLimits, within

__all__ = ["Observation", "compare", "edge_shift", "observe", "outlines", "require_same_camera"]

Edges = npt.NDArray[np.complex64]

SEARCH_PX = 24
_JUMP = 8.0  # times the median step of depth: an outline, not a slope or noise
_LEAST_JUMP = 1e-3  # of depth
_MIN_EDGE_SHARE = 5e-4  # of the pixels
_CLEAR = 1.1  # times the highest agreement away from the peak
_PEAK_PX = 5.0  # how far a peak reaches


@dataclass(frozen=True, slots=True)
class Observation:
    """The figures of a run in the reference's form, the change of the fill rate over it, and the peak for a picture.

    fill_trend: fitted change from the first frame to the last. correlation: (2 SEARCH_PX + 1)^2, or None.
    """

    figures: DriftReference
    fill_trend: float
    correlation: npt.NDArray[np.float64] | None


def observe(frames: Iterable[Frame], tile: Box | None = None) -> Observation:
    """Look at some frames of one scene type; ten or more are better. tile: (x, y, width, height) of a flat tile.

    Raises ConfigError for no frames, for frames without depth or of different cameras, or a tile outside the frame.
    """
    depths: list[npt.NDArray[np.float32]] = []
    total: npt.NDArray[np.float64] | None = None
    first: Frame | None = None
    for frame in frames:
        first = first or frame
        if frame.depth is None or frame.intrinsics != first.intrinsics:
            raise ConfigError(f"frame {frame.index}: expected depth, and the same camera in all frames")
        depths.append(to_metres(frame.depth, frame.depth_scale))
        found = None if frame.color is None else _correlate(frame.color, depths[-1])
        if found is not None:
            total = found if total is None else total + found
    if first is None:
        raise ConfigError("no frame was observed; the source must give at least one")
    fill = np.array([np.mean(depth > 0) for depth in depths])
    trend = float(np.polyfit(np.arange(len(fill)), fill, 1)[0] * (len(fill) - 1)) if len(fill) > 2 else 0.0
    figures = DriftReference(
        frames=len(depths), shift_px=None if total is None else _peak(total), fill_rate=float(fill.mean()),
        temporal_noise=_noise(depths, first, tile), tile=tile, **_tile(depths, first, tile),
    )  # fmt: skip
    return Observation(figures, trend, total)


def compare(now: Observation, reference: DriftReference, limits: DriftLimits) -> list[Check]:
    """Every figure that both have, against its limit. What the reference has and the run has lost fails."""
    seen = now.figures
    checks = [
        within("fill rate lost", max(0.0, reference.fill_rate - seen.fill_rate), limits, "max_fill_drop", "%"),
        within("fill rate lost in this run", max(0.0, -now.fill_trend), limits, "max_fill_drop", "%"),
    ]
    if reference.shift_px is not None:
        moved = None if seen.shift_px is None else float(np.hypot(*np.subtract(seen.shift_px, reference.shift_px)))
        checks.append(within("depth off colour", moved, limits, "max_shift_px", "px"))
    if reference.temporal_noise:
        growth = None if seen.temporal_noise is None else seen.temporal_noise / reference.temporal_noise
        checks.append(within("noise, times reference", growth, limits, "max_noise_growth"))
    if reference.tile_depth_m is not None and reference.tile_tilt_deg is not None:
        moved = None if seen.tile_depth_m is None else abs(seen.tile_depth_m / reference.tile_depth_m - 1.0)
        turned = None if seen.tile_tilt_deg is None else abs(seen.tile_tilt_deg - reference.tile_tilt_deg)
        checks.append(within("tile moved / distance", moved, limits, "max_tile_move", "%"))
        checks.append(within("tile turned", turned, limits, "max_tile_turn_deg", "deg"))
    if reference.tile_rms_m:
        growth = None if seen.tile_rms_m is None else seen.tile_rms_m / reference.tile_rms_m
        checks.append(within("tile RMS, times reference", growth, limits, "max_tile_rms_growth"))
    return checks


def require_same_camera(frame: Frame, calibration: Calibration) -> None:
    """Raises ConfigError where a frame is of another camera or resolution than the calibration."""
    if calibration.serial and frame.serial and frame.serial != calibration.serial:
        raise ConfigError(f"the calibration is of camera {calibration.serial!r}, the frames are of {frame.serial!r}")
    lens = calibration.color or calibration.depth
    if lens is not None and (lens.height, lens.width) != frame.size:
        size = f"{frame.size[1]}x{frame.size[0]}"
        raise ConfigError(f"the calibration is for {lens.width}x{lens.height} pixels, the frames have {size}")


def edge_shift(color: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32]) -> tuple[float, float] | None:
    """(x, y) pixels by which depth lies off colour, to the right and down; None without clear outlines.

    color: (H, W, 3) uint8; depth: (H, W) float32 metres that lies over it, 0 invalid. Up to 24 pixels are found.
    """
    found = _correlate(color, depth)
    return None if found is None else _peak(found)


def outlines(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(H, W) bool: where depth jumps, for pictures. depth: (H, W) float32 metres, 0 invalid."""
    return np.asarray(np.abs(_depth_edges(depth)) > 0)


def _correlate(color: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float64] | None:
    """Agreement of the outlines for every shift within the search; None where depth has none."""
    jumps = _depth_edges(depth)
    if np.count_nonzero(jumps) < _MIN_EDGE_SHARE * jumps.size:
        return None
    size = [cv2.getOptimalDFTSize(side + SEARCH_PX) for side in depth.shape]
    spectra = [np.fft.fft2(edges, size) for edges in (jumps, _color_edges(color))]
    agreement = np.fft.ifft2(spectra[0] * np.conj(spectra[1])).real
    near = np.r_[-SEARCH_PX : SEARCH_PX + 1]
    return np.asarray(agreement[np.ix_(near, near)] / np.abs(jumps).sum(), np.float64)


def _peak(agreement: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """Place of the maximum to a fraction of a pixel; None where it does not stand out or lies at the rim."""
    y, x = np.unravel_index(int(agreement.argmax()), agreement.shape)
    last = agreement.shape[0] - 1
    level = float(np.median(agreement))
    rows, cols = np.ogrid[: last + 1, : last + 1]
    elsewhere = float(agreement[np.hypot(rows - y, cols - x) > _PEAK_PX].max())
    if agreement[y, x] - level < _CLEAR * (elsewhere - level) or not (0 < y < last and 0 < x < last):
        return None
    return (
        float(x - SEARCH_PX + _vertex(agreement[y, x - 1 : x + 2])),
        float(y - SEARCH_PX + _vertex(agreement[y - 1 : y + 2, x])),
    )


def _vertex(three: npt.NDArray[np.float64]) -> float:
    """Where the parabola through -1, 0 and 1 has its top."""
    bend = three[0] - 2.0 * three[1] + three[2]
    return float(0.5 * (three[0] - three[2]) / bend) if bend < 0 else 0.0


def _color_edges(color: npt.NDArray[np.uint8]) -> Edges:
    """Direction doubled, strength saturating, so that print on the part does not outvote its outline."""
    grey = cv2.GaussianBlur(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    gradient = cv2.Sobel(grey, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.abs(gradient)
    soft = float(np.quantile(strength[::4, ::4], 0.9)) + 1e-3
    return _doubled(gradient, strength / (strength + soft))


def _depth_edges(depth: npt.NDArray[np.float32]) -> Edges:
    """Jumps between valid pixels; borders of holes say nothing about outlines."""
    valid = depth > 0
    whole = cv2.erode(valid.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    level = np.log(np.where(valid, depth, np.float32(1.0)))
    gradient = (cv2.Sobel(level, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(level, cv2.CV_32F, 0, 1)) / 4.0
    strength = np.abs(gradient)
    jump = max(_LEAST_JUMP, _JUMP * float(np.median(strength[whole]))) if whole.any() else _LEAST_JUMP
    return _doubled(gradient, np.where(whole & (strength > jump), np.minimum(strength / jump, 4.0), 0.0))


def _doubled(gradient: npt.NDArray[Any], weight: npt.NDArray[Any]) -> Edges:
    direction = gradient / np.maximum(np.abs(gradient), 1e-9)
    return np.asarray(weight * direction**2, np.complex64)


def _noise(depths: Sequence[npt.NDArray[np.float32]], frame: Frame, tile: Box | None) -> float | None:
    x, y, width, height = central(frame.intrinsics) if tile is None else tile
    return temporal_noise([depth[y : y + height, x : x + width] for depth in depths])


def _tile(depths: Sequence[npt.NDArray[np.float32]], frame: Frame, tile: Box | None) -> dict[str, float]:
    """The tile's plane: medians over frames; nothing where a frame has hardly any depth on it."""
    if tile is None:
        return {}
    x, y, width, height = tile
    camera = frame.intrinsics
    if x + width > camera.width or y + height > camera.height:
        raise ConfigError(f"the tile {tile} (x, y, width, height) must lie in {camera.width}x{camera.height} pixels")
    window = slice(y, y + height), slice(x, x + width)
    rays = lens_rays(camera)[:, window[0], window[1]]
    try:
        planes = [fit_plane(depth[window], rays, camera.fx) for depth in depths]
    except BackgroundError:
        return {}
    return {
        "tile_depth_m": float(np.median([plane.depth_m for plane in planes])),
        "tile_tilt_deg": float(np.median([plane.tilt_deg for plane in planes])),
        "tile_rms_m": float(np.median([plane.rms_m for plane in planes])),
    }
