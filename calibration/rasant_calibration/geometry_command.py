# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate camera`, `rgbd` and `projector`: pictures of a board in, a calibration file out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from rasant.calibration_file import FittedLens
from rasant.errors import ConfigError
from rasant_calibration.board import Board, View, parse_board
from rasant_calibration.calibration_writer import existing, put
from rasant_calibration.camera import MODELS, CameraFit, calibrate_camera
from rasant_calibration.input_pictures import pictures_of
from rasant_calibration.limits import read_limits
from rasant_calibration.outcome import LIMIT, LIMITS, REPORT, Outcome
from rasant_calibration.pair import PairFit, calibrate_pair
from rasant_calibration.pictures import corners
from rasant_calibration.projector import ProjectorFit, calibrate_projector
from rasant_calibration.report import camera_section, pair_section

__all__ = ["camera", "projector", "rgbd"]

Picture = npt.NDArray[np.uint8]
BOARD = Annotated[str, typer.Option("--board", help="charuco:11x8:0.020:0.015 or chessboard:10x8:0.025, in metres.")]
OUTPUT = Annotated[Path, typer.Option("-o", "--out", help="The calibration file; its other parts are kept.")]
SERIAL = Annotated[str, typer.Option("--serial", help="Of the camera; frames of another one are refused.")]
MODEL = Annotated[str, typer.Option("--model", help=f"auto, or {', '.join(MODELS)}.")]
KEEP = Annotated[bool, typer.Option("--keep-views", help="Reject no view, whatever it looks like.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def camera(
    pictures: Annotated[str, typer.Argument(help="Pictures of the board: a folder, or a source.")],
    board: BOARD,
    output: OUTPUT,
    part: Annotated[str, typer.Option("--part", help="Which lens it is: color or depth (its infrared).")] = "color",
    serial: SERIAL = "",
    model: MODEL = "auto",
    keep_views: KEEP = False,
    limits: LIMITS = None,
    limit: LIMIT = None,
    report: REPORT = None,
    as_json: JSON = False,
) -> None:
    """Fit a lens to pictures of a board: 15 or more, leaning every way, the corners of the image covered too.

    Exit code 1, and no file, where the fit does not keep its limits.

    Example: rasant calibrate camera shots --board charuco:11x8:0.020:0.015 -o cell.json --report camera.html
    """
    if part not in ("color", "depth"):
        raise ConfigError(f"--part must be color or depth, got {part!r}")
    kept = read_limits(limits, "camera", limit or ())
    plan, images = parse_board(board), pictures_of(pictures)
    fit = calibrate_camera(_views(plan, images), plan, _size(images), model=model, reject=not keep_views)
    outcome = Outcome(f"Lens: {part}", fit.checks(kept.camera), [camera_section(part, fit, images)], str(plan))
    if outcome.ok:
        outcome.written = put(output, existing(output), serial=serial, **{part: fit.lens})
    outcome.finish(output, report, as_json, {part: _camera_json(fit)})


def rgbd(
    color: Annotated[str, typer.Argument(help="Pictures of the board by the colour camera: a folder, or a source.")],
    depth: Annotated[str, typer.Argument(help="Infrared pictures of the same moments, of the same names.")],
    board: BOARD,
    output: Annotated[Path, typer.Option("-o", "--out", help="The calibration file, with lenses color and depth.")],
    keep_views: KEEP = False,
    limits: LIMITS = None,
    limit: LIMIT = None,
    report: REPORT = None,
    as_json: JSON = False,
) -> None:
    """Find where the depth imager stands to the colour camera, through lenses that stay as they are.

    Switch the pattern projector off for the infrared pictures, and light the board evenly.

    Example: rasant calibrate rgbd shots/color shots/ir --board charuco:11x8:0.020:0.015 -o cell.json
    """
    kept = read_limits(limits, "pair", limit or ())
    base = existing(output)
    if base is None or base.color is None or base.depth is None:
        raise ConfigError(f"{output} must hold the lenses color and depth; run rasant calibrate camera for both")
    plan = parse_board(board)
    if plan.symmetric:
        raise ConfigError(f"{plan} looks the same after half a turn; two cameras need a ChArUco board to agree")
    images = _fitting(color, base.color), _fitting(depth, base.depth)
    views = _views(plan, images[0]), _views(plan, images[1])
    fit = calibrate_pair(
        views[1], views[0], plan, base.depth.intrinsics, base.color.intrinsics, reject=not keep_views
    )
    shown = [(f"{view.name}: {side}", corners(of_side[view.name], view, view.name in fit.names))
             for side, seen, of_side in zip(("colour", "infrared"), views, images, strict=True)
             for view in seen if view.name in (*fit.names, *fit.rejected)]  # fmt: skip
    section = pair_section("Depth to colour", fit, "depth imager", "colour camera", sorted(shown, key=lambda s: s[0]))
    outcome = Outcome("Depth to colour", fit.checks(kept.pair), [section], str(plan))
    if outcome.ok:
        outcome.written = put(output, base, color_from_depth=fit.motion)
    outcome.finish(output, report, as_json, {"color_from_depth": _pair_json(fit)})


def projector(
    captures: Annotated[Path, typer.Argument(help="A folder with patterns.json and one folder of captures per pose.")],
    board: BOARD,
    output: OUTPUT,
    size: Annotated[str, typer.Option("--projector", help="COLUMNSxROWS, where there is no patterns.json.")] = "",
    fit_camera: Annotated[bool, typer.Option("--fit-camera", help="Fit the camera's lens to them too.")] = False,
    serial: SERIAL = "",
    model: MODEL = "auto",
    keep_views: KEEP = False,
    limits: LIMITS = None,
    limit: LIMIT = None,
    report: REPORT = None,
    as_json: JSON = False,
) -> None:
    """Calibrate a projector, and where it stands to the camera, from structured light on a board.

    Needs the camera's lens in the file, or --fit-camera. The patterns must code both axes: rasant patterns.

    Example: rasant calibrate projector poses --board chessboard:10x8:0.025 -o cell.json
    """
    from rasant_calibration.lit_captures import read_poses, sequence_of

    kept = read_limits(limits, "camera", limit or ())
    base = existing(output)
    lens = base.color if base is not None and not fit_camera else None
    if lens is None and not fit_camera:
        raise ConfigError(f"{output} holds no lens color; run rasant calibrate camera first, or add --fit-camera")
    plan, sequence = parse_board(board), sequence_of(captures, _rows_columns(size) if size else None)
    poses = read_poses(captures, plan, sequence)
    fit = calibrate_projector([pose.lit for pose in poses], plan, (sequence.height, sequence.width), camera=lens,
                              model=model, reject=not keep_views)  # fmt: skip
    images = {pose.lit.view.name: pose.picture for pose in poses}
    sections = [] if fit.camera is None else [camera_section("camera", fit.camera, images)]
    sections += [camera_section("projector", fit.projector, {}),
                 pair_section("Projector to camera", fit.pair, "camera", "projector")]  # fmt: skip
    outcome = Outcome("Projector", fit.checks(kept), sections, str(plan))
    if outcome.ok:
        parts: dict[str, Any] = {} if fit.camera is None else {"color": fit.camera.lens}
        outcome.written = put(output, base, serial=serial, projector=fit.projector.lens,
                              projector_from_color=fit.pair.motion, **parts)  # fmt: skip
    outcome.finish(output, report, as_json, _projector_json(fit))


def _views(board: Board, images: dict[str, Picture]) -> list[View]:
    return [board.detect(image, name) for name, image in images.items()]


def _fitting(where: str, lens: FittedLens) -> dict[str, Picture]:
    """Pictures of the size that a lens is for."""
    images = pictures_of(where)
    if _size(images) != (lens.height, lens.width):
        rows, columns = _size(images)
        raise ConfigError(f"{where}: pictures are {columns}x{rows}, the lens is for {lens.width}x{lens.height}")
    return images


def _size(images: dict[str, Picture]) -> tuple[int, int]:
    rows, columns = next(iter(images.values())).shape[:2]
    return rows, columns


def _rows_columns(text: str) -> tuple[int, int]:
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and int(columns) and int(rows)):
        raise ConfigError(f"a size is COLUMNSxROWS in pixels, e.g. 1280x800, got {text!r}")
    return int(rows), int(columns)


def _camera_json(fit: CameraFit) -> dict[str, Any]:
    return {
        "lens": fit.lens.model_dump(mode="json"), "model": fit.model, "predicted_px": fit.predicted_px,
        "views": [view.name for view in fit.views], "rejected": [view.name for view in fit.rejected],
        "skipped": list(fit.skipped), "coverage": fit.coverage.tolist(),
    }  # fmt: skip


def _pair_json(fit: PairFit) -> dict[str, Any]:
    return {
        "motion": fit.motion.model_dump(mode="json"), "corners": fit.corners, "rejected": list(fit.rejected),
        "skipped": list(fit.skipped), "view_rms_px": dict(zip(fit.names, fit.view_rms_px.tolist(), strict=True)),
    }  # fmt: skip


def _projector_json(fit: ProjectorFit) -> dict[str, Any]:
    named = {} if fit.camera is None else {"color": _camera_json(fit.camera)}
    return {**named, "projector": _camera_json(fit.projector), "projector_from_color": _pair_json(fit.pair)}
