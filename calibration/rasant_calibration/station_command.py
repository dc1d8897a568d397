# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate depth` and `check`: figures of a station's depth, and whether it is still what it was."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from rasant.errors import ConfigError
from rasant.ops.depth import to_metres
from rasant.types import Frame, Reason
from rasant_calibration import pictures
from rasant_calibration.board import parse_board
from rasant_calibration.calibration_writer import existing, put
from rasant_calibration.depth_quality import Box, DepthQuality, FittedPlane, measure_depth, true_plane
from rasant_calibration.drift_check import Observation, compare, observe, outlines, require_same_camera
from rasant_calibration.input_pictures import frames_of
from rasant_calibration.limits import Check, read_limits
from rasant_calibration.outcome import LIMIT, LIMITS, REPORT, Outcome
from rasant_calibration.report import Section

__all__ = ["check", "depth"]

FRAMES = Annotated[int, typer.Option("--frames", min=1, max=200, help="Frames to look at.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def depth(
    source: Annotated[str, typer.Argument(help="A source that looks at a flat target.")],
    distance: Annotated[
        float | None, typer.Option("--distance", help="True metres from the camera's centre to the target's plane.")
    ] = None,
    board: Annotated[str, typer.Option("--board", help="Take the truth from this board in the colour picture.")] = "",
    baseline: Annotated[float | None, typer.Option("--baseline", help="Metres, of a stereo camera.")] = None,
    roi: Annotated[str, typer.Option("--roi", help="X,Y,WIDTH,HEIGHT; else the middle 40 % of either side.")] = "",
    frames: FRAMES = 10,
    output: Annotated[Path | None, typer.Option("-o", "--out", help="Keep the figures in this file.")] = None,
    limits: LIMITS = None,
    limit: LIMIT = None,
    report: REPORT = None,
    as_json: JSON = False,
) -> None:
    """Measure a depth camera on a plane: fill rate, plane RMS, sub-pixel RMS, Z error, temporal noise, tilt.

    As librealsense, Basler and Orbbec define them. Exit code 1 where a limit is not kept.

    Example: rasant calibrate depth folder:wall --distance 0.600 --limit max_z_error=0.01 --report depth.html
    """
    if distance is not None and board:
        raise ConfigError("--distance and --board both state the truth; give one of them")
    kept = read_limits(limits, "depth", limit or ())
    seen = list(frames_of(source, frames))
    if not seen or any(frame.depth is None for frame in seen):
        raise ConfigError(f"{source}: expected frames with depth, got {len(seen)} frames")
    camera = seen[0].intrinsics
    base = existing(output)
    if output is not None and base is None:
        raise ConfigError(f"{output} does not exist; depth adds its figures to a calibration file")
    if base is not None:
        require_same_camera(seen[0], base)
    truth: Any = distance
    if board:
        plan = parse_board(board)
        if seen[0].color is None:
            raise ConfigError(f"{source} has no colour, so its board cannot be seen")
        truth = true_plane(plan.detect(seen[0].color, seen[0].name), plan, camera)
    depths = [_metres(frame) for frame in seen]
    found, plane = measure_depth(depths, camera, roi=_box(roi), truth=truth, baseline_m=baseline)
    outcome = Outcome("Depth quality", found.checks(kept.depth), [_depth_section(seen[-1], found, plane)], board)
    if outcome.ok and output is not None:
        outcome.written = put(output, base, depth_quality=found.as_numbers())
    outcome.finish(output, report, as_json, {"depth_quality": asdict(found)})


def check(
    source: Annotated[str, typer.Argument(help="The station's source, at work.")],
    calibration: Annotated[Path, typer.Option("--calibration", help="The station's calibration file.")],
    frames: FRAMES = 10,
    tile: Annotated[str, typer.Option("--tile", help="X,Y,WIDTH,HEIGHT of a flat tile in view, for --store.")] = "",
    store: Annotated[bool, typer.Option("--store", help="The station is good: keep this as reference.")] = False,
    limits: LIMITS = None,
    limit: LIMIT = None,
    report: REPORT = None,
    as_json: JSON = False,
) -> None:
    """See from its own frames whether a station drifted: depth off colour, fill rate, noise, reference tile.

    Once with --store when the station is known to be good, then as often as you like. Exit code 1 where it drifted.

    Example: rasant calibrate check realsense --calibration cell.json --frames 30 --json
    """
    kept = read_limits(limits, "check", limit or ())
    base = existing(calibration)
    if base is None:
        raise ConfigError(f"{calibration} does not exist; make it with: rasant calibrate camera")
    if base.drift_reference is None and not store:
        raise ConfigError(f"{calibration} has no reference yet; run check with --store while the station is good")
    if tile and not store:
        raise ConfigError("--tile belongs to --store; a check looks at the tile of the reference")
    seen = list(frames_of(source, frames))
    for frame in seen:
        require_same_camera(frame, base)
    reference = None if store else base.drift_reference
    now = observe(seen, _box(tile) if reference is None else reference.tile)
    checks = _figures(now) if reference is None else compare(now, reference, kept.check)
    outcome = Outcome("Drift", checks, [_drift_section(seen[-1], now)])
    if store:
        if tile and now.figures.tile_depth_m is None:
            raise ConfigError(f"the tile {tile} has hardly any depth; choose a flat, matt place that the camera sees")
        outcome.written = put(calibration, base, drift_reference=now.figures)
    details = {
        "reason": None if outcome.ok else Reason.CALIBRATION.value, "fill_trend": now.fill_trend,
        "figures": now.figures.model_dump(mode="json"), "against": base.id,
    }  # fmt: skip
    outcome.finish(calibration if store else None, report, as_json, details)


def _figures(now: Observation) -> list[Check]:
    """For information, without limits."""
    seen = now.figures
    shift = None if seen.shift_px is None else float(np.hypot(*seen.shift_px))
    return [
        Check("depth off colour", shift, "px"), Check("fill rate", seen.fill_rate),
        Check("temporal noise", seen.temporal_noise),
        Check("tile distance", None if seen.tile_depth_m is None else 1e3 * seen.tile_depth_m, "mm"),
        Check("tile tilt", seen.tile_tilt_deg, "deg"),
    ]  # fmt: skip


def _depth_section(frame: Frame, found: DepthQuality, plane: FittedPlane) -> Section:
    x, y, width, height = found.roi
    picture = frame.color if frame.color is not None else np.zeros((*frame.size, 3), np.uint8)
    note = (
        f"{found.frames} frames, region {width}x{height} at ({x}, {y}), distance {1e3 * found.depth_m:.1f} mm, plane "
        f"RMS {1e3 * found.plane_rms_m:.3f} mm."
    )
    large = [
        ("Region of interest", pictures.boxed(picture, found.roi)),
        ("Depth minus plane: nearer blue, farther red", pictures.plane_residuals(plane.residual_m)),
    ]
    return Section("Plane", note, large)


def _drift_section(frame: Frame, now: Observation) -> Section:
    large = []
    if frame.color is not None:
        large.append(("Outlines of depth on colour", pictures.edges_on(frame.color, outlines(_metres(frame)))))
        if now.figures.tile is not None:
            large.append(("Reference tile", pictures.boxed(frame.color, now.figures.tile)))
    if now.correlation is not None:
        large.append(("Agreement of outlines, the cross is no shift", pictures.peak(now.correlation)))
    return Section("What was seen", f"{now.figures.frames} frames.", large)


def _metres(frame: Frame) -> Any:
    assert frame.depth is not None
    return to_metres(frame.depth, frame.depth_scale)


def _box(text: str) -> Box | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"a region is X,Y,WIDTH,HEIGHT in pixels, got {text!r}")
    x, y, width, height = (int(part) for part in parts)
    return x, y, width, height
