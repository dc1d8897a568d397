# SPDX-License-Identifier: Apache-2.0
"""Deliveries of a GenICam 3-D camera as frames: decoded, counted, seen through the lens that they fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from rasant.calibration_file import Calibration
from rasant.errors import ConfigError, FrameError, SourceTimeout
from rasant.sensors.base import Option, Value
from rasant.sensors.genicam.payload import Images, Placement, Scan3d, decode, read_scan3d
from rasant.sensors.genicam.producer import Delivery, GenTLDevice, find_producers
from rasant.sensors.grid_lens import TOLERANCE_PX, GridLens, fit_lens
from rasant.sensors.live import LiveSource, settings_hash
from rasant.sensors.sfnc import BlockCounter, calibrated_lens, period_of, split_features, stable
from rasant.sensors.uri import Uri
from rasant.types import Clock, Drops, Frame, Intrinsics

__all__ = ["COMPONENTS", "GenICamSource", "frame_of"]

COMPONENTS = ("Range", "Disparity", "Intensity", "Confidence")
FIRST_S = 5.0  # how long the first frame may take, in which the lens is seen
AXES = {"away": 1.0, "towards": -1.0}


class Device(Protocol):
    """What a source needs of a camera; `GenTLDevice` is the real one."""

    serial: str
    name: str
    gige: bool
    incomplete: int
    features: Any

    def start(self) -> None:
        """Let it stream."""

    def fetch(self, timeout_s: float, stated: Scan3d) -> Delivery | None:
        """The next delivery, with what its chunks say beyond `stated`; or None."""

    def stop(self) -> None:
        """Stop streaming."""

    def close(self) -> None:
        """Release it."""


def frame_of(images: Images, lens: GridLens | Intrinsics | None, scan: Scan3d, source: str, arrival_ns: int) -> Frame:
    """The frame of decoded images, seen through the lens that fits: a grid's own, a stated one, or the device's.

    Raises FrameError where points do not lie on the rays of the grid's lens, or no lens is known.
    """
    rows, cols = images.depth.shape
    if isinstance(lens, GridLens):
        camera = lens.intrinsics
        if images.x is not None and images.y is not None:
            misfit = lens.misfit_px(images.x, images.y, images.depth, images.depth_scale)
            if misfit > TOLERANCE_PX:
                raise FrameError(f"the points are {misfit:.1f} px off the lens of the first; open the camera again")
    elif lens is not None:
        camera = lens
    elif scan.focal is not None:
        camera = Intrinsics(cols, rows, *scan.focal)
    else:
        raise FrameError("the camera sends depth but no lens; give its calibration file, or CalibratedABC_Grid")
    if (camera.height, camera.width) != (rows, cols):
        fault = f"the lens is of {camera.width}x{camera.height} pixels, the frame of {cols}x{rows}"
        raise FrameError(f"{fault}; open the camera again, or calibrate it at this size")
    return Frame(images.color, images.depth, images.depth_scale, camera, -1, source, arrival_ns)


class GenICamSource(LiveSource):
    """Frames of a 3-D camera.

    calibration: a file whose lens "depth" is taken. Without, the lens is fitted to the first organised cloud (x, y and
    z), or taken from Scan3dFocalLength and Scan3dPrincipalPoint where only depth comes.
    confidence: pixels below it are invalid; 0 keeps all. placement: for grids of parallel rays, see `fit_lens`.

    Numbers that jump count as lost by the device, deliveries with missing packets as damaged.
    """

    def __init__(
        self, device: Device, *, calibration: str = "", confidence: float = 0.0, placement: Placement | None = None,
        features: Mapping[str, str] | None = None, uri: str = "", skip_damaged: bool = False,
    ) -> None:
        super().__init__(uri or f"genicam:{device.serial}", skip_damaged=skip_damaged)
        self._device, self.serial = device, device.serial
        self._confidence, self._placement = confidence, placement or Placement()
        self._counter = BlockCounter(device.gige)
        self._discarded = 0  # of the device's incomplete deliveries, those in our count; their numbers are missing too
        self._lens: GridLens | Intrinsics | None = None
        self._stated: Calibration | None = None
        self._settable: frozenset[str] | None = None
        try:
            _enable(device.features, confidence > 0)
            for name, value in (features or {}).items():
                device.features.set(name, value)
            self._scan = read_scan3d(device.features)
            self._read_settings()
            if calibration:
                self._stated, self._lens = calibrated_lens(calibration, "depth", self.serial)
                self.calibration = self._stated.model_dump_json(exclude_none=True)
            self._camera = self._see()
        except BaseException:
            device.close()
            raise

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> GenICamSource:
        """Open a camera by serial number, id or name, or the only one there is.

        Options: `producer` (a .cti file or its folder; else GENICAM_GENTL64_PATH), `calibration` (a file),
        `confidence`, `standoff` (metres) and `c_axis` (away, towards) for grids of parallel rays, and any feature by
        its SFNC name, in order: ExposureTime=5000&TriggerMode=On&TriggerSource=Software.
        """
        plain, features = split_features(uri)
        options = plain.options(producer="", calibration="", confidence=0.0, standoff=0.0, c_axis="away")
        axis, standoff = options.pop("c_axis"), options.pop("standoff")
        if axis not in AXES or standoff < 0 or (axis == "towards" and not standoff):
            raise ConfigError(f"{uri.text}: c_axis is away, or towards together with a standoff above 0")
        device = GenTLDevice(uri.path, find_producers(options.pop("producer")))
        return cls(
            device, **options, placement=Placement(standoff, AXES[axis]), features=features, uri=uri.text,
            skip_damaged=skip_damaged,
        )

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera that sees the frames."""
        return self._camera

    def trigger(self) -> None:
        """One exposure by software. Raises ConfigError where the camera is not set to it."""
        self._check_open()
        if self._device.features.get("TriggerMode") != "On":
            raise ConfigError(f"{self.uri} is not triggered; open it with ?TriggerMode=On&TriggerSource=Software")
        self._device.features.execute("TriggerSoftware")

    def options(self) -> Mapping[str, Option]:
        """The features of the camera that can be read now."""
        options: Mapping[str, Option] = self._device.features.options()
        return options

    def set_option(self, name: str, value: Value) -> None:
        """Set a feature; frames carry another `settings` from then on."""
        self._device.features.set(name, value)
        self._scan = read_scan3d(self._device.features)
        self._read_settings()

    def stats(self) -> Drops:
        """Frames lost so far, with those discarded since the last whole one."""
        return self._drops + Drops(damaged=self._device.incomplete - self._discarded)

    def _start(self) -> None:
        self._device.start()

    def _stop(self) -> None:
        self._device.close()

    def _grab(self, timeout_s: float) -> Frame | None:
        delivery = self._device.fetch(timeout_s, self._scan)
        if delivery is None:
            return None
        arrival_ns = time.monotonic_ns()
        missed = 0 if delivery.number is None else self._counter.missed(delivery.number)
        if missed < 0:
            self._lose("repeated")
            return None
        discarded = self._device.incomplete - self._discarded
        self._discarded += discarded
        self._lose("damaged", discarded)
        self._lose("device", missed - discarded)
        images = self._decoded(delivery)
        frame = frame_of(images, self._lens, delivery.scan, self.uri, arrival_ns)
        return replace(
            frame, device_time_ns=delivery.time_ns, clock=Clock.NONE if delivery.time_ns is None else Clock.DEVICE,
            name="" if delivery.number is None else str(delivery.number), serial=self.serial, settings=self._settings,
            period_ns=self._period_ns, calibration_id="" if self._stated is None else self._stated.id,
        )  # fmt: skip

    def _see(self) -> Intrinsics:
        """The lens: stated, or seen in a first frame, which nobody else gets."""
        if isinstance(self._lens, Intrinsics):
            return self._lens
        self._device.start()
        try:
            get = self._device.features.get
            if get("TriggerMode") == "On" and get("TriggerSource") == "Software":
                self._device.features.execute("TriggerSoftware")
            delivery = self._device.fetch(FIRST_S, self._scan)
            if delivery is None:
                raise SourceTimeout(f"{self.uri}: no frame to see the lens in for {FIRST_S} s; give its calibration")
        finally:
            self._device.stop()
        images = self._decoded(delivery)
        if images.x is not None and images.y is not None:
            metres = images.depth * images.depth_scale
            self._lens = fit_lens(images.x, images.y, metres, self._placement.standoff_m)
        return frame_of(images, self._lens, delivery.scan, self.uri, 0).intrinsics

    def _decoded(self, delivery: Delivery) -> Images:
        return decode(delivery.parts, delivery.scan, confidence=self._confidence, placement=self._placement)

    def _read_settings(self) -> None:
        options = self.options()
        settings = stable(options, self._settable)
        self._settable = self._settable or frozenset(settings)
        self._settings, self._period_ns = settings_hash(settings), period_of(options)


def _enable(features: Any, confidence: bool) -> None:
    """Ask for depth, a picture and, where it is used, confidence; all else costs time on the wire.

    Cameras without components send what they are set to. Scan3d features can be read only while Range is enabled.
    """
    wanted = COMPONENTS if confidence else COMPONENTS[:-1]
    depth = False
    for component in COMPONENTS:
        if features.select("ComponentSelector", component):
            use = component in wanted and not (component == "Disparity" and depth)
            features.select("ComponentEnable", use)
            depth |= component in ("Range", "Disparity")
