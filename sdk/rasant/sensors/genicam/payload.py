# SPDX-License-Identifier: Apache-2.0
"""From one delivery of a GenICam 3-D camera to images: parts, coordinates, units, what is invalid. Pure functions.

Sources: GenICam SFNC 2.7, chapter "3D Scan Control"; PFNC. A camera says in features, or in chunks that come with a
frame, what its numbers mean: metres = (number * scale + offset) * unit; a number equal to the invalid value was not
measured; a disparity d, in pixels, is at focal length * baseline / d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameError
from rasant.sensors.pixel_formats import parse_format, to_array, to_rgb

__all__ = ["Axis", "Features", "Images", "Part", "Placement", "Scan3d", "decode", "read_scan3d"]

UNITS = {"Millimeter": 1e-3, "Inch": 0.0254, "Meter": 1.0}
GRIDS = ("CalibratedABC_Grid", "CalibratedC", "ProjectedC", "RectifiedC", "DisparityC")  # images, not profiles
Pixels = npt.NDArray[Any]


class Features(Protocol):
    """The features of a device by their SFNC names."""

    def get(self, name: str) -> Any:
        """The value, or None where there is no such feature or it cannot be read in this state."""

    def select(self, name: str, value: str) -> bool:
        """Set a selector; False where it is not there or has no such entry."""


@dataclass(frozen=True, slots=True)
class Part:
    """One image of a delivery. form: its PFNC name; data: (n,) uint8; padding: bytes after each row."""

    form: str
    width: int
    height: int
    data: npt.NDArray[np.uint8]
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """What the numbers of a coordinate mean; `invalid` marks what was not measured (besides NaN)."""

    scale: float = 1.0
    offset: float = 0.0
    invalid: float | None = None


@dataclass(frozen=True, slots=True)
class Scan3d:
    """What a camera says of its coordinates. focal: (fx, fy, cx, cy) in pixels; mode is empty where it says nothing."""

    mode: str = ""
    unit_m: float = 1e-3
    axes: tuple[Axis, Axis, Axis] = (Axis(), Axis(), Axis())
    focal: tuple[float, float, float, float] | None = None
    baseline_m: float | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where coordinate C is 0, for cameras that do not measure from their own centre: depth = standoff_m + sign * C."""

    standoff_m: float = 0.0
    sign: float = 1.0


@dataclass(frozen=True, slots=True)
class Images:
    """color (H, W, 3) uint8 or None; depth (H, W) uint16 counts or float32 metres, 0 where invalid; x, y (H, W) float32
    metres of the same pixels, or None where only depth is known.
    """

    color: npt.NDArray[np.uint8] | None
    depth: Pixels
    depth_scale: float
    x: Pixels | None = None
    y: Pixels | None = None


def read_scan3d(features: Features, stated: Scan3d | None = None) -> Scan3d:
    """What the device states, or, with `stated`, that as overridden by the chunks of the last delivery.

    Raises ConfigError where no depth image can come of it.
    """
    before = Scan3d() if stated is None else stated
    prefix = "" if stated is None else "Chunk"

    def value(name: str, otherwise: Any) -> Any:
        found = features.get(prefix + name)
        return otherwise if found is None else found

    features.select(f"{prefix}ComponentSelector", "Range") or features.select(f"{prefix}ComponentSelector", "Disparity")
    mode = str(value("Scan3dOutputMode", before.mode))
    system = value("Scan3dCoordinateSystem", "Cartesian")
    unit = value("Scan3dDistanceUnit", None)
    if (mode and mode not in GRIDS) or system != "Cartesian" or (unit is not None and unit not in UNITS):
        raise ConfigError(
            f"expected Scan3dOutputMode {' or '.join(GRIDS)}, Cartesian, in {' or '.join(UNITS)}; the camera is set to "
            f"{mode}, {system}, {unit}: change these features"
        )
    axes = []
    for letter, axis in zip("ABC", before.axes, strict=True):
        if features.select(f"{prefix}Scan3dCoordinateSelector", f"Coordinate{letter}"):
            axis = _read_axis(value, axis)
        axes.append(axis)
    unit_m = before.unit_m if unit is None else UNITS[unit]
    focal = _read_focal(value) or before.focal
    return Scan3d(mode, unit_m, (axes[0], axes[1], axes[2]), focal, value("Scan3dBaseline", before.baseline_m))


def decode(
    parts: Sequence[Part], scan: Scan3d, *, confidence: float = 0.0, placement: Placement | None = None
) -> Images:
    """The images of a delivery: the first picture, the coordinates, and what is sure enough of them.

    confidence: pixels below it (in the camera's own numbers) are invalid; 0 keeps all.
    Raises FrameError where parts are missing, cut, of different sizes or of unknown formats.
    """
    found: dict[str, Pixels] = {}
    color: npt.NDArray[np.uint8] | None = None
    for part in parts:
        form = parse_format(part.form)
        pixels = to_array(form, part.data, part.width, part.height, part.padding)
        if form.family == "Coord3D_ABC":
            found |= {letter: pixels[..., i] for i, letter in enumerate("ABC") if letter not in found}
        elif form.family.startswith("Coord3D_"):
            found.setdefault(form.family.removeprefix("Coord3D_"), pixels)
        elif form.family == "Confidence":
            found.setdefault("confidence", pixels)
        elif color is None:
            color = to_rgb(form, pixels)
    if "C" not in found:
        came = ", ".join(part.form for part in parts) or "nothing"
        raise FrameError(f"expected a Range component with coordinate C, got {came}; set Scan3dOutputMode to a grid")
    shapes = {name: image.shape[:2] for name, image in (*found.items(), ("color", color)) if image is not None}
    if len(set(shapes.values())) > 1:
        raise FrameError(f"the components differ in size: {shapes}; give all of them one region and binning")
    valid = _valid(found, scan.axes, confidence)
    depth, scale = _depth(found["C"], valid, scan, placement or Placement())
    x, y = _sideways(found, valid, scan)
    return Images(color, depth, scale, x, y)


def _read_axis(value: Any, axis: Axis) -> Axis:
    invalid = axis.invalid
    flag = value("Scan3dInvalidDataFlag", None)
    if flag is not None:
        number = value("Scan3dInvalidDataValue", 0.0 if invalid is None else invalid)
        invalid = float(number) if flag else None
    return Axis(
        float(value("Scan3dCoordinateScale", axis.scale)), float(value("Scan3dCoordinateOffset", axis.offset)), invalid
    )


def _read_focal(value: Any) -> tuple[float, float, float, float] | None:
    focal, u, v = (value(f"Scan3d{name}", None) for name in ("FocalLength", "PrincipalPointU", "PrincipalPointV"))
    if None in (focal, u, v) or focal <= 0:
        return None
    return float(focal), float(focal) * float(value("Scan3dAspectRatio", 1.0)), float(u), float(v)


def _valid(found: dict[str, Pixels], axes: tuple[Axis, Axis, Axis], confidence: float) -> npt.NDArray[np.bool_]:
    valid = np.ones(found["C"].shape, np.bool_)
    for letter, axis in zip("ABC", axes, strict=True):
        numbers = found.get(letter)
        if numbers is None:
            continue
        if numbers.dtype.kind == "f":
            valid &= np.isfinite(numbers)
        if axis.invalid is not None:
            valid &= numbers != axis.invalid
    if confidence > 0:
        if "confidence" not in found:
            raise FrameError("a least confidence is asked for, but the camera sent none: leave it out")
        valid &= found["confidence"] >= confidence
    return valid


def _depth(numbers: Pixels, valid: npt.NDArray[np.bool_], scan: Scan3d, place: Placement) -> tuple[Pixels, float]:
    """Counts as they came where a scale says all, else metres."""
    axis = scan.axes[2]
    disparity = scan.mode == "DisparityC"
    if numbers.dtype.kind == "u" and axis.offset == 0 and axis.scale > 0 and not disparity and place == Placement():
        return np.where(valid, numbers, 0).astype(np.uint16), axis.scale * scan.unit_m
    metres = numbers * axis.scale + axis.offset
    with np.errstate(divide="ignore", invalid="ignore"):
        if disparity:
            if scan.focal is None or scan.baseline_m is None:
                raise FrameError("disparity without Scan3dFocalLength and Scan3dBaseline is no depth")
            metres = scan.focal[0] * scan.baseline_m / metres
        else:
            metres = place.standoff_m + place.sign * scan.unit_m * metres
        usable = valid & (metres > 0) & np.isfinite(metres)
    return np.where(usable, metres, 0.0).astype(np.float32), 1.0


def _sideways(
    found: dict[str, Pixels], valid: npt.NDArray[np.bool_], scan: Scan3d
) -> tuple[Pixels, Pixels] | tuple[None, None]:
    """Coordinates A and B; RectifiedC says them by scale and offset of the pixel's own coordinates."""
    rows, cols = valid.shape
    a, b = found.get("A"), found.get("B")
    if scan.mode == "RectifiedC":
        a, b = np.broadcast_to(np.arange(cols), (rows, cols)), np.broadcast_to(np.arange(rows)[:, None], (rows, cols))
    if a is None or b is None:
        return None, None
    x, y = (
        np.where(valid, (numbers * axis.scale + axis.offset) * scan.unit_m, np.nan).astype(np.float32)
        for numbers, axis in zip((a, b), scan.axes, strict=False)
    )
    return x, y
