# SPDX-License-Identifier: Apache-2.0
"""What is known of librealsense: devices and their sensors, recordings, lenses, settings, and how it reports failure.

A camera is opened sensor by sensor: `rs.pipeline` cannot open a `software_device`, hides which sensor failed, and
repeats the last frame of a stream that stalls. A recording can only be played through one (`playback.py`).
Read from 2.59.1; the calls are those of 2.54 and later.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, SourceBusy, SourceDisconnected, SourceError
from rasant.sensors.base import Option, Value
from rasant.sensors.claim import Claim
from rasant.sensors.live import Camera, Probe
from rasant.types import Clock, Intrinsics

__all__ = [
    "CLOCKS", "CameraFeed", "Feed", "Wanted", "color_from_depth", "find_device", "info_of", "lens_of", "library",
    "probe", "read_options", "stable_settings",
]

COLOR_FORMATS = ("rgb8", "bgr8")
CLOCKS = {"hardware_clock": Clock.DEVICE, "global_time": Clock.GLOBAL, "system_time": Clock.HOST}
BUSY = ("busy", "errno=16", "set power state", "is already opened", "already streaming")
DRIVEN = {"enable_auto_exposure": ("exposure", "gain"), "enable_auto_white_balance": ("white_balance",)}
QUEUED = 8  # framesets between the driver and us: its pool is small, and a full one stops the camera


@dataclass(frozen=True, slots=True)
class Wanted:
    """Sizes and rate asked for; 0 takes the camera's default, colour then has the rate of depth."""

    width: int = 0
    height: int = 0
    fps: int = 0
    color_width: int = 0
    color_height: int = 0


class Feed(Protocol):
    """Where framesets come from."""

    live: bool
    serial: str
    preset: str  # the JSON text of a preset that was loaded, or empty
    depth: Any  # the stream profile of depth
    color: Any  # and of colour, or None

    def start(self) -> None:
        """Let it stream."""

    def wait(self, timeout_s: float) -> Any:
        """A frameset, or None. Raises SourceDisconnected, EndOfStream."""

    def options(self) -> dict[str, Option]:
        """Settings by name: "depth.exposure", "color.gain"."""

    def set_option(self, name: str, value: Value) -> None:
        """Change a setting."""

    def stop(self) -> None:
        """Release everything; never raises."""


def library() -> Any:
    """pyrealsense2, or ImportError, for which the command line names the extra."""
    return importlib.import_module("pyrealsense2")


def probe() -> Probe:
    """The cameras that librealsense sees."""
    try:
        rs = library()
    except ImportError:
        return Probe("realsense", "", "pip install 'rasant[realsense]'")
    found = [(info_of(rs, device, "serial_number"), device) for device in rs.context().query_devices()]
    cameras = tuple(
        Camera(
            f"realsense:{serial}", info_of(rs, device, "name"), serial,
            f"firmware {info_of(rs, device, 'firmware_version')}, USB {info_of(rs, device, 'usb_type_descriptor')}",
        )
        for serial, device in found
    )
    return Probe("realsense", f"pyrealsense2 {rs.__version__}", "", cameras)


def find_device(serial: str) -> Any:
    """The camera with a serial number, or the only one. Raises SourceDisconnected, ConfigError where several are."""
    rs = library()
    devices = {info_of(rs, device, "serial_number"): device for device in rs.context().query_devices()}
    if serial in devices:
        return devices[serial]
    here = ", ".join(devices) or "none"
    if serial or not devices:
        raise SourceDisconnected(f"realsense: no camera {serial or 'at all'}; connected: {here}")
    if len(devices) > 1:
        raise ConfigError(f"realsense: several cameras are connected; name one: {here}")
    return next(iter(devices.values()))


def lens_of(profile: Any) -> Intrinsics:
    """The lens of a stream, with whichever distortion model the device reports."""
    lens = profile.as_video_stream_profile().get_intrinsics()
    model, coefficients = lens.model.name, tuple(float(value) for value in lens.coeffs)
    if model == "kannala_brandt4":
        coefficients = coefficients[:4]
    elif model == "ftheta":
        coefficients = coefficients[:1]
    elif not any(coefficients):
        model, coefficients = "none", ()
    return Intrinsics(lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy, model, coefficients)


def color_from_depth(depth: Any, color: Any) -> npt.NDArray[np.float64]:
    """(3, 4) [R | t] in metres; the library holds R by columns."""
    found = depth.get_extrinsics_to(color)
    return np.column_stack([np.reshape(found.rotation, (3, 3)).T, found.translation]).astype(np.float64)


class CameraFeed:
    """A device, its sensors opened one by one into a synchroniser.

    preset: JSON text of a preset, loaded before anything streams. Raises SourceBusy where it is claimed or in use.
    """

    live = True

    def __init__(self, device: Any, wanted: Wanted, preset: str = "") -> None:
        self._rs, self._device, self.preset = library(), device, preset
        self.serial = info_of(self._rs, device, "serial_number")
        self._claim = Claim("realsense", self.serial)
        self._running: list[Any] = []
        try:
            if preset:
                self._rs.serializable_device(device).load_json(preset)
            sensors = list(device.query_sensors())
            depth_sensor, self.depth = _choose(sensors, "depth", ("z16",), wanted.width, wanted.height, wanted.fps)
            if self.depth is None:
                raise SourceError(f"realsense: camera {self.serial} has no depth stream")
            color_sensor, self.color = _choose(
                sensors, "color", COLOR_FORMATS, wanted.color_width, wanted.color_height, self.depth.fps()
            )
            self._sensors = {"depth": depth_sensor}
            self._sensors |= {"color": color_sensor} if color_sensor is not None else {}
        except BaseException:
            self._claim.release()
            raise
        self._synchroniser = self._rs.syncer(QUEUED)

    def start(self) -> None:
        """Open and start each sensor with its streams."""
        streams: dict[int, tuple[Any, list[Any]]] = {}
        for kind, profile in (("depth", self.depth), ("color", self.color)):
            if profile is not None:
                sensor = self._sensors[kind]
                streams.setdefault(id(sensor), (sensor, []))[1].append(profile)
        try:
            for sensor, profiles in streams.values():
                sensor.open(profiles)
                self._running.append(sensor)
            for sensor in self._running:
                sensor.start(self._synchroniser)
        except RuntimeError as error:
            raise self._translated(error) from error

    def wait(self, timeout_s: float) -> Any:
        """The next frameset, partial ones included, or None."""
        try:
            arrived, frameset = self._synchroniser.try_wait_for_frames(round(1e3 * timeout_s))
            if arrived:
                return frameset
            if not self._device.is_connected():
                raise SourceDisconnected(f"realsense: camera {self.serial} is gone")
        except RuntimeError as error:
            raise self._translated(error) from error
        return None

    def options(self) -> dict[str, Option]:
        """All settings of both sensors that can be read now."""
        return read_options(self._sensors)

    def set_option(self, name: str, value: Value) -> None:
        """Set "depth.exposure" and the like. Raises ConfigError that says what is allowed."""
        known = self.options()
        if name not in known or not known[name].writable:
            settable = ", ".join(key for key, option in known.items() if option.writable) or "none"
            raise ConfigError(f"realsense: there is no setting {name!r} to change; there are {settable}")
        kind, _, option = name.partition(".")
        try:
            self._sensors[kind].set_option(getattr(self._rs.option, option), float(value))
        except (RuntimeError, ValueError) as error:
            limits = f"{known[name].low} to {known[name].high}"
            raise ConfigError(f"realsense: {name} takes {limits}, got {value!r}: {error}") from error

    def stop(self) -> None:
        """Stop and close the sensors, and let others have the camera."""
        for call in [sensor.stop for sensor in self._running] + [sensor.close for sensor in self._running]:
            try:
                call()
            except RuntimeError:
                continue  # a device that is gone cannot be stopped
        self._running = []
        self._claim.release()

    def _translated(self, error: RuntimeError) -> SourceError:
        busy = any(word in str(error).lower() for word in BUSY)
        return (SourceBusy if busy else SourceDisconnected)(f"realsense: camera {self.serial}: {error}")


def read_options(sensors: Mapping[str, Any]) -> dict[str, Option]:
    """Settings by name ("depth.exposure"), as far as they can be read in this state."""
    found: dict[str, Option] = {}
    for kind, sensor in sensors.items():
        for option in sensor.get_supported_options():
            try:
                found[f"{kind}.{option.name}"] = _option(sensor, option)
            except (RuntimeError, AttributeError):
                continue  # not readable now, or newer than the names of the library
    return found


def stable_settings(options: Mapping[str, Option]) -> dict[str, Value]:
    """What only changes when someone changes it: neither temperatures nor what the camera drives by itself."""
    driven = {
        f"{kind}.{name}"
        for kind in ("depth", "color") for switch, names in DRIVEN.items() for name in names
        if (option := options.get(f"{kind}.{switch}")) is not None and option.value
    }  # fmt: skip
    return {
        name: option.value for name, option in options.items() if name not in driven and "temperature" not in name
    }


def _choose(
    sensors: list[Any], stream: str, formats: tuple[str, ...], width: int, height: int, fps: int
) -> tuple[Any, Any]:
    """(sensor, profile) that fits; the camera's default, else the nearest to 30 frames/s and the largest."""
    fitting = []
    for sensor in sensors:
        for profile in sensor.get_stream_profiles():
            if profile.stream_type().name != stream or profile.format().name not in formats:
                continue
            video = profile.as_video_stream_profile()
            wanted = ((width, video.width()), (height, video.height()), (fps, profile.fps()))
            if all(asked in (0, has) for asked, has in wanted):
                order = -formats.index(profile.format().name)
                rank = (order, profile.is_default(), -abs(profile.fps() - 30), video.width() * video.height())
                fitting.append((rank, sensor, profile))
    if fitting:
        return max(fitting, key=lambda one: one[0])[1:]
    if width or height or (fps and stream == "depth"):
        asked = f"{width or 'any'}x{height or 'any'} at {fps or 'any'} frames/s"
        raise ConfigError(f"realsense: the camera has no {stream} stream of {asked}")
    return None, None


def _option(sensor: Any, option: Any) -> Option:
    span = sensor.get_option_range(option)
    return Option(
        float(sensor.get_option(option)), span.min, span.max, note=sensor.get_option_description(option),
        writable=not sensor.is_option_read_only(option),
    )


def info_of(rs: Any, device: Any, name: str) -> str:
    """What a device says of itself under a name of `camera_info`, or nothing."""
    key = getattr(rs.camera_info, name)
    return str(device.get_info(key)) if device.supports(key) else ""
