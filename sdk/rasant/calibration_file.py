# SPDX-License-Identifier: Apache-2.0
"""The calibration file: one JSON file for the geometry of a station, how well it is known, and what it was like then.

    {"schema_version": 1, "created": "2026-05-04T09:30:00Z", "serial": "031422250347", "note": "",
     "color": {"width": 1280, "height": 720, "fx": 911.2, ..., "fit": {"rms_px": 0.21, "views": 18, ...}},
     "depth": {...}, "projector": {...},
     "color_from_depth": {"rotation": [[...], [...], [...]], "translation_m": [0.0151, 0.0002, 0.0004], "rms_px": 0.22},
     "projector_from_color": {...}, "depth_quality": {...}, "drift_reference": {...}, "sha256": "..."}

Every part but version, date and one lens is optional. `rasant calibrate` writes it, sources read it.
`Calibration.id` is what frames, bundles and verdicts call `calibration_id`: the head of a hash of serial, lenses and
motions. Any change of those is another calibration; new quality figures or a new reference of the same geometry are
not. `sha256` is of everything: where it does not fit, the file was damaged or edited.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from rasant.bundle.schema import Name, Ratio, Sha256, Strict, Text, sorted_keys
from rasant.bundle.writer import write_atomically
from rasant.config_file import read_config
from rasant.errors import ConfigError
from rasant.recording.camera_file import Lens

__all__ = ["Calibration", "DriftReference", "Fit", "FittedLens", "Motion", "read_calibration", "write_calibration"]

Matrix = npt.NDArray[np.float64]
ID_LENGTH = 16
GEOMETRY = {"serial", "color", "depth", "projector", "color_from_depth", "projector_from_color"}
ORTHONORMAL = 1e-6  # of R R^T - I

_Row = Annotated[tuple[float, float, float], Field(strict=False)]
_Rows = Annotated[tuple[_Row, _Row, _Row], Field(strict=False)]
_Pair = Annotated[tuple[float, float], Field(strict=False)]
_Box = Annotated[tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt], Field(strict=False)]


class Fit(Strict):
    """How well a lens is known.

    rms_px: reprojection error of all corners that were used; view_rms_px: of each view that was used; coverage: share
    of the image in which corners lay; focal_std_px, center_std_px: standard deviations by the fit's own covariance.
    """

    rms_px: NonNegativeFloat
    views: PositiveInt
    views_rejected: NonNegativeInt = 0
    corners: PositiveInt
    corners_rejected: NonNegativeInt = 0
    coverage: Ratio
    focal_std_px: _Pair | None = None
    center_std_px: _Pair | None = None
    view_rms_px: Annotated[tuple[NonNegativeFloat, ...], Field(strict=False)] = ()


class FittedLens(Lens):
    """A lens, and how it was fitted; without `fit` the numbers are those that the device or its maker states."""

    fit: Fit | None = None


class Motion(Strict):
    """A rigid motion between two devices: there = rotation here + translation_m.

    rms_px: reprojection error of the fit that found it; None where the device states it.
    """

    rotation: _Rows
    translation_m: _Row
    rms_px: NonNegativeFloat | None = None

    @field_validator("rotation")
    @classmethod
    def _is_a_rotation(cls, value: _Rows) -> _Rows:
        matrix = np.array(value)
        if np.abs(matrix @ matrix.T - np.eye(3)).max() > ORTHONORMAL or np.linalg.det(matrix) < 0:
            raise ValueError("rotation must be orthonormal with determinant +1; check its layout, rows first")
        return value

    @property
    def matrix(self) -> Matrix:
        """(4, 4) float64, [R | t] over [0 0 0 1], as `rasant.ops.align.AlignPlan` takes it."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation_m
        return matrix

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike, rms_px: float | None = None) -> Motion:
        """From (3, 4) or (4, 4), metres."""
        values = np.asarray(matrix, np.float64)
        rows = [tuple(row) for row in values[:3, :3].tolist()]
        return cls(rotation=(rows[0], rows[1], rows[2]), translation_m=tuple(values[:3, 3].tolist()), rms_px=rms_px)


class DriftReference(Strict):
    """What a station looked like when it was known to be good; `rasant calibrate check` compares with it.

    shift_px: (x, y) by which depth edges lie off colour edges; fill_rate: share of pixels with depth; temporal_noise:
    median over pixels of the standard deviation over frames, as a share of depth.
    tile: (x, y, width, height) of a flat reference tile in the frame; tile_depth_m, tile_tilt_deg, tile_rms_m: its
    distance along the optical axis, the angle of its normal to that axis, and the plane's RMS.
    """

    frames: PositiveInt
    shift_px: _Pair | None = None
    fill_rate: Ratio
    temporal_noise: NonNegativeFloat | None = None
    tile: _Box | None = None
    tile_depth_m: PositiveFloat | None = None
    tile_tilt_deg: NonNegativeFloat | None = None
    tile_rms_m: NonNegativeFloat | None = None


class Calibration(Strict):
    """The geometry of a station. Metres, pixels; an integer coordinate is a pixel centre.

    color: the camera whose pixels a frame has, grey or colour; depth: the depth imager where that is another one;
    projector: of structured light, its pixels as a picture is sent to it.
    color_from_depth, projector_from_color: motions between them.
    depth_quality: figures of `rasant calibrate depth`. created: UTC, ISO 8601. sha256: of the content; "" when written
    by hand.
    """

    schema_version: Literal[1] = 1
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    serial: Text = ""
    note: Text = ""
    color: FittedLens | None = None
    depth: FittedLens | None = None
    projector: FittedLens | None = None
    color_from_depth: Motion | None = None
    projector_from_color: Motion | None = None
    depth_quality: dict[Name, float] = Field(default_factory=dict)
    drift_reference: DriftReference | None = None
    sha256: Sha256 | Literal[""] = ""

    _sorted = field_validator("depth_quality")(sorted_keys)

    @model_validator(mode="after")
    def _consistent(self) -> Calibration:
        if self.color is None and self.depth is None and self.projector is None:
            raise ValueError("a calibration needs at least one lens: color, depth or projector")
        for name in ("color_from_depth", "projector_from_color"):
            there, here = name.split("_from_")
            if getattr(self, name) is not None and (getattr(self, there) is None or getattr(self, here) is None):
                raise ValueError(f"{name} needs the lenses {there} and {here}")
        if self.sha256 and self.sha256 != self.digest():
            raise ValueError(
                f"sha256 begins with {self.sha256[:8]}, but that of the content with {self.digest()[:8]}: the file was "
                "edited or damaged; calibrate again, or remove sha256 to vouch for the content"
            )
        return self

    def digest(self) -> str:
        """SHA-256 of the content, whatever its layout in the file."""
        return self._hash(exclude={"sha256"})

    @property
    def id(self) -> str:
        """What frames, bundles and verdicts call `calibration_id`: 16 hex digits of the hash of the geometry."""
        return self._hash(include=GEOMETRY)[:ID_LENGTH]

    def _hash(self, **which: set[str]) -> str:
        # Without defaults, so that a field of a later version leaves the hash of older files as it is.
        content = self.model_dump(mode="json", exclude_defaults=True, **which)  # type: ignore[arg-type]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def need(self, part: str) -> Any:
        """A part that a caller cannot do without. Raises ConfigError that names the command which makes it."""
        value = getattr(self, part)
        if value is None:
            made_by = {"projector": "projector", "projector_from_color": "projector", "color": "camera"}
            raise ConfigError(
                f"calibration {self.id} has no {part}; make it with: rasant calibrate {made_by.get(part, 'rgbd')}"
            )
        return value


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read and check a calibration file.

    Raises ConfigError that names the file and the key: an unknown key, a number that is none, a negative focal length,
    coefficients that do not fit the lens model, a rotation that is none, a hash that does not fit.
    """
    return read_config(Path(path), Calibration)


def write_calibration(path: str | os.PathLike[str], calibration: Calibration) -> Calibration:
    """Write a file with its hash, whole or not at all; returns what a reader gets."""
    sealed = calibration.model_copy(update={"sha256": calibration.digest()})
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, (sealed.model_dump_json(indent=2, exclude_none=True) + "\n").encode())
    return sealed
