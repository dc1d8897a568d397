# SPDX-License-Identifier: Apache-2.0
"""Reads the frames of a recording made by `RecordingWriter`, also of one that a crash cut short or a disk damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.errors import EndOfStream, FrameError, SourceError
from rasant.recording.image_file import decode_color, decode_depth, decode_mask
from rasant.recording.layout import FRAME_TOPIC, IMAGE_TOPICS, FrameNote, parse_note
from rasant.recording.mcap_chunks import Damage, Message, read_messages, read_summary
from rasant.recording.ros2 import decode_compressed, decode_image, decode_text
from rasant.types import Clock, Frame, Sample

__all__ = ["RecordedFrame", "RecordingReader"]

_ENCODINGS: dict[str, tuple[type[Any], int]] = {
    "rgb8": (np.uint8, 3),
    "mono8": (np.uint8, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
_ALLOWED = {"color": ("rgb8",), "depth": ("16UC1", "32FC1"), "truth": ("mono8",)}
_DEPTH_SETTINGS_BYTES = 12
_IMAGE_OF_TOPIC = {
    topic + suffix: (name, suffix)
    for name, topic in IMAGE_TOPICS.items()
    for suffix in ("", "/compressedDepth" if name == "depth" else "/compressed")
}


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A frame and the time at which it was logged. Index, arrival time and drops are set by the replaying source."""

    frame: Frame
    log_time_ns: int


class RecordingReader:
    """Gives the frames of an MCAP file in the order of recording.

    frame_count: number of frames, None where the file has no index (then it was cut short).
    note: empty, or why the recording ends early; known once the end is reached.
    Raises SourceError where the file cannot be opened, is no MCAP, or is no recording of rasant.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SourceError(f"{path}: cannot be opened: {error.strerror}") from error
        self.path, self.note = path, ""
        summary = read_summary(self._file)
        if summary is not None and FRAME_TOPIC not in summary.counts:
            self._file.close()
            raise SourceError(f"{path}: no recording of rasant: it has no channel {FRAME_TOPIC}")
        self.frame_count = None if summary is None else summary.counts[FRAME_TOPIC]
        self._file.seek(0)
        self._messages = read_messages(self._file, {} if summary is None else summary.channels)

    def read(self) -> RecordedFrame:
        """The next frame. Raises FrameError for one that is damaged, EndOfStream at the end."""
        parts: dict[str, Message] = {}
        while True:
            try:
                item = next(self._messages, None)
            except ValueError as error:
                raise SourceError(f"{self.path}: no recording: {error}") from error
            if item is None or (isinstance(item, Damage) and item.final):
                self.note = self.note if item is None else item.reason
                raise EndOfStream(f"{self.path}: {self.note or 'all frames have been read'}")
            if isinstance(item, Damage):
                raise FrameError(f"{self.path}: {item.reason}")
            if item.topic != FRAME_TOPIC:
                parts[item.topic] = item
                continue
            try:
                return RecordedFrame(_assemble(item, parts), item.log_time_ns)
            except ValueError as error:  # FrameError is one
                raise FrameError(f"{self.path}: frame {item.sequence}: {error}") from error

    def close(self) -> None:
        """Close the file; may be called again."""
        self._file.close()


def _assemble(note_message: Message, parts: dict[str, Message]) -> Frame:
    note: FrameNote = parse_note(decode_text(note_message.data))
    images: dict[str, npt.NDArray[Any]] = {}
    for topic, message in parts.items():
        if topic in _IMAGE_OF_TOPIC and message.sequence == note_message.sequence:
            name, suffix = _IMAGE_OF_TOPIC[topic]
            images[name] = _decode_png(name, message.data) if suffix else _decode_raw(name, message.data)
    if set(images) != set(note.images):
        raise ValueError(f"expected the images {', '.join(note.images)}, found {', '.join(images) or 'none'}")
    camera = note.camera
    for name, pixels in images.items():
        if pixels.shape[:2] != (camera.height, camera.width):
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise ValueError(f"{name} is {size}, the camera {camera.width}x{camera.height}")
    sample = note.sample
    return Frame(
        color=images.get("color"),
        depth=images.get("depth"),
        depth_scale=note.depth_scale,
        intrinsics=camera,
        index=note_message.sequence,
        source="",
        arrival_ns=0,
        device_time_ns=note.device_time_ns,
        clock=Clock(note.clock),
        name=note.name,
        serial=note.serial,
        calibration_id=note.calibration_id,
        skew_ns=note.skew_ns,
        pair=note.pair,
        period_ns=note.period_ns,
        settings=note.settings,
        sample=None
        if sample is None
        else Sample(sample.category, sample.split, sample.label, sample.name, images.get("truth")),
    )


def _decode_raw(name: str, data: memoryview) -> npt.NDArray[Any]:
    image = decode_image(data)
    if image.encoding not in _ALLOWED[name]:
        raise ValueError(f"{name} has the encoding {image.encoding!r}, expected {' or '.join(_ALLOWED[name])}")
    dtype, channels = _ENCODINGS[image.encoding]
    row = image.width * channels * np.dtype(dtype).itemsize
    if image.step != row or len(image.data) != row * image.height or not row * image.height:
        raise ValueError(f"{name}: {len(image.data)} bytes are not {image.height} rows of {row}")
    shape = (image.height, image.width, 3) if channels == 3 else (image.height, image.width)
    pixels = np.frombuffer(image.data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return pixels > 0 if name == "truth" else pixels.astype(dtype)


def _decode_png(name: str, data: memoryview) -> npt.NDArray[Any]:
    encoded = bytes(decode_compressed(data).data)
    if name == "color":
        return decode_color(encoded, name)
    if name == "depth":
        return decode_depth(encoded[_DEPTH_SETTINGS_BYTES:], name)
    return decode_mask(encoded, name)
