# SPDX-License-Identifier: Apache-2.0
"""What GenICam cameras have in common by the SFNC (Standard Features Naming Convention), whoever talks to them.

Features have names like ExposureTime and TriggerMode. In a source URI every option that starts with a capital letter is
one, and they are set in the order in which they stand: `genicam:?TriggerMode=On&TriggerSource=Software`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rasant.calibration_file import Calibration, read_calibration
from rasant.errors import ConfigError, WrongDevice
from rasant.sensors.base import Option, Value
from rasant.sensors.live import DeviceCounter
from rasant.sensors.uri import Uri
from rasant.types import Intrinsics

__all__ = ["BlockCounter", "calibrated_lens", "nominal_lens", "period_of", "split_features", "stable"]

DRIVEN = {"ExposureAuto": "ExposureTime", "GainAuto": "Gain", "BalanceWhiteAuto": "BalanceRatio"}
UNSTABLE = ("Temperature", "Timestamp", "Counter", "Payload", "Event", "Chunk", "TLParams")


class BlockCounter:
    """Counts lost frames by the number of a frame: 16 bits that go from 65535 to 1 in GigE Vision 1, else 64 bits."""

    def __init__(self, wraps: bool) -> None:
        self._counter = DeviceCounter(16, first=1) if wraps else DeviceCounter()
        self._wraps = wraps

    def missed(self, number: int) -> int:
        """How many frames were lost before this one; -1 where it is the same frame again."""
        if self._wraps and number > 0xFFFF:  # GigE Vision 2 with extended numbers
            self._wraps, self._counter = False, DeviceCounter()
        return self._counter.missed(number)


def split_features(uri: Uri) -> tuple[Uri, dict[str, str]]:
    """The URI without its features, and the features."""
    features = {key: text for key, text in uri.query.items() if key[:1].isupper()}
    return Uri(uri.text, uri.scheme, uri.path, {k: t for k, t in uri.query.items() if k not in features}), features


def stable(options: Mapping[str, Option], among: Collection[str] | None = None) -> dict[str, Value]:
    """Settings that only change when someone changes them: neither measurements nor what the camera drives itself.

    among: the names that were found when the camera was opened; while it streams, much of it cannot be written.
    """
    driven = {name for switch, name in DRIVEN.items() if switch in options and options[switch].value != "Off"}
    return {
        name: option.value for name, option in options.items()
        if (option.writable if among is None else name in among)
        and name not in driven and not any(word in name for word in UNSTABLE)
    }  # fmt: skip


def period_of(options: Mapping[str, Option], rate: float = 0.0) -> int | None:
    """Nanoseconds from frame to frame; None where a trigger decides, or the camera does not say.

    rate: frames a second where the camera says it elsewhere than in AcquisitionFrameRate.
    """
    mode = options.get("TriggerMode")
    if "AcquisitionFrameRate" in options:
        rate = float(options["AcquisitionFrameRate"].value)
    if (mode is not None and mode.value == "On") or rate <= 0:
        return None
    return round(1e9 / rate)


def calibrated_lens(path: str, part: str, serial: str) -> tuple[Calibration, Intrinsics]:
    """A calibration file and its lens `part`. Raises WrongDevice where it is of another camera."""
    calibration = read_calibration(path)
    if calibration.serial != serial:
        raise WrongDevice(f"the calibration is of {calibration.serial!r}, the camera is {serial!r}")
    lens: Intrinsics = calibration.need(part).intrinsics
    return calibration, lens


def nominal_lens(lens: Intrinsics | None, height: int, width: int, *, name: str) -> Intrinsics:
    """The stated lens, or a nominal one of 53 degrees for pictures that nothing is measured in.

    Raises ConfigError where the stated one is of another resolution.
    """
    if lens is None:
        return Intrinsics(width, height, float(width), float(width), (width - 1) / 2, (height - 1) / 2)
    if (lens.height, lens.width) != (height, width):
        raise ConfigError(
            f"{name}: the calibration is for {lens.width}x{lens.height} pixels, the camera sends {width}x{height}; "
            "choose that region and binning, or calibrate at this one"
        )
    return lens
