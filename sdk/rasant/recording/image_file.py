# SPDX-License-Identifier: Apache-2.0
"""Colour, depth and mask images from files, checked before they are decoded, and to files.

Every function that decodes takes encoded bytes and the name for messages, and raises FrameError. What comes back always
has the size that the file declares: EXIF rotation is ignored, because it would turn the colour away from its depth.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameError, SourceError
from rasant.recording.image_header import ImageHeader, read_header

__all__ = [
    "MAX_FILE_BYTES", "decode_color", "decode_depth", "decode_mask", "decode_points", "encode_png", "encode_points",
    "read_bytes",
]  # fmt: skip

MAX_FILE_BYTES = 1 << 30
_PNG_LEVEL = 6


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises FrameError where it cannot be read or is larger than `MAX_FILE_BYTES`."""
    try:
        size = os.stat(path).st_size
        if size > MAX_FILE_BYTES:
            raise FrameError(f"{path}: {size} bytes; image files above {MAX_FILE_BYTES} bytes are refused")
        return path.read_bytes()
    except FrameError:
        raise
    except OSError as error:
        raise FrameError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode_color(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """An 8-bit image as (H, W, 3) uint8 RGB. Grey images get three equal channels, alpha is dropped."""
    header = _header(data, name)
    if header.bits != 8 or header.is_float:
        raise FrameError(f"{name}: colour must be 8-bit, got {header.describe()}; convert it to 8 bits a channel")
    cv2 = _opencv()
    pixels = _decode(data, name, header, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return _checked(pixels, name, (header.height, header.width, 3), np.uint8)


def decode_depth(data: bytes, name: str) -> npt.NDArray[np.uint16]:
    """A 16-bit single-channel image as (H, W) uint16 counts."""
    header = _header(data, name)
    if header.bits != 16 or header.channels != 1 or header.is_float:
        raise FrameError(f"{name}: depth must be a 16-bit single-channel image, got {header.describe()}")
    pixels = _decode(data, name, header, _opencv().IMREAD_UNCHANGED)
    return _checked(pixels, name, (header.height, header.width), np.uint16)


def decode_mask(data: bytes, name: str) -> npt.NDArray[np.bool_]:
    """An 8-bit mask image as (H, W) bool: true where any channel is above 0."""
    header = _header(data, name)
    if header.bits != 8 or header.is_float:
        raise FrameError(f"{name}: a mask must be 8-bit, got {header.describe()}")
    pixels = _decode(data, name, header, _opencv().IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        pixels = pixels[..., :3].max(axis=2)
    return np.asarray(_checked(pixels, name, (header.height, header.width), np.uint8) > 0)


def decode_points(data: bytes, name: str) -> npt.NDArray[np.float32]:
    """An organised point cloud stored as 3-channel float32 TIFF: (H, W, 3) float32, x y z as stored."""
    header = _header(data, name)
    if header.bits != 32 or header.channels != 3 or not header.is_float:
        raise FrameError(f"{name}: points must be a float32 TIFF of 3 channels, got {header.describe()}")
    pixels = _decode(data, name, header, _opencv().IMREAD_UNCHANGED)
    pixels = _checked(pixels, name, (header.height, header.width, 3), np.float32)
    return np.ascontiguousarray(pixels[..., ::-1])  # the decoder takes the first channel for red and reverses them


def encode_png(pixels: npt.NDArray[Any]) -> bytes:
    """PNG of (H, W, 3) uint8 RGB, (H, W) uint8 or (H, W) uint16. Raises SourceError where OpenCV refuses."""
    cv2 = _opencv()
    options = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL]
    return _encoded(cv2, ".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels, options)


def encode_points(points: npt.NDArray[np.float32]) -> bytes:
    """The inverse of `decode_points`: (H, W, 3) float32 as TIFF."""
    return _encoded(_opencv(), ".tiff", np.ascontiguousarray(points[..., ::-1]), [])


def _encoded(cv2: Any, suffix: str, pixels: npt.NDArray[Any], options: list[int]) -> bytes:
    ok, data = cv2.imencode(suffix, pixels, options)
    if not ok:
        raise SourceError(f"OpenCV cannot encode {pixels.dtype} {pixels.shape} as {suffix}")
    return bytes(data)


def _header(data: bytes, name: str) -> ImageHeader:
    try:
        return read_header(data)
    except ValueError as error:
        raise FrameError(f"{name}: {error}") from error


def _opencv() -> Any:
    """OpenCV, refused below 4.11, which shows the previous picture's pixels where a JPEG is cut."""
    import cv2

    version = tuple(int(part) for part in cv2.__version__.split(".")[:2])
    if version < (4, 11):
        fault = f"OpenCV {cv2.__version__} gives stale pixels for a cut JPEG"
        raise ConfigError(f"{fault}; install opencv-python-headless>=4.11")
    return cv2


def _decode(data: bytes, name: str, header: ImageHeader, flags: int) -> npt.NDArray[Any]:
    cv2 = _opencv()
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise FrameError(f"{name}: cannot be decoded: {' '.join(str(error).split())}") from error
    if pixels is None:
        raise FrameError(f"{name}: cannot be decoded although its header is sound ({header.describe()})")
    return np.asarray(pixels)


def _checked(pixels: npt.NDArray[Any], name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    if pixels.shape != shape or pixels.dtype != dtype:
        raise FrameError(f"{name}: decodes to {pixels.dtype} {pixels.shape}, its header says {np.dtype(dtype)} {shape}")
    return pixels
