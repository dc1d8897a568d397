# SPDX-License-Identifier: Apache-2.0
"""What travels through rasant: frames in, inspections out. Plain, frozen, without behaviour beyond units."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Clock", "Drops", "Frame", "Inspection", "Intrinsics", "Reason", "Region", "Sample", "Timings", "Verdict"]


class Verdict(enum.Enum):
    """What a machine acts on. Anything but PASS is treated as a reject."""

    PASS = "PASS"
    REJECT = "REJECT"
    UNKNOWN = "UNKNOWN"


class Reason(enum.Enum):
    """Why a verdict is what it is. PASS carries OK, REJECT carries DEFECT, UNKNOWN carries one of the others."""

    OK = "OK"
    DEFECT = "DEFECT"
    NONFINITE = "E_NONFINITE"  # the engine's map holds NaN or infinity
    COLOR_MISSING = "E_COLOR_MISSING"
    DEPTH_MISSING = "E_DEPTH_MISSING"  # the frame has no depth and the bundle needs it
    DEPTH_EMPTY = "E_DEPTH_EMPTY"  # no valid depth pixel at all
    DEPTH_SPARSE = "E_DEPTH_SPARSE"  # fewer valid depth pixels than the bundle asks for
    RANGE = "E_RANGE"  # depth saturates or leaves the station's range
    UNITS = "E_UNITS"  # depth looks as if it were in other units
    BACKGROUND = "E_BACKGROUND"  # no background surface can be found
    EXPOSURE = "E_EXPOSURE"  # colour is black, white or a single value
    STALE = "E_STALE"  # the frame is too old, or the same bytes came again and again
    TIME = "E_TIME"  # time stamps stand still or run backwards
    FORMAT = "E_FORMAT"  # resolution or camera changed in the stream
    FRAME = "E_FRAME"  # the frame is damaged
    PAIR = "E_PAIR"  # colour and depth are not of the same moment
    TIMEOUT = "E_TIMEOUT"  # no frame came in time
    DISCONNECTED = "E_DISCONNECTED"  # the camera is gone; it is being opened again
    SERIAL = "E_SERIAL"  # another camera stands where the bound one was
    CALIBRATION = "E_CALIB"  # calibration id or serial differ from the bundle's
    DEADLINE = "E_DEADLINE"  # the verdict came too late
    ENGINE = "E_ENGINE"  # inference failed
    ENGINE_DOWN = "E_ENGINE_DOWN"  # it failed again and again, or its device is gone; it is being opened again
    THRESHOLD = "E_THRESHOLD"  # the bundle has no threshold yet


class Clock(enum.Enum):
    """Which clock a device time stamp comes from. Stamps of different clocks are never compared."""

    NONE = "none"  # recorded files without time stamps
    DEVICE = "device"  # the device's own crystal
    GLOBAL = "global"  # the device's, translated to the host's wall clock by the driver
    HOST = "host"  # the host's wall clock when the driver got the frame


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera with optional distortion. Pixel units; an integer coordinate is a pixel centre.

    `distortion_model` is "none", "brown_conrady", "inverse_brown_conrady", "modified_brown_conrady", "rational",
    "kannala_brandt4" or "ftheta"; `distortion` holds its coefficients in OpenCV's order. "inverse_brown_conrady" is
    what librealsense computes under that name, the same as "modified_brown_conrady".
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "none"
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Drops:
    """Frames that a source lost so far, by cause."""

    queue: int = 0  # our own bounded queue was full
    device: int = 0  # the device's counter jumped
    damaged: int = 0  # a frame could not be decoded
    partial: int = 0  # colour came without depth, or depth without colour
    repeated: int = 0  # the device gave a frame a second time; nothing was lost, so `total` leaves it out

    @property
    def total(self) -> int:
        """All lost frames."""
        return self.queue + self.device + self.damaged + self.partial

    def __add__(self, other: Drops) -> Drops:
        """Both together."""
        return Drops(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a frame of a labelled data set comes from, and the truth about it."""

    category: str
    split: str
    label: str  # "good" or the defect type
    name: str  # file stem
    truth: npt.NDArray[np.bool_] | None = None  # (H, W); None where no mask exists

    @property
    def defective(self) -> bool:
        """True unless the label is "good"."""
        return self.label != "good"


@dataclass(frozen=True, slots=True)
class Frame:
    """One aligned RGB-D frame.

    color: (H, W, 3) uint8 RGB, or None where the source has none.
    depth: (H, W) uint16 counts of `depth_scale` metres, or float32 metres (then `depth_scale` is 1.0); 0 and NaN are
        invalid. None where the source has none.
    index: gap-free number given by the source object, from 0.
    device_time_ns: time of exposure in the domain of `clock`, or None.
    arrival_ns: `time.monotonic_ns()` when the frame reached this machine.
    skew_ns: device time of colour minus that of depth; None where one exposure makes both, or nothing is known.
    pair: trigger or frame numbers (colour, depth) where the device numbers both alike; else None.
    period_ns: nominal time from frame to frame, None where frames are triggered or it is unknown.
    settings: hash of everything that is set on the device (`rasant.sensors.live.settings_hash`), or empty.
    recorded: the frame is replayed, so the pace of `device_time_ns` is not the pace of arrival.
    """

    color: npt.NDArray[np.uint8] | None
    depth: npt.NDArray[np.uint16] | npt.NDArray[np.float32] | None
    depth_scale: float
    intrinsics: Intrinsics
    index: int
    source: str
    arrival_ns: int
    device_time_ns: int | None = None
    clock: Clock = Clock.NONE
    name: str = ""
    serial: str = ""
    calibration_id: str = ""
    drops: Drops = Drops()
    sample: Sample | None = None
    recorded: bool = False
    skew_ns: int | None = None
    pair: tuple[int, int] | None = None
    period_ns: int | None = None
    settings: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols) of the frame, from its intrinsics."""
        return self.intrinsics.height, self.intrinsics.width


@dataclass(frozen=True, slots=True)
class Region:
    """One connected part of the pooled map at or above the threshold. The box is in frame pixels."""

    x: int
    y: int
    width: int
    height: int
    area_px: int  # frame pixels
    peak: float  # highest pooled score inside
    center_m: tuple[float, float, float] | None  # camera frame; None without valid depth there
    modality: str  # "color", "depth", "both", or "unknown" where the bundle cannot tell


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of one frame."""

    acquire_ms: float = 0.0
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    score_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Inspection:
    """The answer for one frame, with what is needed to trust and to reproduce it.

    anomaly_map: (h, w) float32 >= 0 at network resolution, raw; None where the network did not run.
    frame_from_map: (2, 3) float64 affine that takes map (x, y, 1) to frame pixels.
    modality_scores: reconstruction residual of each modality where the score was found, in standard deviations above
        its level on good parts; empty if the bundle has no such levels.
    stood_in: why a stand-in decided and not the bundle itself (`rasant.stand_in`); None where the bundle did.
    """

    frame: int
    source: str
    verdict: Verdict
    reason: Reason
    detail: str  # one sentence for a person; empty for PASS, unless a stand-in decided
    score: float  # maximum of the pooled map; NaN where it does not exist
    threshold: float
    regions: tuple[Region, ...]
    anomaly_map: npt.NDArray[np.float32] | None
    pooled_map: npt.NDArray[np.float32] | None
    frame_from_map: npt.NDArray[np.float64]
    timings: Timings
    bundle: str  # sha256 of the manifest
    engine: str  # e.g. "onnxruntime 1.31.1 CPUExecutionProvider"
    calibration_id: str = ""
    valid_depth_ratio: float = float("nan")
    modality_scores: dict[str, float] = field(default_factory=dict)
    name: str = ""
    stood_in: Reason | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `rasant inspect --json` prints for a frame. NaN becomes None."""
        return {
            "frame": self.frame,
            "source": self.source,
            "name": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason.value,
            "detail": self.detail,
            "score": _number(self.score),
            "threshold": _number(self.threshold),
            "regions": [
                {
                    "x": r.x, "y": r.y, "width": r.width, "height": r.height, "area_px": r.area_px,
                    "peak": r.peak, "center_m": r.center_m, "modality": r.modality,
                }
                for r in self.regions
            ],
            "timings_ms": {
                "acquire": self.timings.acquire_ms, "preprocess": self.timings.preprocess_ms,
                "infer": self.timings.infer_ms, "score": self.timings.score_ms, "total": self.timings.total_ms,
            },
            "modality_scores": self.modality_scores,
            "valid_depth_ratio": _number(self.valid_depth_ratio),
            "stood_in": None if self.stood_in is None else self.stood_in.value,
            "calibration": self.calibration_id,
            "bundle": self.bundle,
            "engine": self.engine,
        }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
