# SPDX-License-Identifier: Apache-2.0
"""Defects of procedural parts. Each changes a surface in place and returns the exact mask of what it changed.

dent and bump change the height only, stain the colour and gloss only, the others both. Sizes grow with `severity` in
[0, 1]: dents and bumps 0.6 to 3 mm deep and 3 to 8 mm in radius, cuts 0.3 to 2 mm deep and 0.8 to 2.2 mm wide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rasant.synthesis.surface import Surface, blob, smooth_noise, soft_step

__all__ = ["DEFECTS", "add_defect"]

Mask = npt.NDArray[np.bool_]
_STAINS = ((0.25, 0.13, 0.05), (0.05, 0.05, 0.06), (0.55, 0.47, 0.30))  # linear RGB of rust, oil, glue
_FOREIGN = ((0.30, 0.16, 0.06), (0.60, 0.58, 0.52), (0.03, 0.03, 0.03), (0.05, 0.22, 0.09))
_VISIBLE_MM = 0.1  # a change of height below this is not part of the mask: the sensor's own noise is 0.08 mm


def add_defect(surface: Surface, kind: str, severity: float, rng: np.random.Generator) -> Mask:
    """Draw a defect, a kind of `DEFECTS`, at a random place on the part. Returns its mask, (H, W) bool, never empty."""
    return DEFECTS[kind](surface, severity, rng)


def _between(low: float, high: float, severity: float) -> float:
    return low + (high - low) * severity


def _tint(choices: tuple[tuple[float, float, float], ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One of some linear RGB colours, (3, 1, 1)."""
    return np.array(choices[int(rng.integers(len(choices)))], np.float32)[:, None, None]


def _place(surface: Surface, margin_mm: float, rng: np.random.Generator) -> tuple[int, int]:
    """A random pixel of the part at least `margin_mm` from its edges and holes, or the deepest one there is."""
    import cv2

    reach = cv2.distanceTransform(surface.body.astype(np.uint8), cv2.DIST_L2, 3) * surface.step_mm
    rows, cols = np.nonzero(reach >= min(margin_mm, float(reach.max())))
    pick = int(rng.integers(len(rows)))
    return int(rows[pick]), int(cols[pick])


def _press(surface: Surface, sign: float, severity: float, rng: np.random.Generator) -> Mask:
    radius = _between(3.0, 8.0, severity) * rng.uniform(0.85, 1.15)
    rho = blob(surface, _place(surface, 0.8 * radius, rng), radius, rng)
    change = np.float32(_between(0.6, 3.0, severity)) * np.square(np.clip(1 - rho * rho, 0, 1)) * surface.body
    surface.height += np.float32(sign) * change
    return np.asarray(change > _VISIBLE_MM)


def _dent(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    return _press(surface, -1, severity, rng)


def _bump(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    return _press(surface, 1, severity, rng)


def _cut(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    import cv2

    row, col = _place(surface, 6.0, rng)
    length = rng.uniform(12, 34) / surface.step_mm
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25)
    t = np.linspace(-0.5, 0.5, 24)
    along, across = t * length, bend * length * t * t * 4
    c, s = np.cos(angle), np.sin(angle)
    points = np.stack([col + along * c - across * s, row + along * s + across * c], axis=1)
    canvas = np.full(surface.size, 255, np.uint8)
    cv2.polylines(canvas, [np.rint(points * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, 5).astype(np.float32) * np.float32(surface.step_mm)
    half = _between(0.45, 1.1, severity)
    groove = np.clip(1.2 - distance / np.float32(half + 0.3 * surface.step_mm), 0, 1) * surface.body
    surface.height -= np.float32(_between(0.3, 2.0, severity)) * groove
    fresh = np.float32(rng.uniform(0.55, 1.5))
    surface.albedo *= 1 + (fresh - 1) * groove
    surface.gloss += np.float32(0.3) * groove
    return np.asarray(groove > 0.25)


def _stain(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    radius = _between(4.0, 10.0, rng.uniform())
    rho = blob(surface, _place(surface, 2.0, rng), radius, rng) + np.float32(0.14) * smooth_noise(rng, surface.size, 28)
    cover = soft_step((rho - 1) * np.float32(radius), 1.5) * surface.body
    strength = np.float32(_between(0.22, 0.85, severity))
    surface.albedo += strength * cover * (_tint(_STAINS, rng) - surface.albedo)
    surface.gloss *= 1 - np.float32(0.7) * cover
    return np.asarray(cover > 0.3)


def _missing(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    """A piece broken off at an edge, down to a rough fracture."""
    import cv2

    inner = cv2.erode(surface.body.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, cols = np.nonzero(surface.body & ~inner)
    pick = int(rng.integers(len(rows)))
    radius = _between(3.5, 10.0, severity)
    rho = blob(surface, (int(rows[pick]), int(cols[pick])), radius, rng)
    rho += np.float32(0.08) * smooth_noise(rng, surface.size, 64)
    gone = soft_step((rho - 1) * np.float32(radius), 2 * surface.step_mm) * surface.body
    rough = np.float32(0.35) * np.abs(smooth_noise(rng, surface.size, 72))
    floor = np.float32(rng.uniform(0.05, 0.45)) * surface.height + rough
    drop = gone * np.maximum(surface.height - floor, 0)
    surface.height -= drop
    surface.albedo *= 1 + gone * (np.float32(rng.uniform(-0.45, -0.2)) + np.float32(0.25) * rough)
    surface.gloss *= 1 - np.float32(0.8) * gone
    return np.asarray((gone > 0.5) | (drop > _VISIBLE_MM))


def _contamination(surface: Surface, severity: float, rng: np.random.Generator) -> Mask:
    """Grains and chips of something else that lie on the part."""
    mask = np.zeros(surface.size, np.bool_)
    row, col = _place(surface, 5.0, rng)
    tint = _tint(_FOREIGN, rng)
    spread = rng.normal(0, 4.0 / surface.step_mm, (int(rng.integers(2, 6)), 2))
    spread[0] = 0  # so that at least one lies on the part
    for across, along in spread:
        center = min(max(row + int(across), 0), mask.shape[0] - 1), min(max(col + int(along), 0), mask.shape[1] - 1)
        rho = blob(surface, center, _between(1.4, 4.0, severity) * rng.uniform(0.6, 1.1), rng)
        cover = soft_step(rho - 1, 0.3) * surface.body
        dome = np.sqrt(np.clip(1 - rho * rho, 0, 1)) * surface.body
        surface.height += np.float32(_between(0.5, 3.0, severity)) * dome
        surface.albedo += cover * (tint * np.float32(rng.uniform(0.8, 1.2)) - surface.albedo)
        surface.gloss *= 1 - np.float32(0.6) * cover
        mask |= cover > 0.3
    return mask


DEFECTS: dict[str, Callable[[Surface, float, np.random.Generator], Mask]] = {
    "dent": _dent,
    "bump": _bump,
    "cut": _cut,
    "stain": _stain,
    "missing": _missing,
    "contamination": _contamination,
}
"""Name -> function(surface, severity, rng) -> mask."""
