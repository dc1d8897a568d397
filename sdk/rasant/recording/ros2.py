# SPDX-License-Identifier: Apache-2.0
"""The four ROS 2 messages of a recording, in CDR, so that Foxglove and ROS 2 open it without rasant.

CDR (OMG DDS-XTypes, encapsulation CDR_LE): four header bytes, then each field aligned to its own size counted from
there; strings carry their length with a closing NUL, sequences their count.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from rasant.types import Intrinsics

__all__ = [
    "SCHEMAS",
    "CompressedImage",
    "RawImage",
    "decode_compressed",
    "decode_image",
    "decode_text",
    "encode_camera",
    "encode_compressed",
    "encode_image",
    "encode_text",
]

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_LAST_STAMP_NS = (2**31 - 1) * 1_000_000_000  # a ROS stamp holds 31 bits of seconds
_SEPARATOR = "=" * 80 + "\n"
_HEADER = (
    f"{_SEPARATOR}MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    f"{_SEPARATOR}MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)

SCHEMAS: dict[str, str] = {
    "sensor_msgs/msg/Image": "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n"
    f"uint8 is_bigendian\nuint32 step\nuint8[] data\n{_HEADER}",
    "sensor_msgs/msg/CompressedImage": f"std_msgs/Header header\nstring format\nuint8[] data\n{_HEADER}",
    "sensor_msgs/msg/CameraInfo": "std_msgs/Header header\nuint32 height\nuint32 width\nstring distortion_model\n"
    "float64[] d\nfloat64[9] k\nfloat64[9] r\nfloat64[12] p\nuint32 binning_x\nuint32 binning_y\n"
    f"sensor_msgs/RegionOfInterest roi\n{_HEADER}{_SEPARATOR}MSG: sensor_msgs/RegionOfInterest\nuint32 x_offset\n"
    "uint32 y_offset\nuint32 height\nuint32 width\nbool do_rectify\n",
    "std_msgs/msg/String": "string data\n",
}
"""Message type -> definition in ROS 2 .msg text."""

_ROS_DISTORTION = {
    "none": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "rational": "rational_polynomial",
    "kannala_brandt4": "equidistant",
}


@dataclass(frozen=True, slots=True)
class RawImage:
    """sensor_msgs/Image without its header: `encoding` is rgb8, mono8, 16UC1 or 32FC1; rows of `step` bytes."""

    height: int
    width: int
    encoding: str
    step: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class CompressedImage:
    """sensor_msgs/CompressedImage without its header."""

    format: str
    data: memoryview


class _Encoder:
    def __init__(self) -> None:
        self._out = bytearray(_LITTLE_ENDIAN)

    def put(self, code: str, *values: Any) -> None:
        size = struct.calcsize("<" + code)
        self._out += bytes(-(len(self._out) - 4) % size)
        self._out += struct.pack(f"<{len(values)}{code}", *values)

    def text(self, value: str) -> None:
        data = value.encode() + b"\0"
        self.put("I", len(data))
        self._out += data

    def blob(self, data: bytes | memoryview) -> None:
        self.put("I", len(data))
        self._out += data

    def stamp(self, time_ns: int, frame_id: str) -> None:
        seconds, rest = divmod(min(max(time_ns, 0), _LAST_STAMP_NS), 1_000_000_000)
        self.put("i", seconds)
        self.put("I", rest)
        self.text(frame_id)

    def bytes(self) -> bytes:
        return bytes(self._out)


class _Decoder:
    """Reads fields in order; every read beyond the end, and every byte order but the one written, raises ValueError."""

    def __init__(self, data: memoryview) -> None:
        if bytes(data[:4]) != _LITTLE_ENDIAN:
            raise ValueError("the message is not little-endian CDR")
        self._data, self._at = data, 4

    def get(self, code: str) -> int:
        size = struct.calcsize("<" + code)
        self._at += -(self._at - 4) % size
        value: int = struct.unpack("<" + code, self.take(size))[0]
        return value

    def take(self, size: int) -> memoryview:
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise ValueError("the message is cut short")
        self._at += size
        return part

    def text(self) -> str:
        return bytes(self.take(self.get("I"))).rstrip(b"\0").decode()

    def skip_header(self) -> None:
        self.get("i")
        self.get("I")
        self.text()


def encode_image(time_ns: int, frame_id: str, image: RawImage) -> bytes:
    """sensor_msgs/Image in CDR."""
    out = _Encoder()
    out.stamp(time_ns, frame_id)
    out.put("I", image.height, image.width)
    out.text(image.encoding)
    out.put("B", 0)
    out.put("I", image.step)
    out.blob(image.data)
    return out.bytes()


def decode_image(data: memoryview) -> RawImage:
    """The inverse of `encode_image`; the pixels stay a view into `data`. Raises ValueError for a damaged message."""
    source = _Decoder(data)
    source.skip_header()
    height, width, encoding = source.get("I"), source.get("I"), source.text()
    if source.get("B"):
        raise ValueError("the image is big-endian")
    step = source.get("I")
    return RawImage(height, width, encoding, step, source.take(source.get("I")))


def encode_compressed(time_ns: int, frame_id: str, image: CompressedImage) -> bytes:
    """sensor_msgs/CompressedImage in CDR."""
    out = _Encoder()
    out.stamp(time_ns, frame_id)
    out.text(image.format)
    out.blob(image.data)
    return out.bytes()


def decode_compressed(data: memoryview) -> CompressedImage:
    """The inverse of `encode_compressed`. Raises ValueError for a damaged message."""
    source = _Decoder(data)
    source.skip_header()
    return CompressedImage(source.text(), source.take(source.get("I")))


def encode_camera(time_ns: int, frame_id: str, camera: Intrinsics) -> bytes:
    """sensor_msgs/CameraInfo in CDR. Models that ROS does not know keep rasant's name."""
    out = _Encoder()
    out.stamp(time_ns, frame_id)
    out.put("I", camera.height, camera.width)
    out.text(_ROS_DISTORTION.get(camera.distortion_model, camera.distortion_model))
    out.put("I", len(camera.distortion))
    if camera.distortion:
        out.put("d", *camera.distortion)
    out.put("d", camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1)
    out.put("d", 1, 0, 0, 0, 1, 0, 0, 0, 1)
    out.put("d", camera.fx, 0, camera.cx, 0, 0, camera.fy, camera.cy, 0, 0, 0, 1, 0)
    out.put("I", 0, 0, 0, 0, 0, 0)
    out.put("B", 0)
    return out.bytes()


def encode_text(text: str) -> bytes:
    """std_msgs/String in CDR."""
    out = _Encoder()
    out.text(text)
    return out.bytes()


def decode_text(data: memoryview) -> str:
    """The inverse of `encode_text`. Raises ValueError for a damaged message."""
    return _Decoder(data).text()
