# SPDX-License-Identifier: Apache-2.0
"""What an image file claims to be, read from its first bytes and its structure without decoding a pixel.

A decoder believes headers: 60000 x 60000 in a file of 200 bytes asks for 10 GB, and a cut JPEG gives grey pixels, with
OpenCV 4.10 even those of the previous picture. So every file is walked from its first to its last marker before any
decoder sees it. Formats: PNG, JPEG, TIFF (classic, contiguous planes), PGM and PPM (binary).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MAX_PIXELS", "ImageHeader", "read_header"]

MAX_PIXELS = 64_000_000  # larger images are refused: no inspection camera makes them
_DEFLATE_RATIO = 1040  # DEFLATE cannot expand a byte to more than 1032
_JPEG_RATIO = 512  # a block of 64 pixels takes at least one bit
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}
_TIFF_UNCOMPRESSED = 1


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Claims of an image file: its format, size in pixels, bits a channel, channels, and whether they are float."""

    format: str
    width: int
    height: int
    bits: int
    channels: int
    is_float: bool = False

    def describe(self) -> str:
        """For example "16-bit 1-channel PNG of 640x480"."""
        kind = "float" if self.is_float else "bit"
        return f"{self.bits}-{kind} {self.channels}-channel {self.format} of {self.width}x{self.height}"


def read_header(data: bytes) -> ImageHeader:
    """Walk the structure of an encoded image and return what it claims.

    Raises ValueError with a sentence for a person where the file is empty, of an unknown format, cut short, too large,
    or fails its own checksums.
    """
    if not data:
        raise ValueError("the file is empty")
    for magic, read in _READERS.items():
        if data.startswith(magic):
            try:
                header = read(data)
            except (struct.error, IndexError, KeyError) as error:
                raise ValueError("the file is cut short or damaged in its header") from error
            return _sized(header)
    raise ValueError(f"the file is not PNG, JPEG, TIFF, PGM or PPM (it starts with {data[:4]!r})")


def _sized(header: ImageHeader) -> ImageHeader:
    if header.width < 1 or header.height < 1:
        raise ValueError(f"the header declares {header.width}x{header.height} pixels")
    if header.width * header.height > MAX_PIXELS:
        limit = f"images above {MAX_PIXELS // 10**6} Mpixel are refused"
        raise ValueError(f"the header declares {header.width}x{header.height} pixels; {limit}")
    return header


def _read_png(data: bytes) -> ImageHeader:
    length, kind, width, height, bits, color, _, _, _ = struct.unpack_from(">I4sIIBBBBB", data, 8)
    if kind != b"IHDR" or length != 13:
        raise ValueError("the first PNG chunk is not IHDR")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(color)
    if channels is None:
        raise ValueError(f"PNG colour type {color} does not exist")
    header = _sized(ImageHeader("PNG", width, height, 8 if color == 3 else bits, channels))
    position, packed = 8, 0
    while kind != b"IEND":
        if position + 12 > len(data):
            raise ValueError("the PNG is cut short: it has no IEND chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError(f"the PNG is cut short in its {kind!r} chunk")
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the {kind!r} chunk of the PNG fails its checksum")
        packed += length if kind == b"IDAT" else 0
        position = end
    if packed * _DEFLATE_RATIO < width * height * bits // 8:
        raise ValueError(f"the PNG declares {width}x{height} pixels and holds too few bytes for them ({packed})")
    return header


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # a real marker inside entropy-coded data
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _read_jpeg(data: bytes) -> ImageHeader:
    header, position = None, 2
    while True:
        found = _JPEG_MARKER.search(data, position)
        if found is None:
            raise ValueError("the JPEG is cut short: it has no end marker")
        marker, position = data[found.start() + 1], found.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):
            continue
        length = struct.unpack_from(">H", data, position)[0]
        if marker in _JPEG_SIZES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 2)
            header = _sized(ImageHeader("JPEG", width, height, bits, channels))
        position += length
        if position > len(data):
            raise ValueError("the JPEG is cut short inside a segment")
    if header is None:
        raise ValueError("the JPEG has no frame header")
    if len(data) * _JPEG_RATIO < header.width * header.height:
        raise ValueError(f"the JPEG declares {header.width}x{header.height} pixels in only {len(data)} bytes")
    return header


def _tiff_values(data: bytes, order: str, entry: int) -> tuple[int, ...]:
    kind, count = struct.unpack_from(order + "HI", data, entry + 2)
    if kind not in _TIFF_TYPES:
        return ()
    layout = struct.Struct(f"{order}{count}{_TIFF_TYPES[kind]}") if count <= len(data) else None
    if layout is None:
        raise ValueError(f"a TIFF tag declares {count} values, more than the file has bytes")
    start = entry + 8 if layout.size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
    return layout.unpack_from(data, start)


def _read_tiff(data: bytes) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(order + "I", data, 4)[0]
    wanted = {256: "width", 257: "height", 258: "bits", 259: "packing", 277: "channels", 284: "planes", 339: "sample"}
    wanted |= {273: "offsets", 279: "counts", 324: "offsets", 325: "counts"}
    tags: dict[str, tuple[int, ...]] = {}
    for number in range(struct.unpack_from(order + "H", data, directory)[0]):
        entry = directory + 2 + 12 * number
        name = wanted.get(struct.unpack_from(order + "H", data, entry)[0])
        if name is not None:
            tags[name] = _tiff_values(data, order, entry)
    (width, *_), (height, *_) = tags.get("width") or (0,), tags.get("height") or (0,)
    (channels, *_), bits = tags.get("channels") or (1,), tags.get("bits") or (1,)
    if len(set(bits)) != 1:
        raise ValueError(f"the TIFF mixes channels of {sorted(set(bits))} bits")
    if channels > 1 and (tags.get("planes") or (1,))[0] != 1:
        raise ValueError("the TIFF stores its channels as separate planes; store them pixel by pixel")
    header = _sized(ImageHeader("TIFF", width, height, bits[0], channels, (tags.get("sample") or (1,))[0] == 3))
    offsets, counts = tags.get("offsets", ()), tags.get("counts", ())
    if not offsets or len(offsets) != len(counts):
        raise ValueError("the TIFF does not say where its pixels are")
    if any(offset + count > len(data) for offset, count in zip(offsets, counts, strict=True)):
        raise ValueError("the TIFF is cut short: its pixels lie behind the end of the file")
    needed = width * height * channels * bits[0] // 8
    expands = 1 if (tags.get("packing") or (1,))[0] == _TIFF_UNCOMPRESSED else _DEFLATE_RATIO * 4
    if sum(counts) * expands < needed:
        raise ValueError(f"the TIFF declares {width}x{height} pixels and holds too few bytes for them ({sum(counts)})")
    return header


_PNM = re.compile(rb"P([56])(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,5})\s")


def _read_pnm(data: bytes) -> ImageHeader:
    found = _PNM.match(data[:4096])
    if found is None:
        raise ValueError("the PGM/PPM header is damaged")
    kind, width, height, top = (int(group) for group in found.groups())
    channels, bits = (1 if kind == 5 else 3), (8 if top < 256 else 16)
    header = _sized(ImageHeader("PGM" if kind == 5 else "PPM", width, height, bits, channels))
    if len(data) - found.end() < width * height * channels * bits // 8:
        raise ValueError("the PGM/PPM is cut short")
    return header


_READERS: dict[bytes, Callable[[bytes], ImageHeader]] = {
    b"\x89PNG\r\n\x1a\n": _read_png,
    b"\xff\xd8\xff": _read_jpeg,
    b"II*\x00": _read_tiff,
    b"MM\x00*": _read_tiff,
    b"P5": _read_pnm,
    b"P6": _read_pnm,
}
