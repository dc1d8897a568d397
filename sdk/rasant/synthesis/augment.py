# SPDX-License-Identifier: Apache-2.0
"""Random looks for texture sources: the ten operations of DRAEM (Zavrtanik et al., ICCV 2021, section 4), three a time.

Every picture is (H, W, 3) uint8 RGB of any size from 1 x 1; results are new arrays of the same shape. `autocontrast`,
`equalize`, `posterize` and `solarize` follow Pillow's ImageOps bit for bit; `sharpen` follows its ImageEnhance within
one level, since it rounds where Pillow cuts off. Point operations are lookup tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, DtypeError, ShapeError

__all__ = [
    "OPERATIONS",
    "augment_texture",
    "autocontrast",
    "brighten",
    "equalize",
    "gamma_contrast",
    "invert",
    "posterize",
    "rotate",
    "sharpen",
    "shift_hue_saturation",
    "solarize",
]

Picture = npt.NDArray[np.uint8]
_LEVELS = np.arange(256)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / np.float32(13)  # Pillow's ImageFilter.SMOOTH


def augment_texture(picture: Picture, random: np.random.Generator, *, count: int = 3) -> Picture:
    """Applies `count` different operations of `OPERATIONS`, in the order in which they are drawn.

    random: the only source of chance; equal states give equal pictures. Raises ConfigError for a count outside 0..10,
    ShapeError and DtypeError for anything but (H, W, 3) uint8.
    """
    if not 0 <= count <= len(OPERATIONS):
        raise ConfigError(f"count must be 0..{len(OPERATIONS)}, got {count}; DRAEM takes 3")
    _require(picture)
    names = list(OPERATIONS)
    result = picture.copy()
    for index in random.choice(len(names), count, replace=False):
        result = OPERATIONS[names[int(index)]](result, random)
    return result


def gamma_contrast(picture: Picture, gamma: Sequence[float] | npt.NDArray[np.float64]) -> Picture:
    """255 (v / 255) ^ gamma[c], rounded. gamma: three positive numbers, 1 keeps a channel. 0 and 255 stay."""
    exponents = np.asarray(gamma, np.float64)
    if exponents.shape != (3,) or not (np.isfinite(exponents).all() and (exponents > 0).all()):
        raise ConfigError(f"gamma must be three positive numbers, got {gamma!r}; 0.5 to 2 is usual")
    return _look_up(picture, np.rint(255.0 * (_LEVELS / 255.0) ** exponents[:, None]))


def brighten(picture: Picture, gain: float, offset: float) -> Picture:
    """Luma Y (BT.601) becomes gain Y + offset; all channels move by the same amount, so colour differences stay."""
    _require(picture)
    change = np.clip(np.rint(gain * _LEVELS + offset) - _LEVELS, -255, 255)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    lighter, darker = (
        cv2.cvtColor(cv2.LUT(luma, part.astype(np.uint8)), cv2.COLOR_GRAY2RGB)
        for part in (np.maximum(change, 0), np.maximum(-change, 0))
    )
    return np.asarray(cv2.subtract(cv2.add(picture, lighter), darker), np.uint8)


def sharpen(picture: Picture, factor: float) -> Picture:
    """smooth + factor (v - smooth): 0 is the smoothed picture, 1 keeps it, above 1 sharpens. The border stays as it is.

    smooth is the 3 x 3 mean with weight 5 in the middle.
    """
    _require(picture)
    if min(picture.shape[:2]) < 3:
        return picture.copy()
    smooth = cv2.filter2D(picture, -1, _SMOOTH)
    sharp = np.asarray(cv2.addWeighted(picture, factor, smooth, 1.0 - factor, 0.0), np.uint8)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        sharp[edge] = picture[edge]
    return sharp


def shift_hue_saturation(picture: Picture, hue: float, saturation: float) -> Picture:
    """Adds to hue and saturation of HSV. 255 is one turn of hue, and the whole range of saturation, which is clipped.

    A grey pixel has hue 0 (red). The value, that is the highest channel, stays.
    """
    _require(picture)
    unit = picture.astype(np.float32) * np.float32(1 / 255)
    hsv: npt.NDArray[np.float32] = np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2HSV), np.float32)
    turned = hsv[..., 0] + np.float32(math.fmod(hue, 255.0) * (360.0 / 255.0))
    hsv[..., 0] = turned - np.float32(360) * np.floor(turned * np.float32(1 / 360))
    np.clip(hsv[..., 1] + np.float32(saturation / 255.0), 0.0, 1.0, out=hsv[..., 1])
    return np.asarray(cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), alpha=255.0), np.uint8)


def solarize(picture: Picture, threshold: float) -> Picture:
    """Values at or above `threshold` are inverted; 256 keeps everything."""
    return _look_up(picture, np.where(_LEVELS < threshold, _LEVELS, 255 - _LEVELS))


def posterize(picture: Picture, bits: int) -> Picture:
    """Keeps the `bits` highest of the 8 bits of each value; 8 keeps everything."""
    if not 1 <= bits <= 8:
        raise ConfigError(f"bits must be 1..8, got {bits}; 8 changes nothing")
    return _look_up(picture, _LEVELS & (0xFF00 >> bits))


def invert(picture: Picture) -> Picture:
    """255 - v; twice gives the picture back."""
    _require(picture)
    return np.bitwise_not(picture)


def autocontrast(picture: Picture, cutoff: float = 0.0) -> Picture:
    """Stretches each channel to 0..255 after leaving out `cutoff` percent of its pixels at either end.

    A channel of one value stays as it is.
    """
    if not 0 <= cutoff < 50:
        raise ConfigError(f"cutoff must be a percentage of 0..50, got {cutoff!r}; 0 to 20 is usual")
    cut = int(picture.shape[0] * picture.shape[1] * cutoff // 100)
    return _look_up(picture, np.stack([_stretch(counts, cut) for counts in _histograms(picture)]))


def equalize(picture: Picture) -> Picture:
    """Maps each channel so that its values spread evenly over 0..255; a channel of one value stays as it is."""
    return _look_up(picture, np.stack([_flatten(counts) for counts in _histograms(picture)]))


def rotate(picture: Picture, degrees: float) -> Picture:
    """Turns counter-clockwise about the centre, bilinear, same size. Outside, the picture is mirrored: black corners,
    as in DRAEM, would be a look of their own."""
    _require(picture)
    rows, cols = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(picture, matrix, (cols, rows), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.uint8)


OPERATIONS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "gamma_contrast": lambda picture, random: gamma_contrast(picture, random.uniform(0.5, 2.0, 3)),
    "brighten": lambda picture, random: brighten(picture, random.uniform(0.8, 1.2), random.uniform(-30, 30)),
    "sharpen": lambda picture, random: sharpen(picture, random.uniform(0.0, 3.0)),
    "shift_hue_saturation": lambda picture, random: shift_hue_saturation(picture, *random.uniform(-50, 50, 2)),
    "solarize": lambda picture, random: solarize(picture, random.uniform(32, 128) if random.random() < 0.5 else 256),
    "posterize": lambda picture, random: posterize(picture, int(random.integers(1, 9))),
    "invert": lambda picture, _: invert(picture),
    "autocontrast": lambda picture, random: autocontrast(picture, random.uniform(0, 20)),
    "equalize": lambda picture, _: equalize(picture),
    "rotate": lambda picture, random: rotate(picture, random.uniform(-45, 45)),
}
"""Name -> the operation with drawn parameters, `operation(picture, random)`."""


def _require(picture: Picture) -> None:
    if picture.dtype != np.uint8:
        raise DtypeError(f"a picture must be uint8, got {picture.dtype}; scale it to 0..255 and convert it once")
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ShapeError(f"a picture must be (H, W, 3), got {picture.shape}; repeat grey three times, drop alpha")


def _look_up(picture: Picture, table: npt.NDArray[np.generic]) -> Picture:
    """table: 256 values of 0..255 for all channels, or (3, 256)."""
    _require(picture)
    if table.ndim == 2:
        table = table.T[:, None, :]  # OpenCV wants (256, 1, channels)
    return np.asarray(cv2.LUT(picture, np.ascontiguousarray(table, np.uint8)), np.uint8)


def _histograms(picture: Picture) -> list[npt.NDArray[np.int64]]:
    _require(picture)
    return [cv2.calcHist([picture], [c], None, [256], [0, 256]).ravel().astype(np.int64) for c in range(3)]


def _stretch(counts: npt.NDArray[np.int64], cut: int) -> npt.NDArray[np.float64]:
    """Table that takes the lowest and highest value left after `cut` pixels at either end to 0 and 255."""
    low = int(np.argmax(np.cumsum(counts) > cut))
    high = 255 - int(np.argmax(np.cumsum(counts[::-1]) > cut))
    if high <= low:
        return _LEVELS.astype(np.float64)
    scale = 255.0 / (high - low)
    return np.asarray(np.clip(np.trunc(_LEVELS * scale + -low * scale), 0, 255), np.float64)


def _flatten(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Table of the cumulated counts, in steps of 1/255 of the pixels without those of the highest value."""
    present = np.flatnonzero(counts)
    step = int(counts.sum() - counts[present[-1]]) // 255
    if len(present) <= 1 or step == 0:
        return _LEVELS
    before = np.cumsum(counts) - counts
    return np.asarray(np.minimum((step // 2 + before) // step, 255), np.int64)
