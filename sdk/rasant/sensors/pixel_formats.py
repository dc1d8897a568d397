# SPDX-License-Identifier: Apache-2.0
"""Pixel formats by their names in the PFNC (GenICam's Pixel Format Naming Convention), as numpy arrays and as RGB.

What machine-vision cameras send by default or can be set to: Mono, RGB, BGR (with a fourth channel) and Bayer of 8 to
16 bits, Coord3D and Confidence of 8 to 32. Packed formats with a "p" hold their bits without gaps, lowest first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import FrameError

__all__ = ["PixelFormat", "parse_format", "to_array", "to_rgb"]

_NAME = re.compile(
    r"(Mono|Bayer(?:RG|GR|GB|BG)|RGBa?|BGRa?|Coord3D_(?:ABC|AC|A|B|C)|Confidence)(8|10|12|14|16|32)(f|p|)(_Planar|)"
)
_BAYER = {"BayerRG": "RGGB", "BayerGR": "GRBG", "BayerGB": "GBRG", "BayerBG": "BGGR"}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A parsed name. family: "Mono", "RGBa", "Coord3D_ABC" and so on; bits: of one value, as far as they count."""

    name: str
    family: str
    bits: int
    dtype: np.dtype[Any]
    packed: bool
    planar: bool

    @property
    def channels(self) -> int:
        """Values of one pixel."""
        return {"RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4, "Coord3D_ABC": 3, "Coord3D_AC": 2}.get(self.family, 1)


@lru_cache(maxsize=64)
def parse_format(name: str) -> PixelFormat:
    """What a name says. Raises FrameError for a format that is not read here."""
    found = _NAME.fullmatch(name)
    if found is None or (found[2] == "32") != (found[3] == "f"):
        raise FrameError(f"pixel format {name} is not read; set the camera to Mono8, BayerRG8, RGB8 or Coord3D_ABC32f")
    bits = int(found[2])
    dtype = np.dtype("<f4" if bits == 32 else "u1" if bits == 8 else "<u2")
    return PixelFormat(name, found[1], bits, dtype, found[3] == "p", bool(found[4]))


def to_array(form: PixelFormat, data: npt.NDArray[np.uint8], width: int, height: int, padding: int = 0) -> Any:
    """(H, W), or (H, W, channels), of what a camera sent; a view of `data` where nothing has to be unpacked.

    data: bytes; padding: bytes after each row. Raises FrameError where there are too few.
    """
    count, planes = width * height * form.channels, form.channels if form.planar else 1
    if form.packed:
        need = -(-count * form.bits // 8)
    else:
        row = width * form.channels // planes * form.dtype.itemsize
        need = (row + padding) * height * planes
    if data.size < need:
        raise FrameError(f"{width}x{height} pixels of {form.name} are {need} bytes, only {data.size} came")
    if form.packed:
        bits = np.unpackbits(data[:need], count=count * form.bits, bitorder="little").reshape(count, form.bits)
        values = np.zeros(count, np.uint16)
        for place in range(form.bits):
            values |= bits[:, place].astype(np.uint16) << place
    else:
        values = np.ascontiguousarray(data[:need].reshape(-1, row + padding)[:, :row]).reshape(-1).view(form.dtype)
    if form.channels == 1:
        return values.reshape(height, width)
    if form.planar:
        return values.reshape(form.channels, height, width).transpose(1, 2, 0)
    return values.reshape(height, width, form.channels)


def to_rgb(form: PixelFormat, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, an array of its own. More than 8 bits are cut to their highest 8; Bayer is interpolated.

    Raises FrameError for formats that hold no picture.
    """
    import cv2

    if form.family.startswith(("Coord3D", "Confidence")):
        raise FrameError(f"pixel format {form.name} is no picture")
    eight = pixels if form.bits == 8 else (pixels >> (form.bits - 8)).astype(np.uint8)
    if form.family == "Mono":
        return np.repeat(eight[..., None], 3, axis=2)
    if form.family in _BAYER:
        code = getattr(cv2, f"COLOR_Bayer{_BAYER[form.family]}2RGB")
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(eight), code), np.uint8)
    order = [2, 1, 0] if form.family.startswith("BGR") else [0, 1, 2]
    return np.ascontiguousarray(eight[..., order])
