# SPDX-License-Identifier: Apache-2.0
"""A frame into the engine's input buffers in one pass: resize, scale, order of channels, HWC uint8 to CHW float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, ShapeError
from rasant.ops.device import native_for, output

__all__ = ["CHANNELS", "pack"]

CHANNELS: dict[str, tuple[int, int, int]] = {"rgb": (0, 1, 2), "bgr": (2, 1, 0)}  # source channel of each output plane

Three = tuple[float, float, float]
FloatImage = npt.NDArray[np.float32]


def pack(
    color: npt.NDArray[np.uint8] | None,
    depth: FloatImage | None,
    *,
    size: tuple[int, int],
    channel_order: str = "rgb",
    scale: float = 1.0 / 255.0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "area",
    out_color: FloatImage | None = None,
    out_depth: FloatImage | None = None,
    threads: int = 1,
    device: str = "cpu",
    stream: Any = None,
) -> tuple[FloatImage | None, FloatImage | None]:
    """Resizes and packs a frame into network inputs. Returns (color_input, depth_input), None where not given.

    color: (H, W, 3) uint8 RGB, or None. Becomes (value * scale - mean) / std in (1, 3, h, w) float32.
    depth: (H, W) float32 in any unit, or None; 0, NaN and infinity are invalid. Becomes (1, 1, h, w): the mean of the
        valid pixels under the resize weights, 0 where less than half of the weight is valid.
    size: (h, w) of the network.
    channel_order: "rgb" or "bgr", the order that the network was trained on; `mean` and `std` stand in this order.
    interpolation: "area" (mean over the covered pixels where an axis shrinks, else bilinear), "bilinear" or "nearest".
    out_color, out_depth: C-contiguous buffers, for instance those that the engine has bound.
    device, stream: see rasant.ops.device. All devices give the same bits.

    Raises ConfigError for an unknown name or a std of 0, ShapeError and DtypeError for wrong arrays.
    """
    native = native_for(device)
    height, width = size
    color_input = depth_input = None
    if color is not None:
        gain, offset = _affine(scale, mean, std)
        color_input = _buffer(out_color, (1, 3, height, width), "out_color", device)
        channels = _channels(channel_order)
        native.pack_color(color, channels, gain, offset, interpolation, color_input, threads, stream)
    if depth is not None:
        depth_input = _buffer(out_depth, (1, 1, height, width), "out_depth", device)
        native.pack_depth(depth, interpolation, depth_input, threads, stream)
    return color_input, depth_input


def _channels(order: str) -> tuple[int, int, int]:
    if order not in CHANNELS:
        raise ConfigError(f'channel_order must be one of {sorted(CHANNELS)}, got "{order}"; take the bundle\'s')
    return CHANNELS[order]


def _affine(scale: float, mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Three, Three]:
    """Gain and offset of each plane, so that out = gain * value + offset."""
    means = (0.0, 0.0, 0.0) if mean is None else tuple(mean)
    stds = (1.0, 1.0, 1.0) if std is None else tuple(std)
    if len(means) != 3 or len(stds) != 3 or not all(0 < s < np.inf for s in stds) or not np.isfinite(means).all():
        raise ConfigError(f"mean and std must be 3 finite numbers, std above 0; got {mean} and {std}; correct them")
    (m0, m1, m2), (s0, s1, s2) = means, stds
    return (scale / s0, scale / s1, scale / s2), (-m0 / s0, -m1 / s1, -m2 / s2)


def _buffer(out: FloatImage | None, shape: tuple[int, ...], name: str, device: str) -> FloatImage:
    buffer: FloatImage = output(out, shape, np.float32, device)
    if buffer.shape != shape:
        raise ShapeError(f"{name} must have shape {shape}, got {buffer.shape}; allocate it for this size")
    return buffer
