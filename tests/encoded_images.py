# SPDX-License-Identifier: Apache-2.0
"""Encoded images for tests, sound ones and hostile ones."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def encode(suffix: str, pixels: npt.NDArray[Any]) -> bytes:
    """An image file as OpenCV writes it; three channels are RGB."""
    ok, data = cv2.imencode(suffix, pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert ok
    return bytes(data)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int, bits: int = 16, color: int = 0) -> bytes:
    """A PNG of sound checksums with a handful of bytes for the size that it declares."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_claiming(width: int, height: int, bits: int, channels: int, floating: bool, stored: int = 64) -> bytes:
    """A little-endian TIFF whose directory declares a size and `stored` bytes of pixels."""
    values = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, channels),
        (278, 4, height), (279, 4, stored), (339, 3, 3 if floating else 1),
    ]
    directory = struct.pack("<H", len(values)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in values)
    return b"II*\0" + struct.pack("<I", 8 + stored) + bytes(stored) + directory + bytes(4)


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG with a frame header of the declared size and next to no data."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    scan = struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0, 3, 0, 0, 63, 0))
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + scan + b"\x00" * 16 + b"\xff\xd9"


def pattern(height: int, width: int, channels: int = 0, dtype: Any = np.uint8, seed: int = 0) -> npt.NDArray[Any]:
    """Random pixels over the whole range of an integer dtype."""
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
