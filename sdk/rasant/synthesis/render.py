# SPDX-License-Identifier: Apache-2.0
"""From a height field to the colour and depth image that a camera with a projector beside it would give.

Colour: Lambert and Blinn-Phong under one raking lamp with cast shadows, soft light with ambient occlusion, shot and
read noise, sRGB. Depth: triangulation noise that is partly correlated, steps of 0.02 mm, no measurement in the
projector's shadow, on steep walls, on black and on blinding pixels, and now and then at random; a few flying pixels at
edges.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from rasant.synthesis.surface import DISTANCE_MM, Field, Surface, length

__all__ = ["DEPTH_SCALE", "render_color", "render_depth"]

DEPTH_SCALE = 2e-5  # metres a count
_PROJECTOR_SLOPE = DISTANCE_MM / 60.0  # the projector stands 60 mm to the left
_SHADOW_MM = (0.75, 1.5, 2.25, 3.0, 4.5, 6.0, 8.25, 11.25, 15.0, 19.5, 24.0)


def render_color(surface: Surface, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a surface under a lamp that varies a little from picture to picture."""
    azimuth, elevation = np.radians(rng.uniform(205, 235)), np.radians(rng.uniform(32, 40))
    lamp = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    slope_x, slope_y = _slopes(surface)
    inverse = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    lit = (_dot(slope_x, slope_y, lamp) * inverse).clip(0)
    lit *= 1 - _shadow(surface.height, surface.step_mm, azimuth, float(np.tan(elevation)))
    half = lamp + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    mirror = (_dot(slope_x, slope_y, half) * inverse).clip(0)
    mirror *= mirror  # squared four times: the exponent is 16
    mirror *= mirror
    mirror *= mirror
    mirror *= mirror
    shine = np.float32(0.55) * surface.gloss * mirror * (np.float32(0.15) + lit)
    soft = np.float32(0.55) * _openness(surface) * (np.float32(0.6) + np.float32(0.4) * inverse)
    exposure = np.float32(rng.uniform(0.94, 1.06))
    light = (np.float32(1.1) * lit + soft) * surface.albedo + shine
    light *= exposure
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    light += noise * np.sqrt(np.float32(4e-5) + np.float32(2.5e-4) * light)
    levels = (light * np.float32(4095)).clip(0, 4095).astype(np.uint16)
    return np.ascontiguousarray(np.take(_srgb_table(), levels).transpose(1, 2, 0))


def render_depth(
    surface: Surface, tilt: Field, color: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """(H, W) uint16 counts of `DEPTH_SCALE` along the optical axis, 0 where nothing is measured.

    tilt: (H, W) mm by which the table leans towards the camera. color: the rendered picture, whose black and blinding
    pixels give no depth.
    """
    import cv2

    size = surface.size
    slope_x, slope_y = _slopes(surface)
    steep = length(slope_x, slope_y)
    channels = [color[..., channel] for channel in range(3)]
    white = rng.standard_normal(size, dtype=np.float32)
    noise = np.float32(0.05) * white + np.float32(0.08) * cv2.GaussianBlur(white, (0, 0), 1.0)
    depth = np.float32(DISTANCE_MM) - tilt - surface.height + noise * (1 + np.float32(0.6) * np.minimum(steep, 3))

    chance = rng.random(size, dtype=np.float32)
    edge = steep > 1.2
    flying = edge & (chance > 0.97)
    depth[flying] += rng.uniform(-3, 3, int(flying.sum())).astype(np.float32)
    lost = _shadow(surface.height, surface.step_mm, np.pi, _PROJECTOR_SLOPE) > 0.5
    lost |= edge & (chance < 0.12)
    lost |= (functools.reduce(np.maximum, channels) < 12) & (chance < 0.25)
    lost |= (functools.reduce(np.minimum, channels) > 250) & (chance < 0.45)
    lost |= chance < 0.0008
    counts: npt.NDArray[np.uint16] = np.rint(depth * np.float32(1e-3 / DEPTH_SCALE)).astype(np.uint16)
    counts[lost] = 0
    return counts


def _slopes(surface: Surface) -> tuple[Field, Field]:
    """Height gained per mm to the right and downwards, by central differences."""
    import cv2

    scale = 0.5 / surface.step_mm
    return (
        np.asarray(cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=1, scale=scale), np.float32),
        np.asarray(cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=1, scale=scale), np.float32),
    )


def _dot(slope_x: Field, slope_y: Field, direction: npt.NDArray[np.float64]) -> Field:
    """Unnormalised surface normal (-slope_x, -slope_y, 1) times a direction."""
    x, y, z = direction.astype(np.float32)
    product: Field = z - slope_x * x - slope_y * y
    return product


def _shadow(height: Field, step_mm: float, azimuth: float, slope: float) -> Field:
    """1 in the shadow of a lamp at `azimuth` whose rays fall by `slope` mm per mm, 0 in its light, soft between."""
    import cv2

    rows, cols = height.shape
    over: Field = np.zeros_like(height)
    for reach in _SHADOW_MM:
        if reach * slope > 20:
            break  # nothing on the table is that high
        dx, dy = reach * np.cos(azimuth) / step_mm, reach * np.sin(azimuth) / step_mm
        shift = np.array([[1, 0, -dx], [0, 1, -dy]], np.float64)
        blocker = cv2.warpAffine(height, shift, (cols, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        np.maximum(over, blocker - height - np.float32(reach * slope), out=over)
    shade: Field = np.minimum(over * np.float32(2.5), 1)
    return shade


def _openness(surface: Surface) -> Field:
    """How much of the sky a pixel sees, about 1 on open ground and less beside walls and in pits."""
    import cv2

    around = cv2.GaussianBlur(surface.height, (0, 0), 4.0 / surface.step_mm)
    open_: Field = np.clip(1 - np.float32(0.13) * (around - surface.height), 0.35, 1.1).astype(np.float32)
    return open_


@functools.cache
def _srgb_table() -> npt.NDArray[np.uint8]:
    linear = np.arange(4096) / 4095
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    table: npt.NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return table
