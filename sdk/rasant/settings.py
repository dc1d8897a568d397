# SPDX-License-Identifier: Apache-2.0
"""What an inspector works by: the bundle's manifest with the station's changes, resolved once at load."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from rasant.entropy_gate import EntropyGate
from rasant.errors import ConfigError, FrameError, ThresholdError
from rasant.preprocess import MODALITIES, PreprocessParams
from rasant.tiles import TileParams, lay_tiles
from rasant.verdict import CameraBinding, Limits, Patch

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.bundle.manifest import Attribution, Manifest
    from rasant.station import Station

__all__ = ["Settings", "highest_score", "resolve"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides how a frame becomes an inspection.

    threshold: on the pooled map, or None where the bundle has none yet.
    ignore: (h, w) bool at network resolution, True = never scored, or None.
    levels: reconstruction residual of each modality on good parts, (mean, std).
    patch: a place whose look is known, or None.
    gate: which of the network's two heads counts, or None where it has one.
    tiles: how a network that is smaller than `preprocess.size` is run over the prepared image, or None.
    loss: of a stand-in, what is lost while it decides, for a person.
    """

    preprocess: PreprocessParams
    threshold: float | None
    kernel: int = 21
    limits: Limits = field(default_factory=Limits)
    camera: CameraBinding = field(default_factory=CameraBinding)
    ignore: Mask | None = None
    mask_to_foreground: bool = False
    foreground_dilate_px: int = 0
    levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    max_regions: int = 64
    tiles: TileParams | None = None
    patch: Patch | None = None
    gate: EntropyGate | None = None
    loss: str = ""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the network's inputs, in order."""
        return MODALITIES[self.preprocess.modalities]


def resolve(bundle: Bundle, station: Station, *, require_threshold: bool = True) -> Settings:
    """The settings of a bundle at a station.

    Raises ThresholdError where the threshold is missing (unless `require_threshold` is False) or would pass or reject
    everything, ConfigError where the station's region or mask does not fit the camera, the bundle's mask or its tiles.
    """
    m = bundle.manifest
    params = _params(m, station)
    tiles = None if m.tiles is None else m.tiles.to_params()
    if tiles is not None:
        lay_tiles(params.size, tiles)
    frame_size = None if m.camera is None else (m.camera.height, m.camera.width)
    if params.roi is not None and frame_size is not None:
        x, y, width, height = params.roi
        if x + width > frame_size[1] or y + height > frame_size[0]:
            raise ConfigError(f"roi {params.roi} must lie inside the camera's {frame_size[1]}x{frame_size[0]} pixels")
    of_bundle = bundle.ignore_mask()
    if of_bundle is not None and params.roi != m.preprocess.roi:
        raise ConfigError(
            f"roi {params.roi} differs from the bundle's {m.preprocess.roi}, and the bundle's ignore mask is drawn for "
            "that one: it would hide other places; leave roi out, or export the bundle without an ignore mask"
        )
    ignore = _ignore(of_bundle, station.ignore_mask, params, frame_size)
    limits = Limits(
        min_valid_depth=m.validity.min_valid_depth, depth_range_m=m.validity.depth_range_m,
        max_age_ms=m.validity.max_age_ms, deadline_ms=m.validity.deadline_ms, min_mean=m.validity.exposure.min_mean,
        max_mean=m.validity.exposure.max_mean, min_std=m.validity.exposure.min_std,
    )
    return Settings(
        preprocess=params,
        threshold=_threshold(bundle, station, params.size, ignore, require_threshold),
        kernel=m.postprocess.kernel,
        limits=station.limits(limits),
        camera=CameraBinding() if m.camera is None else
        CameraBinding(frame_size, m.camera.serial, m.camera.calibration_id),
        ignore=ignore,
        mask_to_foreground=m.postprocess.mask_to_foreground,
        foreground_dilate_px=m.postprocess.foreground_dilate_px,
        levels=_levels(m.attribution),
        tiles=tiles,
        patch=_patch(station, frame_size),
        gate=None if m.gate is None else m.gate.to_params(),
    )


def highest_score(size: tuple[int, int], kernel: int, ignore: Mask | None = None) -> float:
    """The score of a map that is 1 wherever it may be scored: no part can score higher.

    size: (h, w) of the map; kernel: side of its box mean, which counts ignored pixels and those outside as 0; ignore:
    (h, w) bool. 0 where everything is ignored.
    """
    scored = np.ones(size, np.float32) if ignore is None else np.logical_not(ignore).astype(np.float32)
    mean = cv2.boxFilter(scored, cv2.CV_32F, (kernel, kernel), borderType=cv2.BORDER_CONSTANT)
    return float((mean * scored).max())


def _params(manifest: Manifest, station: Station) -> PreprocessParams:
    """The bundle's, with the station's region. Tiles keep their scale: another region makes another image size."""
    params = manifest.preprocess.to_params()
    if station.roi is None:
        return params
    size = params.size
    if manifest.tiles is not None and manifest.region_size is not None:
        rows, cols = manifest.region_size
        size = (max(1, round(size[0] / rows * station.roi[3])), max(1, round(size[1] / cols * station.roi[2])))
    return replace(params, roi=station.roi, size=size)


def _threshold(
    bundle: Bundle, station: Station, size: tuple[int, int], ignore: Mask | None, required: bool
) -> float | None:
    from rasant.bundle.manifest import check_threshold

    threshold = station.threshold if station.threshold is not None else bundle.manifest.decision.threshold
    if threshold is not None:
        check_threshold(threshold, bundle.manifest.postprocess.score_range)
        highest = highest_score(size, bundle.manifest.postprocess.kernel, ignore)
        if threshold >= highest:
            raise ThresholdError(
                f"{threshold} would pass everything: with this map size, kernel and ignore mask a score reaches at "
                f"most {highest:.4g}; choose a smaller threshold or ignore less"
            )
        return threshold
    if not required:
        return None
    name = bundle.name or "BUNDLE"
    raise ThresholdError(
        f"{name} has no threshold, so it cannot decide; run: rasant calibrate threshold {name} SOURCE_OF_GOOD_PARTS"
    )


def _patch(station: Station, frame_size: tuple[int, int] | None) -> Patch | None:
    """The station's patch, inside the camera's picture where its size is known."""
    if station.patch is None:
        return None
    x, y, width, height = station.patch.box
    if frame_size is not None and (x + width > frame_size[1] or y + height > frame_size[0]):
        inside = f"{frame_size[1]}x{frame_size[0]} pixels"
        raise ConfigError(f"patch.box {station.patch.box} must lie inside the camera's {inside}")
    return station.patch.patch


def _levels(attribution: Attribution) -> dict[str, tuple[float, float]]:
    found = {"color": attribution.color, "depth": attribution.depth}
    return {name: (level.mean, level.std) for name, level in found.items() if level is not None}


def _ignore(
    of_bundle: Mask | None, file: str | None, params: PreprocessParams, frame_size: tuple[int, int] | None
) -> Mask | None:
    """Both masks together, at network resolution."""
    if file is None:
        mask = of_bundle
    else:
        of_station = _station_mask(file, params, frame_size)
        mask = of_station if of_bundle is None else of_station | of_bundle
    if mask is not None and bool(mask.all()):
        raise ConfigError(f"ignore_mask {file or 'of the bundle'} leaves nothing to inspect; it would pass everything")
    return mask


def _station_mask(file: str, params: PreprocessParams, frame_size: tuple[int, int] | None) -> Mask:
    from rasant.recording.image_file import decode_mask, read_bytes

    try:
        mask = decode_mask(read_bytes(Path(file)), file)
    except FrameError as error:
        raise ConfigError(f"ignore_mask: {error}") from error
    if mask.shape == params.size and (frame_size is None or mask.shape != frame_size or params.roi is None):
        return mask
    if frame_size is None or mask.shape != frame_size:
        wanted = f"{params.size}" if frame_size is None else f"{frame_size} (frame) or {params.size} (network)"
        raise ConfigError(f"ignore_mask {file} must be {wanted} (rows, cols), got {mask.shape}")
    if params.roi is not None:
        x, y, width, height = params.roi
        mask = mask[y : y + height, x : x + width]
    share = cv2.resize(mask.astype(np.float32), params.size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0.999, np.bool_)  # ignored only where every frame pixel is
