# SPDX-License-Identifier: Apache-2.0
"""Pictures through Aravis: buffers in words, and Debian's fake GigE Vision camera on the loopback network.

`make test-sensors` installs the packages and fails where they are missing; elsewhere those that need them are skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from rasant.calibration_file import Calibration, FittedLens, write_calibration
from rasant.errors import (
    ConfigError,
    FrameError,
    SourceBusy,
    SourceDisconnected,
    SourceError,
    SourceTimeout,
    WrongDevice,
)
from rasant.sensors import open_source
from rasant.sensors.aravis import Packets, frame_of, probe
from rasant.sensors.sfnc import BlockCounter
from rasant.stream import Pump
from rasant.types import Clock, Drops, Intrinsics

CAMERA = "arv-fake-gv-camera-0.8"
SMALL = "Width=64&Height=48&PixelFormat=Mono8"
TRIGGERED = f"{SMALL}&TriggerMode=On&TriggerSource=Software"


needs_aravis = pytest.mark.skipif(
    "RASANT_SENSORS" not in os.environ,
    reason="needs Debian's Aravis packages, and the loopback network to itself: make test-sensors",
)


class FakeCamera:
    """Debian's fake camera as a process, that can be killed and started again."""

    def __init__(self, serial: str = "RASANT1", *options: str) -> None:
        self._call = [CAMERA, "-i", "127.0.0.1", "-s", serial, *options]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.2)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    """A camera with serial number RASANT1."""
    fake = FakeCamera()
    yield fake
    fake.kill()


def buffer(pixels: np.ndarray, *, number: int = 1, status: str = "success", stamp: int = 5) -> SimpleNamespace:
    """What Aravis hands out, in words."""
    return SimpleNamespace(
        get_status=lambda: SimpleNamespace(value_nick=status), get_frame_id=lambda: number, get_timestamp=lambda: stamp,
        get_image_width=lambda: pixels.shape[1], get_image_height=lambda: pixels.shape[0], get_data=pixels.tobytes,
    )  # fmt: skip


def test_a_buffer_becomes_a_frame_without_depth() -> None:
    """The highest 8 of 12 bits, three times; number, time and clock; a nominal lens, or the stated one of that size."""
    pixels = np.random.default_rng(0).integers(0, 4096, (6, 8)).astype(np.uint16)
    frame = frame_of(buffer(pixels, number=7), "Mono12", None, "aravis:X")
    assert frame.depth is None and (frame.color == (pixels >> 4)[..., None]).all() and frame.name == "7"
    assert frame.device_time_ns == 5 and frame.clock is Clock.DEVICE and frame.intrinsics.cx == 3.5
    assert frame_of(buffer(pixels, stamp=0), "Mono12", None, "").clock is Clock.NONE
    lens = Intrinsics(8, 6, 9.0, 9.0, 4.0, 3.0)
    assert frame_of(buffer(pixels), "Mono12", lens, "").intrinsics is lens
    with pytest.raises(ConfigError, match="is for 8x6 pixels, the camera sends 4x6"):
        frame_of(buffer(pixels[:, :4]), "Mono12", lens, "aravis:X")


@pytest.mark.parametrize("status", ["missing-packets", "timeout", "size-mismatch"])
def test_a_picture_that_is_not_whole_is_damaged(status: str) -> None:
    """Any status but success raises FrameError that says it."""
    with pytest.raises(FrameError, match=status.replace("-", " ")):
        frame_of(buffer(np.zeros((6, 8), np.uint8), status=status), "Mono8", None, "aravis:X")


def test_numbers_of_both_gige_visions() -> None:
    """16 bits go from 65535 to 1 without a loss; a camera that counts on beyond has 64 bits."""
    short, long = BlockCounter(True), BlockCounter(True)
    assert [short.missed(number) for number in (65534, 65535, 1, 2, 5, 5)] == [0, 0, 0, 0, 2, -1]
    assert [long.missed(number) for number in (65534, 65535, 65536, 65537, 65540)] == [0, 0, 0, 0, 2]
    assert [BlockCounter(False).missed(number) for number in (65535,)] == [0]


@needs_aravis
def test_every_trigger_gives_its_picture(camera: FakeCamera) -> None:
    """150 software triggers, 150 pictures, numbered through the wrap from 65535 to 1; nothing lost, nothing extra."""
    with open_source(f"aravis:RASANT1?{TRIGGERED}") as source:
        assert source.intrinsics.width == 64 and "nominal" in source.note and source.serial == "RASANT1"
        names, began = [], time.monotonic()
        source.start()
        for _ in range(150):
            source.trigger()
            frame = source.read(5)
            assert frame.color is not None and frame.color.shape == (48, 64, 3) and frame.color.max() > 0
            assert frame.period_ns is None and frame.depth is None and frame.serial == "RASANT1"
            names.append(int(frame.name))
        print(f"{150 / (time.monotonic() - began):.0f} triggers a second")
        wrap = names.index(65535)
        assert names == [*range(65535 - wrap, 65536), *range(1, 150 - wrap)]
        assert source.stats() == Drops() and source.packets == Packets()


@needs_aravis
def test_the_camera_is_killed_and_comes_back(camera: FakeCamera) -> None:
    """20 reconnects of 20: each loss is told as SourceDisconnected, then frames come again, with the same settings."""
    opens = partial(open_source, f"aravis:RASANT1?{SMALL}&TriggerMode=Off")
    with Pump(opens, pauses_s=(0.1, 0.5)) as pump:
        pump.set_option("ExposureTimeAbs", 9000.0)
        settings = pump.read(5).settings
        slowest = 0.0
        for count in range(20):
            camera.kill()
            camera.start()
            began, told = time.monotonic(), False
            while pump.reconnects == count and time.monotonic() - began < 30:
                try:
                    pump.read(0.5)
                except SourceDisconnected:
                    told = True
                except SourceTimeout:
                    continue
            assert pump.reconnects == count + 1 and told
            assert pump.read(5).settings == settings
            slowest = max(slowest, time.monotonic() - began)
        print(f"20 of 20 reconnects, the slowest after {slowest:.1f} s")


@needs_aravis
def test_another_camera_in_its_place_is_refused(camera: FakeCamera) -> None:
    """The camera is away for long, then one of another serial number answers: WrongDevice, until the former is back."""
    with Pump(partial(open_source, f"aravis:?{SMALL}&TriggerMode=Off"), pauses_s=(0.1, 0.2)) as pump:
        assert pump.read(5).serial == "RASANT1"
        camera.kill()
        other = FakeCamera("RASANT2")
        with pytest.raises(WrongDevice, match="RASANT1"):
            _read_until(pump, WrongDevice)
        other.kill()
        camera.start()
        deadline = time.monotonic() + 30
        while pump.reconnects == 0 and time.monotonic() < deadline:
            try:
                pump.read(0.5)
            except SourceError:
                continue
        assert pump.read(5).serial == "RASANT1"


@needs_aravis
def test_a_camera_that_stays_away_is_told(camera: FakeCamera) -> None:
    """Triggered, and the camera dies: the trigger raises SourceDisconnected; opening one that is not there does too."""
    with open_source(f"aravis:127.0.0.1?{TRIGGERED}") as source:
        source.trigger()
        source.read(5)
        camera.kill()
        with pytest.raises(SourceDisconnected, match="gone"):
            source.trigger()
    with pytest.raises(SourceDisconnected, match="no camera RASANT1; connected: none"):
        open_source("aravis:RASANT1")


@needs_aravis
def test_lost_packets_are_counted() -> None:
    """A network that loses packets: every picture is whole or counted, and lost packets show in `packets`."""
    fake = FakeCamera("RASANT3", "-r", "100")
    try:
        with open_source(f"aravis:RASANT3?{SMALL}&TriggerMode=Off", skip_damaged=True) as source:
            for _ in range(40):
                next(source)
            drops, packets = source.stats(), source.packets
            print(drops, packets)
            assert packets.resent + packets.missing > 0 and drops.total == drops.damaged + drops.device
    finally:
        fake.kill()


@needs_aravis
def test_settings_and_refusals(camera: FakeCamera, tmp_path) -> None:
    """Features are read with their limits and set; wrong ones are refused; a second program is told who holds it."""
    with open_source(f"aravis:RASANT1?{SMALL}&TriggerMode=Off&ExposureTimeAbs=2000") as source:
        assert source.options()["ExposureTimeAbs"].value == 2000 and source.options()["Width"].high == 2048
        assert "Mono16" in source.options()["PixelFormat"].choices and not source.options()["DeviceID"].writable
        before = source.read(5)
        source.set_option("ExposureTimeAbs", 3000)
        assert source.read(5).settings != before.settings and before.period_ns is not None
        for name, value in (("Exposure", 1), ("ExposureTimeAbs", 1e9), ("DeviceID", "x"), ("PixelFormat", "Mono3")):
            with pytest.raises(ConfigError, match=name):
                source.set_option(name, value)
        with pytest.raises(ConfigError, match="not triggered"):
            source.trigger()
        with pytest.raises(SourceBusy, match=str(os.getpid())):
            open_source("aravis:RASANT1")
        assert [found.serial for found in probe().cameras] == ["RASANT1"]
    lens = FittedLens(width=64, height=48, fx=70.0, fy=70.0, cx=31.5, cy=23.5)
    calibration = Calibration(created="2026-05-04T09:30:00Z", serial="RASANT1", color=lens)
    stated = write_calibration(tmp_path / "c.json", calibration)
    with open_source(f"aravis:RASANT1?{SMALL}&TriggerMode=Off&calibration={tmp_path / 'c.json'}") as source:
        frame = source.read(5)
        assert frame.calibration_id == stated.id and frame.intrinsics.fx == 70.0 and source.note == "no depth"


def _read_until(pump: Pump, kind: type[SourceError]) -> None:
    """Read until an error of that kind comes, at most 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            pump.read(0.5)
        except kind:
            raise
        except SourceError:
            continue
