# SPDX-License-Identifier: Apache-2.0
"""What is known of GenTL and of harvesters: producers, devices, features, deliveries, and how they report failure.

A producer is the library of a camera's maker (`.cti`, in the folders of GENICAM_GENTL64_PATH). A process can open it
once, so all cameras behind it share one `Harvester`. Read from harvesters 1.4.3:
    * waiting for a frame holds Python's interpreter lock, so frames are polled for, with sleep between;
    * making an acquirer takes over Ctrl-C, which is given back;
    * `raw_buffer` calls itself bytes, but the producer writes into it again as soon as the buffer is queued; chunk
      features are read from the same memory: so both are read before;
    * timestamps, sizes and numbers of a buffer may be absent: then an exception is raised by reading them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rasant.errors import ConfigError, SourceBusy, SourceDisconnected, SourceError
from rasant.sensors.base import Option, Value
from rasant.sensors.claim import Claim
from rasant.sensors.genicam.payload import Part, Scan3d, read_scan3d
from rasant.sensors.live import Camera, Probe

__all__ = ["Delivery", "GenTLDevice", "NodeMap", "find_producers", "probe"]

PATH = "GENICAM_GENTL64_PATH"
POLL_S = 0.002
INTEGER, BOOLEAN, FLOAT, STRING, ENUMERATION = 2, 3, 5, 6, 9  # GenApi's principal interface types
READ_ONLY, READ_WRITE = 3, 4  # GenApi's access modes
DENIED = ("AccessDeniedException", "ResourceInUseException", "BusyException")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One frame as it came. number, time_ns: None where the producer does not tell. scan: with its chunks."""

    parts: tuple[Part, ...]
    scan: Scan3d
    number: int | None
    time_ns: int | None


def find_producers(path: str) -> tuple[str, ...]:
    """Files of producers: `path` (a file or a folder), or those in the folders of GENICAM_GENTL64_PATH.

    Raises SourceError where there are none.
    """
    places = [path] if path else [place for place in os.environ.get(PATH, "").split(os.pathsep) if place]
    files = [
        str(file.resolve())
        for place in (Path(place).expanduser() for place in places)
        for file in ([place] if place.suffix == ".cti" else sorted(place.glob("*.cti")))
        if file.is_file()
    ]
    if not files:
        where = f"producer={path}" if path else f"{PATH}={os.environ.get(PATH, '')}"
        raise SourceError(f"genicam: no GenTL producer (.cti) in {where}; install the one of your camera's maker")
    return tuple(dict.fromkeys(files))


def probe() -> Probe:
    """The cameras behind the producers of GENICAM_GENTL64_PATH."""
    try:
        library = f"harvesters {version('harvesters')}"
    except PackageNotFoundError:
        return Probe("genicam", "", "pip install 'rasant[genicam]'")
    try:
        files = find_producers("")
    except SourceError:
        return Probe("genicam", library, f"a GenTL producer (.cti) in {PATH}")
    cameras = []
    for file in files:
        with _Shared.of(file) as shared:
            cameras += [
                Camera(f"genicam:{info.serial_number or info.id_}", f"{info.vendor} {info.model}",
                       info.serial_number or info.id_, f"{info.tl_type}, {Path(file).name}")
                for info in shared.harvester.device_info_list
            ]  # fmt: skip
    return Probe("genicam", library, "", tuple(cameras))


class _Shared:
    """The harvester of one producer, kept while anyone uses it."""

    _lock = threading.RLock()
    _open: ClassVar[dict[str, _Shared]] = {}

    def __init__(self, file: str) -> None:
        self.file, self.users = file, 0
        self.harvester: Any = importlib.import_module("harvesters.core").Harvester()
        self.harvester.add_file(file)
        self.harvester.update()

    @classmethod
    def of(cls, file: str) -> _Shared:
        """A user more; each one ends with `release`."""
        with cls._lock:
            shared = cls._open.get(file) or cls(file)
            cls._open[file] = shared
            shared.users += 1
            return shared

    def release(self) -> None:
        with self._lock:
            self.users -= 1
            if self.users == 0:
                del self._open[self.file]
                self.harvester.reset()

    def __enter__(self) -> _Shared:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class NodeMap:
    """Features of a device, by name. What cannot be read in this state is absent."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def get(self, name: str) -> Any:
        """The value, or None."""
        try:
            return getattr(self._nodes, name).value
        except Exception:  # of genapi, in several kinds
            return None

    def select(self, name: str, value: str) -> bool:
        """Set a selector; False where that cannot be."""
        try:
            getattr(self._nodes, name).value = value
        except Exception:
            return False
        return True

    def set(self, name: str, value: Value) -> None:
        """Set a feature from a value or its text. Raises ConfigError."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            getattr(self._nodes, name).from_string(text)
        except Exception as error:
            raise ConfigError(f"genicam: the feature {name} does not take {text!r} ({_said(error)})") from error

    def execute(self, name: str) -> None:
        """Run a command. Raises ConfigError where there is none."""
        try:
            getattr(self._nodes, name).execute()
        except Exception as error:
            raise ConfigError(f"genicam: {name} cannot be executed ({_said(error)})") from error

    def options(self) -> dict[str, Option]:
        """All features with a value that can be read now; selectors are left out, they choose and set nothing."""
        return {name: option for name, option in self._options() if option is not None}

    def _options(self) -> Iterator[tuple[str, Option | None]]:
        for node in self._nodes.nodes:
            if node.node.is_feature() and not node.node.is_selector():
                yield node.node.name, _option(node)


class GenTLDevice:
    """A camera behind a producer.

    wanted: serial number, id or name given by the user; empty takes the only one. Raises SourceDisconnected where it is
    not there, SourceBusy where it is held, ConfigError where several are there.
    """

    def __init__(self, wanted: str, producers: tuple[str, ...]) -> None:
        self._shared, index = _find(wanted, producers)
        try:
            info = self._shared.harvester.device_info_list[index]
            self.serial = str(info.serial_number or info.id_)
            self.name = f"{info.vendor} {info.model}"
            self._claim = Claim("genicam", f"{info.vendor}-{self.serial}")
        except BaseException:
            self._shared.release()
            raise
        try:
            handler = signal.getsignal(signal.SIGINT)
            self._acquirer = self._shared.harvester.create(index)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, handler)
        except Exception as error:
            self._claim.release()
            self._shared.release()
            kind = SourceBusy if type(error).__name__ in DENIED else SourceDisconnected
            raise kind(f"genicam: camera {self.serial}: {_said(error)}") from error
        self._names: Mapping[int, str] = importlib.import_module("harvesters.util.pfnc").dict_by_ints
        self.features = NodeMap(self._acquirer.remote_device.node_map)
        self.gige = str(info.tl_type) in ("GEV", "GigEVision")
        self.incomplete = 0
        self._acquirer.add_callback(self._acquirer.Events.INCOMPLETE_BUFFER, _Counting(self))

    def start(self) -> None:
        """Let it stream. Raises SourceDisconnected."""
        try:
            self._acquirer.start()
        except Exception as error:
            raise SourceDisconnected(f"genicam: camera {self.serial}: {_said(error)}") from error

    def fetch(self, timeout_s: float, stated: Scan3d) -> Delivery | None:
        """The next delivery, copied; None where none came. Raises SourceDisconnected."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                buffer = self._acquirer.try_fetch(timeout=1e-6, is_raw=True)
                if buffer is not None or time.monotonic() >= deadline:
                    break
                time.sleep(POLL_S)
        except Exception as error:
            raise SourceDisconnected(f"genicam: camera {self.serial}: {_said(error)}") from error
        return None if buffer is None else self._delivery(buffer, stated)

    def stop(self) -> None:
        """Stop streaming; may be started again."""
        self._acquirer.stop()

    def close(self) -> None:
        """Release the device; never raises."""
        with contextlib.suppress(Exception):  # of a device that is gone
            self._acquirer.destroy()
        self._claim.release()
        self._shared.release()

    def _delivery(self, buffer: Any, stated: Scan3d) -> Delivery:
        try:
            whole = np.frombuffer(buffer.raw_buffer, np.uint8)
            parts = tuple(self._part(buffer, part, whole) for part in _told(buffer, "parts") or [buffer])
            scan = read_scan3d(self.features, stated)
            return Delivery(parts, scan, _told(buffer, "frame_id"), _time(buffer))
        finally:
            buffer.parent.queue_buffer(buffer)

    def _part(self, buffer: Any, part: Any, whole: Any) -> Part:
        """A part of a multi-part buffer, or the buffer itself, which lets the device fill in what it does not tell."""
        if part is buffer:
            code, start, size = _told(buffer, "pixel_format"), _told(buffer, "image_offset") or 0, whole.size
            width = _told(buffer, "width") or self.features.get("Width")
            height = _told(buffer, "height") or self.features.get("Height")
            padding = _told(buffer, "padding_x") or 0
        else:
            code, start, size = part.data_format, part.data_offset, part.data_size
            width, height, padding = part.width, part.height, _told(part, "x_padding") or 0
        name = self.features.get("PixelFormat") if code is None else self._names.get(code, f"0x{code:08x}")
        return Part(str(name), int(width), int(height), whole[start : start + size].copy(), int(padding))


class _Counting:
    """Counts deliveries that harvesters discards because packets are missing."""

    def __init__(self, device: GenTLDevice) -> None:
        self._device = device

    def emit(self, context: object = None) -> None:
        self._device.incomplete += 1


def _find(wanted: str, producers: tuple[str, ...]) -> tuple[_Shared, int]:
    """The producer that has the camera, and its place in that one's list."""
    here: list[str] = []
    found: list[tuple[str, int]] = []
    for file in producers:
        with _Shared.of(file) as shared:
            for index, info in enumerate(shared.harvester.device_info_list):
                names = (info.serial_number, info.id_, _told(info, "user_defined_name"))
                here.append(str(names[0] or names[1]))
                if not wanted or wanted in names:
                    found.append((file, index))
    if not found:
        raise SourceDisconnected(f"genicam: no camera {wanted or 'at all'}; connected: {', '.join(here) or 'none'}")
    if len(found) > 1:
        raise ConfigError(f"genicam: several cameras fit {wanted!r}; name one: {', '.join(here)}")
    file, index = found[0]
    return _Shared.of(file), index


def _said(error: Exception) -> str:
    """What an exception of the library says; some carry no text."""
    return str(error) or type(error).__name__


def _told(thing: Any, name: str) -> Any:
    """What a buffer, part or device says, or None where it cannot tell."""
    try:
        return getattr(thing, name)
    except Exception:
        return None


def _time(buffer: Any) -> int | None:
    nanoseconds = _told(buffer, "timestamp_ns")
    if nanoseconds is None:
        ticks, rate = _told(buffer, "timestamp"), _told(buffer.parent.parent, "timestamp_frequency")
        nanoseconds = round(1e9 * ticks / rate) if ticks and rate else None
    return nanoseconds or None


def _option(node: Any) -> Option | None:
    kind, mode = node.node.principal_interface_type, node.get_access_mode()
    if mode not in (READ_ONLY, READ_WRITE) or kind not in (INTEGER, BOOLEAN, FLOAT, STRING, ENUMERATION):
        return None
    try:
        low, high = (float(node.min), float(node.max)) if kind in (INTEGER, FLOAT) else (None, None)
        choices = tuple(node.symbolics) if kind == ENUMERATION else ()
        return Option(node.value, low, high, choices, str(node.node.tooltip), writable=mode == READ_WRITE)
    except Exception:  # not readable after all
        return None
