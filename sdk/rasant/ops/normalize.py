# SPDX-License-Identifier: Apache-2.0
"""Depth to the range that a network was trained on: every published rule by its name, none of them clipped unless said.

A pixel is used where the foreground holds it and its value is finite and not 0; all others get the rule's fill value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.ops.device import native_for, output

__all__ = ["RULES", "normalize_depth"]

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
MEAN_STEP = 2e-6  # metres; means are taken in steps of half of that, so a smaller span is flat

RULES: dict[str, str] = {
    "threedsr": "per image, used minimum..maximum to 0.1..0.9, missing 0 (3DSR, WACV 2024)",
    "easynet_legacy_u8": "per image over all pixels, removed ones as 0, to 256 grey levels (EasyNet)",
    "easynet_foreground": "per image, used minimum..maximum to 0..1, missing 0",
    "das3d": "per image, removed pixels take the largest depth, used minimum..maximum to 0..1, missing 1 (DAS3D)",
    "dbrn": "per image, removed pixels take the mean background depth (2-means), to 0.2..0.8 (DBRN)",
    "ast": "centimetres from the mean of the used pixels, unbounded, missing 0 (AST, WACV 2023)",
    "transfusion": "(z - 1.1 high) / (1.1 high - 0.9 low) with the class's range low..high, missing 0 (TransFusion)",
    "metric": "values as they are, missing 0 (M3DM, BTF)",
    "percentile": "per image, percents low, high (0.5, 99.5) to 0.1..0.9, clipped to 0..1, missing 0",
    "class_range": "frozen depth range low..high in metres to 0.1..0.9, clipped to 0..1, missing 0",
    "height_range": "frozen height range low..high in metres to 0.1..0.9, not clipped, missing 0",
}


@dataclass(frozen=True, slots=True)
class _Affine:
    """out = (value - low) / unit * gain + base where used, else fill; see csrc/ops/normalize.hpp."""

    low: float = 0.0
    unit: float = 1.0
    gain: float = 1.0
    base: float = 0.0
    fill: float = 0.0
    floor: float = 0.0
    ceiling: float = 0.0
    levels: int = 0


@dataclass(frozen=True, slots=True)
class _Input:
    value: FloatImage
    foreground: Mask | None
    low: float | None
    high: float | None
    threads: int
    native: Any  # module of the device
    stream: Any

    def used_range(self) -> tuple[int, float, float, float]:
        """(count, minimum, maximum, mean) of the used pixels."""
        found: tuple[int, float, float, float] = self.native.measure(
            self.value, self.foreground, self.threads, self.stream
        )
        return found


def normalize_depth(
    depth: FloatImage,
    foreground: Mask | None,
    *,
    rule: str,
    low: float | None = None,
    high: float | None = None,
    out: FloatImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> FloatImage:
    """Normalises a depth or height image by the named rule of `RULES`.

    depth: (H, W) float32 metres, invalid 0 or NaN; for "height_range" the height above the background.
    foreground: (H, W) bool, or None where every pixel belongs to the part.
    low, high: metres for "transfusion", "class_range" and "height_range", percents for "percentile"; other rules
        measure the image and take no notice of them.
    out: (H, W) float32 that shares no memory with `depth`.
    device, stream: see rasant.ops.device. All devices give the same bits. Rules that measure the image wait for the
        device; "metric", "transfusion", "class_range" and "height_range" do not.

    Returns (H, W) float32, finite for every input. A flat image (maximum = minimum) maps to the low end of the range,
    an image without a used pixel to the fill value.
    Raises ConfigError for an unknown rule or a missing or empty range, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    if rule not in _AFFINE:
        raise ConfigError(f"rule must be one of {', '.join(RULES)}, got {rule!r}; correct depth_rule")
    normal: FloatImage = output(out, depth.shape, np.float32, device)
    affine = _AFFINE[rule](_Input(depth, foreground, low, high, threads, native, stream))
    native.normalize(
        depth, foreground, affine.low, affine.unit, affine.gain, affine.base, affine.fill, affine.floor, affine.ceiling,
        affine.levels, normal, threads, stream,
    )
    return normal


def _span(low: float, high: float) -> float:
    """high - low as the kernel computes it, 1 where they are equal."""
    return float(np.float32(high) - np.float32(low)) or 1.0


def _per_image(gain: float, base: float, fill: float) -> Callable[[_Input], _Affine]:
    def affine(image: _Input) -> _Affine:
        _, low, high, _ = image.used_range()
        return _Affine(low, _span(low, high), gain, base, fill)

    return affine


def _legacy_u8(image: _Input) -> _Affine:
    count, low, high, _ = image.used_range()
    if count < math.prod(image.value.shape):
        low, high = min(low, 0.0), max(high, 0.0)
    unit = _span(low, high)
    return _Affine(low, unit, fill=int(-low / unit * 255) / 255 if low < 0 else 0.0, levels=255)


def _dbrn(image: _Input) -> _Affine:
    _, background = image.native.two_means(image.value, image.threads, image.stream)
    count, low, high, _ = image.used_range()
    if count == 0:
        return _Affine(fill=0.8)
    low, high = min(low, background), max(high, background)
    unit = _span(low, high) if high - low > MEAN_STEP else 1.0
    return _Affine(low, unit, 0.6, 0.2, fill=(background - low) / unit * 0.6 + 0.2)


def _ast(image: _Input) -> _Affine:
    return _Affine(low=image.used_range()[3], gain=100.0)


def _given(image: _Input, rule: str) -> tuple[float, float]:
    low, high = image.low, image.high
    if low is None or high is None or not -np.inf < low < high < np.inf or np.float32(low) == np.float32(high):
        raise ConfigError(f"rule {rule} needs low < high in metres, got {low} and {high}; take them from training")
    return low, high


def _transfusion(image: _Input) -> _Affine:
    low, high = _given(image, "transfusion")
    return _Affine(low=1.1 * high, unit=1.1 * high - 0.9 * low)


def _percentile(image: _Input) -> _Affine:
    percents = 0.5 if image.low is None else image.low, 99.5 if image.high is None else image.high
    found = image.native.percentiles(image.value, image.foreground, *percents, image.stream)
    if found is None:
        return _Affine()
    return _Affine(found[0], _span(*found), 0.8, 0.1, floor=0.0, ceiling=1.0)


def _class_range(image: _Input) -> _Affine:
    low, high = _given(image, "class_range")
    return _Affine(low, _span(low, high), 0.8, 0.1, floor=0.0, ceiling=1.0)


def _height_range(image: _Input) -> _Affine:
    low, high = _given(image, "height_range")
    return _Affine(low, _span(low, high), 0.8, 0.1)


_AFFINE: dict[str, Callable[[_Input], _Affine]] = {
    "threedsr": _per_image(0.8, 0.1, fill=0.0),
    "easynet_legacy_u8": _legacy_u8,
    "easynet_foreground": _per_image(1.0, 0.0, fill=0.0),
    "das3d": _per_image(1.0, 0.0, fill=1.0),
    "dbrn": _dbrn,
    "ast": _ast,
    "transfusion": _transfusion,
    "metric": lambda _: _Affine(),
    "percentile": _percentile,
    "class_range": _class_range,
    "height_range": _height_range,
}
