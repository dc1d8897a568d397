# SPDX-License-Identifier: Apache-2.0
"""A map over a picture: enlarged, coloured and blended in one pass, each pixel at its own opacity."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.device import native_for, output

__all__ = ["blend_map", "glow_colors"]

Picture = npt.NDArray[np.uint8]


def blend_map(
    picture: Picture,
    values: npt.NDArray[np.float32],
    *,
    picture_from_map: npt.NDArray[np.float64],
    top: float,
    colors: npt.NDArray[np.uint8] | None = None,
    out: Picture | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> Picture:
    """Lays a map over a picture, bilinear, from the table's first colour at 0 to its last at `top` and above.

    picture: (H, W, 3) uint8 RGB.
    values: (h, w) float32; NaN counts as 0. Scaled to 0..255, which is the entry of the table, rounded down.
    picture_from_map: (2, 3) affine from map (x, y, 1) to pixels of the picture, a scale and a shift, such as
        `Inspection.frame_from_map`. Pixels that the map does not cover stay as they are.
    colors: (256, 4) uint8 numpy: red, green and blue times opacity, and 255 * (1 - opacity). By default
        `glow_colors()`.
    out: (H, W, 3) uint8, which may be `picture` itself.
    device, stream: see rasant.ops.device. All devices give the same bytes.

    Raises ConfigError for an affine that turns, shears or mirrors and for a `top` of NaN, ShapeError and DtypeError
    for wrong arrays.
    """
    native = native_for(device)
    (across, shear_x, x), (shear_y, down, y) = np.asarray(picture_from_map, np.float64).tolist()
    if shear_x or shear_y or not top < np.inf:
        raise ConfigError(
            "picture_from_map must be a scale and a shift, and top a finite number, got "
            f"{np.asarray(picture_from_map).tolist()} and {top}; warp the map first"
        )
    table = glow_colors() if colors is None else colors
    blended: Picture = output(out, picture.shape, np.uint8, device)
    gain = 255.0 / max(top, 1e-9)
    native.blend_map(picture, values, (down, across), (y, x), gain, table, blended, threads, stream)
    return blended


@cache
def glow_colors() -> npt.NDArray[np.uint8]:
    """The table of `blend_map`: inferno, transparent up to a tenth of `top`, then from clear to three quarters."""
    import cv2

    levels = np.arange(256, dtype=np.uint8)[:, None]
    opacity = np.clip(1.4 * np.linspace(0.0, 1.0, 256) - 0.15, 0.0, 0.75)[:, None]
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    table = np.concatenate([np.rint(opacity * colors), np.rint(255 * (1 - opacity))], axis=1).astype(np.uint8)
    table.flags.writeable = False
    return table
