# SPDX-License-Identifier: Apache-2.0
"""The verdict contract: pure functions from measurements to PASS, REJECT or UNKNOWN.

PASS only if the frame is fresh, both modalities satisfy the limits, camera and calibration match, every value of the
map is finite and the deadline was met. REJECT if, on such a frame, the score reaches the threshold. Everything else is
UNKNOWN with a reason, and a machine treats it as a reject. A stand-in (`rasant.stand_in`) is held to the same rule by
what it sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.types import Frame, Intrinsics, Reason, Verdict

__all__ = [
    "CameraBinding",
    "Finding",
    "Judgement",
    "Limits",
    "Patch",
    "check_camera",
    "check_color",
    "check_depth",
    "check_pair",
    "check_patch",
    "judge",
]

SIGN_BIT = 1 << 31
SATURATED = 65535  # the highest count of a uint16 depth image is never a measurement
NOMINAL_PERIOD_NS = 33_333_333
PATCH_DEPTH = 0.05  # share that the depth of the patch may be off
UNIT_FACTORS = (1000.0, 0.001, 100.0, 0.01)  # metres taken for millimetres or centimetres, and the reverse


@dataclass(frozen=True, slots=True)
class Limits:
    """What a frame must satisfy before its score may mean PASS. None switches a limit off.

    Raises ConfigError where a limit makes no sense.
    """

    min_valid_depth: float = 0.5  # share of measured depth pixels in the region of interest
    depth_range_m: tuple[float, float] | None = (0.05, 10.0)  # what the station can see
    max_out_of_range: float = 0.001  # share of pixels outside depth_range_m that is forgiven
    max_age_ms: float | None = 500.0  # from arrival (and, on live cameras, from exposure) to inspection
    deadline_ms: float | None = None  # from arrival to verdict
    min_mean: float = 4.0  # colour, in 8-bit levels
    max_mean: float = 251.0
    min_std: float = 1.0
    max_identical: int = 3  # so many frames with the same bytes and new time stamps are a frozen camera
    max_skew: float | None = 0.5  # from depth to colour, in periods of the frames (33 ms where they have none)

    def __post_init__(self) -> None:
        for name in ("min_valid_depth", "max_out_of_range"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must be a share from 0 to 1, got {getattr(self, name)!r}")
        for name in ("max_age_ms", "deadline_ms"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ConfigError(f"{name} must be a positive number of milliseconds or None, got {value!r}")
        if self.depth_range_m is not None and not 0.0 <= self.depth_range_m[0] < self.depth_range_m[1] < math.inf:
            raise ConfigError(f"depth_range_m must be (near, far) in metres and grow, got {self.depth_range_m!r}")
        if not 0.0 <= self.min_mean < self.max_mean <= 255.0 or not 0.0 <= self.min_std <= 128.0:
            raise ConfigError(
                "exposure limits must satisfy 0 <= min_mean < max_mean <= 255 and 0 <= min_std <= 128, got "
                f"{self.min_mean!r}, {self.max_mean!r}, {self.min_std!r}"
            )
        if self.max_skew is not None and not 0.0 < self.max_skew < math.inf:
            raise ConfigError(f"max_skew must be a positive number of frame periods or None, got {self.max_skew!r}")
        if self.max_identical < 2:
            raise ConfigError(f"max_identical must be 2 or more, got {self.max_identical!r}")


@dataclass(frozen=True, slots=True)
class CameraBinding:
    """The camera that a bundle was made for; None means any."""

    size: tuple[int, int] | None = None  # (rows, cols)
    serial: str | None = None
    calibration_id: str | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A place of the picture whose look is known, so that swapped channels and bytes are seen.

    box: x, y, width, height in frame pixels. color: mean RGB in 8-bit levels, each within `tolerance`. depth_m: median
    depth, within 5 %, or None.
    """

    box: tuple[int, int, int, int]
    color: tuple[float, float, float]
    tolerance: float = 25.0
    depth_m: float | None = None


class Finding(NamedTuple):
    """Something that forbids PASS: the reason, and one sentence for a person."""

    reason: Reason
    detail: str


class Judgement(NamedTuple):
    """A verdict with its reason."""

    verdict: Verdict
    reason: Reason
    detail: str


def judge(
    *, finding: Finding | None, score: float, threshold: float | None, nonfinite: int, elapsed_ms: float,
    deadline_ms: float | None,
) -> Judgement:
    """The rule. A comparison with NaN is False, so every branch that leads to PASS asks for what it needs.

    score: maximum of the pooled map; nonfinite: how many values of the engine's output are NaN or infinite.
    """
    if finding is not None:
        return Judgement(Verdict.UNKNOWN, *finding)
    if nonfinite > 0 or not math.isfinite(score):
        detail = f"{nonfinite} values of the engine's map are not finite" if nonfinite > 0 else "there is no score"
        return Judgement(Verdict.UNKNOWN, Reason.NONFINITE, detail)
    if threshold is None or not math.isfinite(threshold):
        return Judgement(
            Verdict.UNKNOWN, Reason.THRESHOLD, "the bundle has no threshold; run rasant calibrate threshold"
        )
    if deadline_ms is not None and not elapsed_ms <= deadline_ms:
        return Judgement(
            Verdict.UNKNOWN, Reason.DEADLINE, f"the verdict took {elapsed_ms:.1f} ms, deadline {deadline_ms:g} ms"
        )
    if score < threshold:
        return Judgement(Verdict.PASS, Reason.OK, "")
    return Judgement(Verdict.REJECT, Reason.DEFECT, f"score {score:.4f} reaches the threshold {threshold:.4f}")


def check_camera(frame: Frame, binding: CameraBinding) -> Finding | None:
    """Resolution, serial and calibration as the bundle binds them, and intrinsics that are a camera at all."""
    if binding.size is not None and frame.size != binding.size:
        rows, cols = binding.size
        return Finding(
            Reason.FORMAT,
            f"the bundle is for {cols}x{rows} pixels, the frame has {frame.size[1]}x{frame.size[0]}",
        )
    if binding.serial is not None and frame.serial != binding.serial:
        return Finding(Reason.CALIBRATION, f"the bundle is for camera {binding.serial!r}, not {frame.serial!r}")
    if binding.calibration_id is not None and frame.calibration_id != binding.calibration_id:
        return Finding(
            Reason.CALIBRATION,
            f"the bundle is for calibration {binding.calibration_id!r}, the frame has {frame.calibration_id!r}",
        )
    if not _is_camera(frame.intrinsics):
        return Finding(Reason.CALIBRATION, f"the intrinsics are not a camera: {frame.intrinsics}")
    return None


def _is_camera(k: Intrinsics) -> bool:
    sides = isinstance(k.width, Integral) and isinstance(k.height, Integral)
    lengths = 0.0 < k.fx < math.inf and 0.0 < k.fy < math.inf
    return sides and lengths and all(math.isfinite(value) for value in (k.cx, k.cy, *k.distortion))


def check_pair(frame: Frame, limits: Limits) -> Finding | None:
    """Whether colour and depth are of one moment: by the device's own numbers, and by their time stamps (E_PAIR)."""
    if frame.pair is not None and frame.pair[0] != frame.pair[1]:
        return Finding(Reason.PAIR, f"colour is of exposure {frame.pair[0]}, depth of {frame.pair[1]}")
    if frame.skew_ns is None or limits.max_skew is None:
        return None
    limit_ns = limits.max_skew * (frame.period_ns or NOMINAL_PERIOD_NS)
    if abs(frame.skew_ns) <= limit_ns:
        return None
    skew = f"colour was taken {frame.skew_ns / 1e6:+.1f} ms after depth"
    return Finding(Reason.PAIR, f"{skew}, limit {limit_ns / 1e6:.1f} ms ({limits.max_skew:g} frame periods)")


def check_patch(frame: Frame, patch: Patch) -> Finding | None:
    """Whether the known place looks as it should: else E_FORMAT where swapped channels or bytes explain it, E_EXPOSURE
    for another colour, E_UNITS for another depth."""
    x, y, width, height = patch.box
    here = slice(y, y + height), slice(x, x + width)
    if frame.color is not None:
        mean = frame.color[here].reshape(-1, 3).mean(axis=0)
        if not np.abs(mean - patch.color).max() <= patch.tolerance:
            swapped = bool(np.abs(mean[::-1] - patch.color).max() <= patch.tolerance)
            why = "red and blue are swapped" if swapped else "light or white balance changed"
            got = ", ".join(f"{level:.0f}" for level in mean)
            reason = Reason.FORMAT if swapped else Reason.EXPOSURE
            return Finding(reason, f"the patch has the colour {got}, expected {patch.color}: {why}")
    if frame.depth is not None and patch.depth_m is not None:
        values = frame.depth[here]
        depth_m = _median(values) * frame.depth_scale
        if not abs(depth_m - patch.depth_m) <= PATCH_DEPTH * patch.depth_m:
            if not (frame.depth > 0).any():
                return Finding(Reason.DEPTH_EMPTY, f"none of {frame.depth.size} depth pixels is valid")
            turned = _median(values.byteswap()) * frame.depth_scale
            swapped = abs(turned - patch.depth_m) <= PATCH_DEPTH * patch.depth_m
            why = "its bytes are swapped" if swapped else "check depth_scale and the place of the camera"
            reason = Reason.FORMAT if swapped else Reason.UNITS
            return Finding(reason, f"the patch is {depth_m:.4g} m away, expected {patch.depth_m:g} m: {why}")
    return None


def _median(values: npt.NDArray[Any]) -> float:
    """Of what was measured; NaN where nothing was."""
    with np.errstate(invalid="ignore", over="ignore"):
        measured = values[values > 0]
    return float(np.median(measured)) if measured.size else math.nan


def check_color(rows: npt.NDArray[np.uint8], limits: Limits) -> Finding | None:
    """Exposure of a sample of rows (n, W, 3): neither black nor white nor one single colour (E_EXPOSURE)."""
    means, deviations = cv2.meanStdDev(rows[:, :: max(1, rows.shape[1] // 128)])
    mean, deviation = sum(means[:, 0].tolist()) / 3.0, max(deviations[:, 0].tolist())
    if mean < limits.min_mean:
        return Finding(Reason.EXPOSURE, f"colour is black: mean {mean:.1f}, limit {limits.min_mean:g}")
    if mean > limits.max_mean:
        return Finding(Reason.EXPOSURE, f"colour is white: mean {mean:.1f}, limit {limits.max_mean:g}")
    if deviation < limits.min_std:
        return Finding(
            Reason.EXPOSURE,
            f"colour is a single value: standard deviation {deviation:.2f}, limit {limits.min_std:g}",
        )
    return None


def check_depth(
    raw: npt.NDArray[Any], scale: float, depth_m: npt.NDArray[np.float32], valid_ratio: float, limits: Limits,
    spare: npt.NDArray[Any] | None = None,
) -> Finding | None:
    """Depth of the region of interest: `raw` as the camera gave it, `depth_m` (H, W) metres, 0 for what is no number.

    spare: an (H, W) work image, uint16 for counts and uint32 for metres. A saturated or negative value condemns the
    frame (E_RANGE); values outside `depth_range_m` do above `max_out_of_range`, as E_UNITS where another unit would
    explain them; then E_DEPTH_SPARSE.
    """
    if raw.dtype == np.uint16:
        low, high = _extremes(raw, spare)
        if high == SATURATED:
            return Finding(Reason.RANGE, f"{np.count_nonzero(raw == SATURATED)} depth pixels are saturated (65535)")
        nearest, farthest = low * scale, high * scale
    else:
        low, high = _extremes(depth_m.view(np.uint32), spare)
        negative = np.count_nonzero(depth_m < 0.0) if high >= SIGN_BIT else 0  # -0.0 has the sign bit too
        if negative:
            return Finding(Reason.RANGE, f"{negative} depth pixels are negative")
        nearest, farthest = (float(value) for value in np.array([low, high], np.uint32).view(np.float32))
    bounds = limits.depth_range_m
    if bounds is not None and not bounds[0] <= nearest <= farthest <= bounds[1]:
        finding = _check_range(depth_m, bounds, limits.max_out_of_range)
        if finding is not None:
            return finding
    if valid_ratio < limits.min_valid_depth:
        return Finding(
            Reason.DEPTH_SPARSE,
            f"{valid_ratio:.1%} of the depth pixels are valid, the bundle asks for {limits.min_valid_depth:.1%}",
        )
    return None


def _extremes(values: npt.NDArray[Any], spare: npt.NDArray[Any] | None) -> tuple[int, int]:
    """Smallest and largest value of an unsigned image that is not 0: one less wraps 0 to the top.

    The bits of positive floats are in the order of the floats, and the sign bit stands above all of them.
    """
    less = np.subtract(values, values.dtype.type(1), out=spare)
    return int(less.min()) + 1, int(values.max())


def _check_range(
    depth_m: npt.NDArray[np.float32], bounds: tuple[float, float], forgiven: float
) -> Finding | None:
    """What lies outside, and whether another unit would explain it."""
    near, far = bounds
    measured = depth_m[depth_m > 0.0]
    valid, outside = measured.size, int(np.count_nonzero((measured < near) | (measured > far)))
    if outside <= forgiven * depth_m.size:
        return None
    median = float(np.median(measured))
    if outside > valid // 2:
        for factor in UNIT_FACTORS:
            if near <= median * factor <= far:
                return Finding(
                    Reason.UNITS,
                    f"the median depth is {median:.4g} m; {factor:g} times that would lie in the station's range "
                    f"{near:g} to {far:g} m: check depth_scale",
                )
    return Finding(
        Reason.RANGE, f"{outside} depth pixels (median of all {median:.4g} m) lie outside {near:g} to {far:g} m"
    )
