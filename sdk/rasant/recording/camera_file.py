# SPDX-License-Identifier: Apache-2.0
"""`camera.json`: the pinhole camera of a folder of frames, and the metres of one depth count.

    {"width": 640, "height": 480, "fx": 525.0, "fy": 525.0, "cx": 319.5, "cy": 239.5,
     "distortion_model": "none", "distortion": [], "depth_scale": 0.001}

Optional: `note` (free text), `serial`, `calibration_id`. Any other key is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rasant.errors import ConfigError
from rasant.types import Intrinsics

__all__ = ["DISTORTION_LENGTHS", "CameraFile", "Lens", "read_camera", "read_json"]

MAX_JSON_BYTES = 1 << 20
DISTORTION_LENGTHS: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "brown_conrady": (4, 5),
    "inverse_brown_conrady": (5,),
    "modified_brown_conrady": (5,),
    "rational": (8, 12, 14),
    "kannala_brandt4": (4,),
    "ftheta": (1,),
}
"""How many coefficients each distortion model takes, in OpenCV's order."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=1, le=65535)]


class Lens(BaseModel):
    """A pinhole camera with distortion, or a projector, its reverse. Pixels; an integer is a pixel centre."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    width: _Side
    height: _Side
    fx: _Positive
    fy: _Positive
    cx: _Finite
    cy: _Finite
    distortion_model: str = "none"
    distortion: tuple[_Finite, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check_distortion(self) -> Lens:
        lengths = DISTORTION_LENGTHS.get(self.distortion_model)
        if lengths is None:
            known = ", ".join(DISTORTION_LENGTHS)
            raise ValueError(f"distortion_model {self.distortion_model!r} is not one of {known}")
        if len(self.distortion) not in lengths:
            wanted = " or ".join(map(str, lengths))
            raise ValueError(f"{self.distortion_model} takes {wanted} coefficients, got {len(self.distortion)}")
        return self

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera as the rest of rasant takes it."""
        return Intrinsics(
            self.width, self.height, self.fx, self.fy, self.cx, self.cy, self.distortion_model, tuple(self.distortion)
        )


class CameraFile(Lens):
    """The strict schema of `camera.json`."""

    depth_scale: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    serial: str = ""
    calibration_id: str = ""
    note: str = ""


def read_camera(path: Path) -> CameraFile:
    """Read and check a `camera.json`. Raises ConfigError that names the file and the key."""
    try:
        return CameraFile.model_validate(read_json(path))
    except ValidationError as error:
        faults = ((".".join(map(str, e["loc"])) or "file", e["msg"], e["input"]) for e in error.errors())
        lines = [f"{key}: {message} (got {value!r:.60})" for key, message, value in faults]
        raise ConfigError(f"{path}: {'; '.join(lines)}") from error


def read_json(path: Path) -> Any:
    """Parse a small JSON file; duplicate keys, NaN and Infinity are refused. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_JSON_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; it must give the camera (see docs/guide/sources.md)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return dict(pairs)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")
