# SPDX-License-Identifier: Apache-2.0
"""Procedural parts, made of outlines, ribs, bosses and holes: a camera for those who have none.

`make_part(category, seed, frame, ...)` gives an aligned RGB-D picture of one instance with its exact defect mask. Equal
arguments give equal bytes with the same versions of numpy and OpenCV. It is made up: a score on it says nothing about a
real line.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.synthesis.defects import DEFECTS, add_defect
from rasant.synthesis.render import DEPTH_SCALE, render_color, render_depth
from rasant.synthesis.surface import DISTANCE_MM, Field, Surface, focal_px, length, smooth_noise, soft_step
from rasant.types import Intrinsics

__all__ = ["CATEGORIES", "DEPTH_SCALE", "Feature", "Part", "PartDesign", "make_part", "part_intrinsics"]

_BEVEL_MM = 1.2
_TABLE = (0.045, 0.047, 0.052)  # linear RGB of the table


@dataclass(frozen=True, slots=True)
class Feature:
    """One drawn element. `kind` is "disc" (x, y, radius), "box" (x, y, half width, half height, corner radius) or "bar"
    (x0, y0, x1, y1, half width), in mm. `height_mm` is added inside it; None cuts a hole through the part."""

    kind: str
    numbers: tuple[float, ...]
    height_mm: float | None = None


@dataclass(frozen=True, slots=True)
class PartDesign:
    """A kind of part: the union of `outline`, `thickness_mm` high, with features, in one material."""

    outline: tuple[Feature, ...]
    features: tuple[Feature, ...]
    thickness_mm: float
    albedo: tuple[float, float, float]  # linear RGB
    gloss: float
    grain: float  # deviation of the fine albedo noise
    turned: bool = False  # circular tool marks instead of cast grain


@dataclass(frozen=True, slots=True)
class Part:
    """One picture. color (H, W, 3) uint8 RGB; depth (H, W) uint16 counts of `DEPTH_SCALE` metres; truth (H, W) bool.

    label is "good" or a key of `rasant.synthesis.defects.DEFECTS`; severity is in [0, 1], 0 for good parts.
    """

    color: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.uint16]
    truth: npt.NDArray[np.bool_]
    label: str
    severity: float


_PLATE_HOLES = tuple(Feature("disc", (x, y, 4.5)) for x in (-50.0, 50.0) for y in (-34.0, 34.0))
_BOLT_HOLES = tuple(Feature("disc", (46 * np.cos(a), 46 * np.sin(a), 4.5)) for a in np.arange(6) * np.pi / 3)

CATEGORIES: dict[str, PartDesign] = {
    "plate": PartDesign(
        outline=(Feature("box", (0, 0, 62, 46, 9)),),
        features=(
            *_PLATE_HOLES,
            Feature("disc", (0, 0, 15), 4.0),
            Feature("disc", (0, 0, 8.5), -5.0),
            Feature("bar", (-36, -24, 36, -24, 2.6), 2.4),
            Feature("bar", (-36, 24, 36, 24, 2.6), 2.4),
            Feature("bar", (-40, -12, -40, 12, 2.6), 2.4),
            Feature("disc", (42, 0, 6), 3.0),
        ),
        thickness_mm=6.0, albedo=(0.36, 0.37, 0.39), gloss=0.30, grain=0.10,
    ),
    "flange": PartDesign(
        outline=(Feature("disc", (0, 0, 62)),),
        features=(
            *_BOLT_HOLES,
            Feature("disc", (0, 0, 31), 3.5),
            Feature("disc", (0, 0, 24), -2.0),
            Feature("disc", (0, 0, 15)),
        ),
        thickness_mm=5.0, albedo=(0.42, 0.40, 0.37), gloss=0.45, grain=0.05, turned=True,
    ),
    "bracket": PartDesign(
        outline=(Feature("box", (-8, 30, 56, 20, 6)), Feature("box", (-44, -12, 20, 46, 6))),
        features=(
            Feature("bar", (2, 30, 24, 30, 4.5)),
            Feature("disc", (-44, -38, 7)),
            Feature("disc", (-44, -38, 12), 2.5),
            Feature("bar", (-44, 30, -44, -18, 3), 3.0),
            Feature("bar", (-44, 30, -12, 30, 3), 3.0),
            Feature("disc", (38, 30, 4)),
        ),
        thickness_mm=4.0, albedo=(0.07, 0.16, 0.30), gloss=0.22, grain=0.06,
    ),
}
"""Name -> design, for `synthetic:NAME` and `rasant synth --category NAME`."""


def part_intrinsics(size: int) -> Intrinsics:
    """The camera of all pictures: square, f = 600/256 of the side, principal point in the middle."""
    return Intrinsics(size, size, focal_px(size), focal_px(size), (size - 1) / 2, (size - 1) / 2)


def make_part(category: str, seed: int, frame: int, *, defect: str | None = None, size: int = 256) -> Part:
    """Picture `frame` of the series `seed`; each has its own pose, tolerances, light and noise.

    defect: None for a good part, or a key of `DEFECTS`. size: pixels a side, 64 to 1024.
    Raises ConfigError for an unknown category or defect, a negative seed or frame, or a size out of range.
    """
    design = CATEGORIES.get(category)
    if design is None:
        raise ConfigError(f"there is no part {category!r}; known are {', '.join(CATEGORIES)}")
    if defect is not None and defect not in DEFECTS:
        raise ConfigError(f"there is no defect {defect!r}; known are {', '.join(DEFECTS)}")
    if not 64 <= size <= 1024:
        raise ConfigError(f"size must be 64 to 1024 pixels, got {size}")
    if seed < 0 or frame < 0:
        raise ConfigError(f"seed and frame must not be negative, got {seed} and {frame}")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, frame, zlib.crc32(category.encode())])))
    surface, tilt = _lay_out(design, rng, size)
    truth, severity = np.zeros(surface.size, np.bool_), 0.0
    if defect is not None:
        severity = float(rng.uniform())
        truth = add_defect(surface, defect, severity, rng)
    color = render_color(surface, rng)
    depth = render_depth(surface, tilt, color, rng)
    return Part(color, depth, truth, defect or "good", severity)


def _lay_out(design: PartDesign, rng: np.random.Generator, size: int) -> tuple[Surface, Field]:
    """One instance in a random pose: the surface, and the tilt of part and table as mm towards the camera."""
    step = DISTANCE_MM / focal_px(size)
    v, u = (np.mgrid[0:size, 0:size].astype(np.float32) - np.float32((size - 1) / 2)) * np.float32(step)
    turn = np.radians(rng.uniform(-15, 15))
    shift_x, shift_y = rng.uniform(-8, 8, 2)
    scale = rng.uniform(0.985, 1.015)
    x: Field = (((u - shift_x) * np.cos(turn) + (v - shift_y) * np.sin(turn)) / scale).astype(np.float32)
    y: Field = (((v - shift_y) * np.cos(turn) - (u - shift_x) * np.sin(turn)) / scale).astype(np.float32)
    lean_x, lean_y = np.tan(np.radians(rng.uniform(-2, 2, 2)))
    tilt: Field = (u * lean_x + v * lean_y + rng.uniform(-4, 4)).astype(np.float32)

    edge = functools.reduce(np.minimum, (_distance(f, x, y) for f in design.outline))
    height = np.float32(design.thickness_mm * rng.uniform(0.98, 1.02)) * soft_step(edge, _BEVEL_MM)
    holes, raised, sunk = np.zeros_like(height), np.zeros_like(height), np.zeros_like(height)
    for feature in design.features:
        inside = _distance(feature, x, y)
        if feature.height_mm is None:
            np.maximum(holes, soft_step(inside, step), out=holes)
            continue
        change = np.float32(feature.height_mm * rng.uniform(0.97, 1.03)) * soft_step(inside, _BEVEL_MM)
        np.maximum(raised, change, out=raised)
        np.minimum(sunk, change, out=sunk)
    solid = soft_step(edge, step) * (1 - holes)
    height = (height + raised + sunk) * (1 - holes)
    height += solid * (0.12 * smooth_noise(rng, height.shape, 3) + 0.02 * smooth_noise(rng, height.shape, 48))
    surface = Surface(x, y, height, np.empty((3, size, size), np.float32), design.gloss * solid, solid > 0.5, step)
    _paint(surface, design, solid, rng)
    return surface, tilt


def _paint(surface: Surface, design: PartDesign, solid: Field, rng: np.random.Generator) -> None:
    """Fill the albedo: the material with its tool marks or grain on the part, a faintly uneven table around it."""
    size = surface.size
    grain = np.float32(design.grain) * rng.standard_normal(size, dtype=np.float32)
    if design.turned:
        rings = np.sin(length(surface.x, surface.y) * np.float32(2 * np.pi / 2.3) + np.float32(rng.uniform(0, 6)))
        grain += np.float32(0.06) * rings
    tone = 1 + grain + np.float32(0.05) * smooth_noise(rng, size, 6) + np.float32(rng.uniform(-0.04, 0.04))
    table = 1 + np.float32(0.08) * smooth_noise(rng, size, 24)
    tone, table = solid * tone, (1 - solid) * table
    for channel in range(3):
        material = np.float32(design.albedo[channel] * rng.uniform(0.97, 1.03))
        surface.albedo[channel] = tone * material + table * np.float32(_TABLE[channel])


def _distance(feature: Feature, x: Field, y: Field) -> Field:
    """Signed distance in mm to a feature's outline, negative inside."""
    n = [np.float32(number) for number in feature.numbers]
    if feature.kind == "disc":
        disc: Field = length(x - n[0], y - n[1]) - n[2]
        return disc
    if feature.kind == "box":
        dx, dy = np.abs(x - n[0]) - (n[2] - n[4]), np.abs(y - n[1]) - (n[3] - n[4])
        outside = length(np.maximum(dx, 0), np.maximum(dy, 0))
        rounded: Field = outside + np.minimum(np.maximum(dx, dy), 0) - n[4]
        return rounded
    ax, ay = n[2] - n[0], n[3] - n[1]
    along: Field = np.clip(((x - n[0]) * ax + (y - n[1]) * ay) / (ax * ax + ay * ay), 0, 1)
    bar: Field = length(x - n[0] - along * ax, y - n[1] - along * ay) - n[4]
    return bar
