# SPDX-License-Identifier: Apache-2.0
"""What stands in a recording: the channels, and the note that completes each frame.

    /camera/color/image            sensor_msgs/Image rgb8                        or .../compressed       (png)
    /camera/depth/image            sensor_msgs/Image 16UC1 counts, 32FC1 metres  or .../compressedDepth  (png)
    /camera/camera_info            sensor_msgs/CameraInfo
    /truth/mask                    sensor_msgs/Image mono8, 255 where defective  or .../compressed       (png)
    /rasant/frame                  std_msgs/String: JSON of `FrameNote`, written last

All messages of a frame share one chunk and one sequence number, so a crash or a damaged chunk costs whole frames only.
The MCAP metadata record "rasant" holds the version, source, serial, calibration, depth scale and the camera's settings;
the calibration file that the source was read with is the attachment "calibration.json". Both stand before the frames.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rasant.errors import ConfigError
from rasant.recording.camera_file import CameraFile
from rasant.types import Frame, Intrinsics

__all__ = [
    "CAMERA_TOPIC",
    "FRAME_TOPIC",
    "IMAGE_TOPICS",
    "MAX_CHUNK_BYTES",
    "METADATA_NAME",
    "FrameNote",
    "SampleNote",
    "note_of",
    "parse_note",
]

METADATA_NAME = "rasant"
FRAME_TOPIC = "/rasant/frame"
CAMERA_TOPIC = "/camera/camera_info"
IMAGE_TOPICS = {"color": "/camera/color/image", "depth": "/camera/depth/image", "truth": "/truth/mask"}
MAX_CHUNK_BYTES = 128 << 20
"""A frame with all its images must fit; a reader refuses larger chunks, whatever their header promises."""

_Text = Annotated[str, Field(max_length=4096)]
_Time = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class SampleNote(BaseModel):
    """Label of a frame of a data set; its mask is an image of its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    category: _Text
    split: _Text
    label: _Text
    name: _Text


class FrameNote(BaseModel):
    """All of a frame but its images."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    images: tuple[Literal["color", "depth", "truth"], ...] = Field(strict=False)
    name: _Text
    serial: _Text
    calibration_id: _Text
    depth_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    device_time_ns: _Time | None
    clock: Literal["none", "device", "global", "host"]
    intrinsics: dict[str, Any]
    sample: SampleNote | None
    skew_ns: _Time | None = None
    pair: tuple[_Time, _Time] | None = Field(default=None, strict=False)
    period_ns: _Time | None = None
    settings: _Text = ""

    @property
    def camera(self) -> Intrinsics:
        """The intrinsics as the rest of rasant takes them. Raises ValueError where they make no camera."""
        return CameraFile.model_validate(self.intrinsics | {"depth_scale": 1.0}).intrinsics


def note_of(frame: Frame) -> str:
    """The JSON text for a frame; floats keep every bit. Raises ConfigError for a frame that could not be read back."""
    sample = frame.sample
    note = {
        "images": [name for name in IMAGE_TOPICS if _image(frame, name) is not None],
        "name": frame.name,
        "serial": frame.serial,
        "calibration_id": frame.calibration_id,
        "depth_scale": float(frame.depth_scale),
        "device_time_ns": frame.device_time_ns,
        "clock": frame.clock.value,
        "intrinsics": asdict(frame.intrinsics),
        "skew_ns": frame.skew_ns,
        "pair": frame.pair,
        "period_ns": frame.period_ns,
        "settings": frame.settings,
        "sample": None
        if sample is None
        else {"category": sample.category, "split": sample.split, "label": sample.label, "name": sample.name},
    }
    try:
        text = json.dumps(note, separators=(",", ":"), allow_nan=False)
        _ = parse_note(text).camera
    except (ValueError, TypeError) as error:
        raise ConfigError(f"frame {frame.index} cannot be recorded: {error}") from error
    return text


def parse_note(text: str) -> FrameNote:
    """The inverse of `note_of`. Raises ValueError for anything else."""
    try:
        return FrameNote.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"frame note: {'.'.join(map(str, first['loc'])) or 'text'}: {first['msg']}") from error


def _image(frame: Frame, name: str) -> Any:
    if name == "truth":
        return None if frame.sample is None else frame.sample.truth
    return getattr(frame, name)
