# SPDX-License-Identifier: Apache-2.0
"""Machine-vision cameras on Ethernet or USB3 without a maker's library, through Aravis: pictures, no depth.

`aravis:[SERIAL | ID | ADDRESS][?option=value&...]`; the options are those of `AravisSource.open`. Depth comes of such a
camera with a projector beside it. Aravis and its Python binding are packages of the system, not of pip.

Read from 0.8.26: frame numbers of GigE Vision are 16 bits and go from 65535 to 1. A second program may open a camera
and read its features, but is no controller. A camera that is gone answers nothing; a thread of Aravis notices within
about 5 s (1 s where it is back by then) and sends the signal "control-lost".
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rasant.errors import ConfigError, FrameError, SourceBusy, SourceDisconnected
from rasant.sensors.base import Option, Value
from rasant.sensors.claim import Claim
from rasant.sensors.live import Camera, LiveSource, Probe, settings_hash
from rasant.sensors.pixel_formats import parse_format, to_array, to_rgb
from rasant.sensors.sfnc import BlockCounter, calibrated_lens, nominal_lens, period_of, split_features, stable
from rasant.sensors.uri import Uri
from rasant.types import Clock, Frame, Intrinsics

__all__ = ["AravisSource", "Packets", "frame_of", "library", "probe"]

PACKAGES = "apt install gir1.2-aravis-0.8 python3-gi"
DEBIAN = "/usr/lib/python3/dist-packages"  # where Debian's binding lies, which a virtual environment does not see
BUFFERS = 8


@dataclass(frozen=True, slots=True)
class Packets:
    """Network packets of a stream so far: lost for good, and lost but sent again."""

    missing: int = 0
    resent: int = 0


def library() -> Any:
    """Aravis' binding. Raises ImportError that names the packages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # its importer is of the old kind
            _binding().require_version("Aravis", "0.8")
            return importlib.import_module("gi.repository.Aravis")
    except (ImportError, ValueError) as error:
        raise ImportError(f"aravis: needs {PACKAGES}, for the Python that runs here: {error}", name="gi") from error


def probe() -> Probe:
    """The cameras that Aravis sees on all networks and USB."""
    try:
        aravis = library()
    except ImportError:
        return Probe("aravis", "", PACKAGES)
    cameras = tuple(
        Camera(f"aravis:{serial}", f"{vendor} {model}", serial, f"{protocol}, {address}")
        for _, serial, vendor, model, address, protocol in _listed(aravis)
    )
    return Probe("aravis", "Aravis 0.8", "", cameras)


def frame_of(buffer: Any, form: str, lens: Intrinsics | None, source: str) -> Frame:
    """The picture in an Aravis buffer, copied, as a frame without depth.

    Raises FrameError where packets are missing or the format is not read, ConfigError where `lens` is of another size.
    """
    arrival_ns = time.monotonic_ns()
    status = buffer.get_status().value_nick
    if status != "success":
        raise FrameError(f"{source}: picture {buffer.get_frame_id()} came with {status.replace('-', ' ')}")
    width, height = buffer.get_image_width(), buffer.get_image_height()
    known = parse_format(form)
    pixels = to_rgb(known, to_array(known, np.frombuffer(buffer.get_data(), np.uint8), width, height))
    stamp = buffer.get_timestamp()
    return Frame(
        pixels, None, 1.0, nominal_lens(lens, height, width, name=source), -1, source, arrival_ns,
        device_time_ns=stamp or None, clock=Clock.DEVICE if stamp else Clock.NONE, name=str(buffer.get_frame_id()),
    )  # fmt: skip


class AravisSource(LiveSource):
    """Pictures of one camera, `frame.depth` is None.

    calibration: a file whose lens "color" is taken; without, the lens is nominal and `note` says so.
    Pictures with missing packets are damaged; numbers that jump count as lost by the device; see also `packets`.
    """

    def __init__(
        self, wanted: str = "", *, calibration: str = "", features: Mapping[str, str] | None = None, uri: str = "",
        skip_damaged: bool = False,
    ) -> None:
        super().__init__(uri or f"aravis:{wanted}", skip_damaged=skip_damaged)
        self._aravis = library()
        self._error = importlib.import_module("gi.repository.GLib").Error
        identity, self.serial = _find(self._aravis, wanted)
        self._claim = Claim("aravis", self.serial)
        self._camera: Any = None
        self._device: Any = None
        self._stream: Any = None
        self._lost = False
        self._settable: frozenset[str] | None = None
        try:
            self._camera = self._opened(identity)
            self._device = self._camera.get_device()
            self._handler = self._device.connect("control-lost", self._on_lost)
            self._device.set_range_check_policy(self._aravis.RangeCheckPolicy.ENABLE)
            self._device.set_access_check_policy(self._aravis.AccessCheckPolicy.ENABLE)
            for name, value in (features or {}).items():
                self._set(name, value)
            self._lens: Intrinsics | None = None
            self._calibration_id = ""
            self.note = "no depth; the lens is nominal, nothing can be measured in metres"
            if calibration:
                stated, self._lens = calibrated_lens(calibration, "color", self.serial)
                self.calibration, self._calibration_id = stated.model_dump_json(exclude_none=True), stated.id
                self.note = "no depth"
            self._read_settings()
        except BaseException:
            self._stop()
            raise

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> AravisSource:
        """Open a camera by serial number, Aravis' id or network address, or the only one there is.

        Options: `calibration` (a file), and any feature by its SFNC name, in the order in which they are to be set:
        PixelFormat=Mono8&ExposureTime=5000&TriggerMode=On&TriggerSource=Software.
        """
        plain, features = split_features(uri)
        options = plain.options(calibration="")
        return cls(uri.path, **options, features=features, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The stated lens, or a nominal one for the size that the camera is set to."""
        _, _, width, height = self._camera.get_region()
        return nominal_lens(self._lens, height, width, name=self.uri)

    @property
    def packets(self) -> Packets:
        """What the network lost since the start, where the stream is one of GigE Vision."""
        if self._stream is None:
            return Packets()
        names = {self._stream.get_info_name(i) for i in range(self._stream.get_n_infos())}
        counts = (
            int(self._stream.get_info_uint64_by_name(name)) if name in names else 0
            for name in ("n_missing_packets", "n_resent_packets")
        )
        return Packets(*counts)

    def trigger(self) -> None:
        """One exposure by software. Raises ConfigError where the camera is not set to it."""
        self._check_open()
        if self._period_ns is not None:
            raise ConfigError(f"{self.uri} is not triggered; open it with ?TriggerMode=On&TriggerSource=Software")
        try:
            self._camera.software_trigger()
        except self._error as error:
            if self._lost or error.matches(self._aravis.device_error_quark(), self._aravis.DeviceError.TIMEOUT):
                raise SourceDisconnected(f"{self.uri}: camera {self.serial} is gone") from error
            raise ConfigError(f"{self.uri} takes no software trigger: {error}") from error

    def options(self) -> Mapping[str, Option]:
        """The features of the camera that can be read now."""
        found = {}
        for name, node in self._nodes():
            with contextlib.suppress(self._error):  # a command, or not readable in this state
                found[name] = _option(self._aravis, node)
        return found

    def set_option(self, name: str, value: Value) -> None:
        """Set a feature; frames carry another `settings` from then on."""
        self._set(name, value)
        self._read_settings()

    def _start(self) -> None:
        try:
            self._form = str(self._camera.get_pixel_format_as_string())
            self._stream = self._camera.create_stream(None, None)
            payload = self._camera.get_payload()
            for _ in range(BUFFERS):
                self._stream.push_buffer(self._aravis.Buffer.new_allocate(payload))
            self._counter = BlockCounter(self._camera.is_gv_device())
            self._camera.start_acquisition()
        except self._error as error:
            raise SourceDisconnected(f"{self.uri}: {error}") from error

    def _stop(self) -> None:
        """Drops all references: the library closes a device with the last one."""
        with contextlib.suppress(self._error):  # of a device that is gone
            if self._stream is not None and not self._lost:
                self._camera.stop_acquisition()
        if self._device is not None:
            self._device.disconnect(self._handler)
        self._stream = self._device = self._camera = None
        self._claim.release()

    def _grab(self, timeout_s: float) -> Frame | None:
        buffer = self._stream.timeout_pop_buffer(round(1e6 * timeout_s))
        if self._lost:
            raise SourceDisconnected(f"{self.uri}: camera {self.serial} is gone")
        if buffer is None:
            return None
        try:
            missed = self._counter.missed(buffer.get_frame_id())
            if missed < 0:
                self._lose("repeated")
                return None
            self._lose("device", missed)
            frame = frame_of(buffer, self._form, self._lens, self.uri)
        finally:
            self._stream.push_buffer(buffer)
        return replace(
            frame, serial=self.serial, calibration_id=self._calibration_id, settings=self._settings,
            period_ns=self._period_ns,
        )  # fmt: skip

    def _on_lost(self, device: Any) -> None:
        """Called in a thread of the library."""
        self._lost = True

    def _opened(self, identity: str) -> Any:
        try:
            camera = self._aravis.Camera.new(identity)
        except self._error as error:
            raise SourceDisconnected(f"{self.uri}: {error}") from error
        if camera.is_gv_device() and not camera.get_device().is_controller():
            raise SourceBusy(f"{self.uri}: another program or machine controls camera {self.serial}; end that one")
        return camera

    def _set(self, name: str, value: Value) -> None:
        node = self._device.get_feature(name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            if node is None:
                raise ConfigError(f"{self.uri} has no feature {name}; options() names those it has")
            node.set_value_from_string(text)
        except self._error as error:
            raise ConfigError(f"{self.uri}: the feature {name} does not take {text!r}: {error}") from error

    def _read_settings(self) -> None:
        options = self.options()
        settings = stable(options, self._settable)
        self._settable = self._settable or frozenset(settings)
        rate = 0.0
        with contextlib.suppress(self._error):  # a camera need not have one
            rate = self._camera.get_frame_rate()
        self._settings, self._period_ns = settings_hash(settings), period_of(options, rate)

    def _nodes(self, category: str = "Root") -> Iterator[tuple[str, Any]]:
        for name in self._device.get_feature(category).get_features():
            node = self._device.get_feature(name)
            if isinstance(node, self._aravis.GcCategory):
                yield from self._nodes(name)
            elif node is not None:
                yield name, node


def _binding() -> Any:
    """The module gi, also where it lies outside of a virtual environment."""
    try:
        return importlib.import_module("gi")
    except ImportError:
        spec = importlib.machinery.PathFinder.find_spec("gi", [DEBIAN])
        if spec is None or spec.loader is None:
            raise
    module = sys.modules["gi"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["gi"]
        raise
    return module


def _listed(aravis: Any) -> list[tuple[str, ...]]:
    """(id, serial, vendor, model, address, protocol) of each camera; takes about a second."""
    aravis.update_device_list()
    names = ("id", "serial_nbr", "vendor", "model", "address", "protocol")
    return [
        tuple(str(getattr(aravis, f"get_device_{name}")(index)) for name in names)
        for index in range(aravis.get_n_devices())
    ]


def _find(aravis: Any, wanted: str) -> tuple[str, str]:
    """(id, serial). Raises SourceDisconnected where it is not there, ConfigError where several fit."""
    cameras = _listed(aravis)
    found = [camera for camera in cameras if not wanted or wanted in (camera[0], camera[1], camera[4])]
    here = ", ".join(camera[1] for camera in cameras) or "none"
    if not found:
        raise SourceDisconnected(f"aravis: no camera {wanted or 'at all'}; connected: {here}")
    if len(found) > 1:
        raise ConfigError(f"aravis: several cameras are connected; name one: {here}")
    return found[0][0], found[0][1]


def _option(aravis: Any, node: Any) -> Option:
    """A feature as it is now. Raises GLib.Error where it has no value or cannot be read."""
    writable = node.get_actual_access_mode() == aravis.GcAccessMode.RW
    note = node.get_tooltip() or ""
    if isinstance(node, aravis.GcEnumeration):
        return Option(node.get_string_value(), None, None, tuple(node.dup_available_string_values()), note, writable)
    if isinstance(node, aravis.GcBoolean):
        return Option(node.get_value(), note=note, writable=writable)
    if isinstance(node, aravis.GcInteger | aravis.GcFloat):
        return Option(node.get_value(), float(node.get_min()), float(node.get_max()), note=note, writable=writable)
    return Option(node.get_value_as_string(), note=note, writable=writable)
