# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate bind`: a bundle that accepts frames of one calibrated camera only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import rasant
from rasant.bundle.manifest import Camera
from rasant.calibration_file import Calibration, read_calibration

__all__ = ["FILE", "bind", "bound"]

FILE = "calibration.json"


def bound(bundle: rasant.Bundle, calibration: Calibration, text: bytes) -> tuple[rasant.Manifest, dict[str, bytes]]:
    """Manifest and files of the bundle that carries a calibration and asks for its serial, resolution and id.

    text: the calibration's file. Raises ConfigError for one without the lens whose pixels frames have, or of another
    resolution than the bundle was trained for.
    """
    lens = calibration.color or calibration.need("depth")
    old = bundle.manifest.camera
    if old is not None and (old.width, old.height) != (lens.width, lens.height):
        raise rasant.ConfigError(
            f"the bundle is for {old.width}x{old.height} pixels, the calibration for {lens.width}x{lens.height}"
        )
    camera = Camera(
        width=lens.width, height=lens.height, serial=calibration.serial or None, calibration_id=calibration.id
    )
    return bundle.manifest.model_copy(update={"camera": camera}), {**bundle.files, FILE: text}


def bind(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant).")],
    calibration: Annotated[Path, typer.Argument(help="The station's calibration file.")],
    output: Annotated[Path, typer.Option("-o", "--out", help="Where to write the bound bundle.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bind a bundle to a calibrated camera: frames of another serial or calibration become UNKNOWN with E_CALIB.

    Example: rasant calibrate bind bracket.rasant cell.json -o bracket-cell.rasant
    """
    known = read_calibration(calibration)
    manifest, files = bound(rasant.read_bundle(bundle), known, calibration.read_bytes())
    rasant.write_bundle(output, manifest, files)
    if as_json:
        typer.echo(json.dumps({"calibration_id": known.id, "serial": known.serial or None, "output": str(output)}))
    else:
        typer.echo(f"written: {output}, bound to calibration {known.id}, serial {known.serial or 'any'}")
