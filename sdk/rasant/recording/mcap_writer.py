# SPDX-License-Identifier: Apache-2.0
"""Writes frames to an MCAP file that survives a crash: each frame is one chunk, handed to the system as it is complete.

After `kill -9` the file reads up to the last frame written; after a power cut up to what the disk had taken. Formats of
the images: raw inside lz4 chunks (fast), PNG (small), or raw without compression. All are lossless, and equal frames
without time stamps give equal files.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rasant import __version__
from rasant.errors import ConfigError, DtypeError, ShapeError, SourceError
from rasant.recording.image_file import encode_png
from rasant.recording.layout import CAMERA_TOPIC, FRAME_TOPIC, IMAGE_TOPICS, MAX_CHUNK_BYTES, METADATA_NAME, note_of
from rasant.recording.ros2 import (
    SCHEMAS,
    CompressedImage,
    RawImage,
    encode_camera,
    encode_compressed,
    encode_image,
    encode_text,
)
from rasant.types import Clock, Frame

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["COMPRESSIONS", "RecordingWriter"]

COMPRESSIONS = ("lz4", "png", "none")
_Message = tuple[str, str, bytes]  # topic, schema, CDR
_FRAME_ID = "camera"
_DEPTH_FORMAT = "16UC1; compressedDepth png"  # of the ROS plug-in: 12 bytes of its settings stand before the PNG
_DEPTH_SETTINGS = bytes(12)


class RecordingWriter:
    """Appends frames to a new MCAP file. Use it as a context manager, or call `close`.

    compression: one of `COMPRESSIONS`. fps: spacing given to frames that carry no time stamp of their own.
    overwrite: replace an existing file instead of refusing it. settings: of the camera, by name. calibration: text of
        the calibration file, or empty.
    Raises ConfigError for wrong parameters or an existing file, SourceError where the disk refuses.
    """

    def __init__(
        self, path: Path, *, source: str = "", compression: str = "lz4", fps: float = 10.0, overwrite: bool = False,
        settings: Mapping[str, Any] | None = None, calibration: str = "",
    ) -> None:
        from mcap.writer import CompressionType, Writer

        if compression not in COMPRESSIONS:
            raise ConfigError(f"compression must be {', '.join(COMPRESSIONS)}, got {compression!r}")
        if not 0 < fps <= 100_000:
            raise ConfigError(f"fps must be above 0 and at most 100000, got {fps}")
        try:
            self._file = path.open("wb" if overwrite else "xb")
        except FileExistsError:
            raise ConfigError(f"{path} exists; choose another name, or allow to overwrite it") from None
        except OSError as error:
            raise SourceError(f"{path}: cannot be written: {error.strerror}") from error
        self.path, self.frames = path, 0
        self._source, self._compression, self._period_ns = source, compression, round(1e9 / fps)
        self._settings, self._calibration = dict(settings or {}), calibration
        kind = CompressionType.NONE if compression == "none" else CompressionType.LZ4
        # flush() ends the chunk after each frame; the size is out of reach
        self._writer: Any = Writer(self._file, chunk_size=2 * MAX_CHUNK_BYTES, compression=kind)
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._origin: tuple[int, int] | None = None  # wall clock and arrival of the first stamped frame
        self._writer.start(profile="ros2", library=f"rasant {__version__}")

    @property
    def bytes(self) -> int:
        """Size of the file so far."""
        return self.path.stat().st_size

    def write(self, frame: Frame) -> None:
        """Append one frame; when this returns the system has it. Raises DtypeError, ShapeError, SourceError."""
        messages = self._messages(frame)
        try:
            if self.frames == 0:
                self._writer.add_metadata(METADATA_NAME, self._description(frame))
                if self._calibration:
                    text = self._calibration.encode()
                    self._writer.add_attachment(0, 0, "calibration.json", "application/json", text)
            time_ns = self._time(frame)
            for topic, schema, data in messages:
                channel = self._channel(topic, schema)
                self._writer.add_message(channel, time_ns, data, time_ns, self.frames)
            self._writer.flush()
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.frames += 1

    def close(self) -> None:
        """Write the index and close the file; may be called again."""
        if self._file.closed:
            return
        try:
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be finished: {error.strerror}") from error
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _messages(self, frame: Frame) -> list[_Message]:
        """(topic, schema, CDR) of a frame, the note that completes it last."""
        stamp = frame.device_time_ns if frame.device_time_ns is not None else self._time(frame)
        messages: list[_Message] = []
        truth = None if frame.sample is None else frame.sample.truth
        for name, pixels in (("color", frame.color), ("depth", frame.depth), ("truth", truth)):
            if pixels is not None:
                _check(name, pixels, frame.size)
                messages.append(self._image(name, pixels, stamp))
        messages.append((CAMERA_TOPIC, "sensor_msgs/msg/CameraInfo", encode_camera(stamp, _FRAME_ID, frame.intrinsics)))
        messages.append((FRAME_TOPIC, "std_msgs/msg/String", encode_text(note_of(frame))))
        size = sum(len(data) for _, _, data in messages)
        if size > MAX_CHUNK_BYTES - (1 << 20):
            raise ShapeError(f"a frame of {size} bytes is larger than a recording takes ({MAX_CHUNK_BYTES} bytes)")
        return messages

    def _image(self, name: str, pixels: npt.NDArray[Any], stamp: int) -> _Message:
        pixels = np.ascontiguousarray(pixels if pixels.dtype != np.bool_ else pixels.astype(np.uint8) * 255)
        if self._compression == "png" and pixels.dtype != np.float32:
            topic = IMAGE_TOPICS[name] + ("/compressedDepth" if name == "depth" else "/compressed")
            kind, start = (_DEPTH_FORMAT, _DEPTH_SETTINGS) if name == "depth" else ("png", b"")
            image = CompressedImage(kind, memoryview(start + encode_png(pixels)))
            return topic, "sensor_msgs/msg/CompressedImage", encode_compressed(stamp, _FRAME_ID, image)
        encoding = {"color": "rgb8", "truth": "mono8"}.get(name, "16UC1" if pixels.dtype == np.uint16 else "32FC1")
        height, width = pixels.shape[:2]
        step = pixels.nbytes // height
        raw = RawImage(height, width, encoding, step, memoryview(pixels.tobytes()))
        return IMAGE_TOPICS[name], "sensor_msgs/msg/Image", encode_image(stamp, _FRAME_ID, raw)

    def _channel(self, topic: str, schema: str) -> int:
        if topic not in self._channels:
            if schema not in self._schemas:
                self._schemas[schema] = self._writer.register_schema(schema, "ros2msg", SCHEMAS[schema].encode())
            self._channels[topic] = self._writer.register_channel(topic, "cdr", self._schemas[schema])
        return self._channels[topic]

    def _time(self, frame: Frame) -> int:
        """Log time: the wall clock at arrival, or an even spacing from 0 for frames that come from files."""
        if frame.clock is Clock.NONE:
            return self.frames * self._period_ns
        if self._origin is None:
            self._origin = time.time_ns(), frame.arrival_ns
        return max(0, self._origin[0] + frame.arrival_ns - self._origin[1])

    def _description(self, frame: Frame) -> dict[str, str]:
        return {
            "version": __version__,
            "source": _without_folders(self._source or frame.source),
            "serial": frame.serial,
            "calibration_id": frame.calibration_id,
            "depth_scale": repr(float(frame.depth_scale)),
            "intrinsics": json.dumps(asdict(frame.intrinsics)),
            "compression": self._compression,
            "settings": json.dumps(self._settings, sort_keys=True),
        }


def _without_folders(uri: str) -> str:
    """A source URI without the folders of this machine: dataset:/home/me/lid?split=test is dataset:lid?split=test."""
    scheme, mark, rest = uri.rpartition(":")
    path, query_mark, query = rest.partition("?")
    return f"{scheme}{mark}{Path(path).name}{query_mark}{query}"


def _check(name: str, pixels: npt.NDArray[Any], size: tuple[int, int]) -> None:
    dtypes = {"color": (np.uint8,), "depth": (np.uint16, np.float32), "truth": (np.bool_,)}[name]
    if pixels.dtype not in dtypes:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise DtypeError(f"{name} must be {wanted}, got {pixels.dtype}; convert it before recording")
    shape = (*size, 3) if name == "color" else size
    if pixels.shape != shape:
        raise ShapeError(f"{name} must be {shape} as the intrinsics say, got {pixels.shape}")
