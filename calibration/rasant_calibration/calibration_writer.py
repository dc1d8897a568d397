# SPDX-License-Identifier: Apache-2.0
"""How the calibration file grows: each step replaces its parts, and drops what was measured through the old ones."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from rasant.calibration_file import Calibration, read_calibration, write_calibration
from rasant.config_file import validate
from rasant.errors import ConfigError

__all__ = ["existing", "put"]

_RESTS_ON = {
    "color": ("color_from_depth", "projector_from_color", "depth_quality", "drift_reference"),
    "depth": ("color_from_depth", "depth_quality", "drift_reference"),
    "projector": ("projector_from_color", "depth_quality", "drift_reference"),
    "color_from_depth": ("depth_quality", "drift_reference"),
    "projector_from_color": ("depth_quality", "drift_reference"),
}


def existing(path: Path | None) -> Calibration | None:
    """The file that is there, or None. Raises ConfigError where it cannot be read."""
    return read_calibration(path) if path is not None and path.exists() else None


def put(path: Path, base: Calibration | None, *, serial: str = "", **parts: Any) -> Calibration:
    """Write `base` with these parts; returns what a reader gets.

    What rests on a replaced part and is not given anew is dropped: it was measured with the old one. Raises ConfigError
    where `base` is of another serial, or the parts do not fit together.
    """
    values: dict[str, Any] = {} if base is None else {name: getattr(base, name) for name in type(base).model_fields}
    if serial and values.get("serial") and values["serial"] != serial:
        raise ConfigError(f"{path} is of camera {values['serial']!r}, not of {serial!r}; write to another file")
    for name in parts:
        for rests in _RESTS_ON.get(name, ()):
            values.pop(rests, None)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    values.update(parts, created=now, sha256="", serial=serial or values.get("serial", ""))
    return write_calibration(path, validate(values, Calibration, str(path)))
