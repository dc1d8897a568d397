# SPDX-License-Identifier: Apache-2.0
"""The GenICam adapter on a real GenTL producer: the demo one that the package genicam ships, with three 3-D devices.

They send multi-part deliveries: RGBa8 and the planes Coord3D_A32f, B32f and C32f of a ball over a table, seen along
parallel rays 1 mm apart, C upwards. They have no timestamps and no trigger.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("harvesters")

import genicam

from rasant.errors import ConfigError, SourceBusy, SourceDisconnected, SourceError, SourceTimeout
from rasant.sensors import open_source
from rasant.sensors.genicam import probe
from rasant.stream import ProcessSource, Pump
from rasant.types import Clock, Drops, Frame

PRODUCER = str(Path(genicam.__file__).with_name("viky.cti"))
OPTIONS = f"producer={PRODUCER}&standoff=8&c_axis=towards"


@pytest.fixture(autouse=True)
def _claims_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has devices of its own here, so its claims must not meet those of a test beside it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def check(frame: Frame, serial: str) -> None:
    """A whole frame: the table at 8 m, a ball of at most 0.2 m above it, seen by colour at the same pixels."""
    assert frame.depth is not None and frame.color is not None and frame.depth.dtype == np.float32
    assert frame.depth.shape == (400, 400) and frame.color.shape == (400, 400, 3) and frame.serial == serial
    assert (frame.depth <= 8.0).all() and (frame.depth > 7.8).all()
    ball = frame.depth < 7.999
    assert 0 < ball.sum() < 16_000
    table = frame.color[~ball].reshape(-1, 3)
    assert (np.abs(frame.color[ball].mean(0) - table.mean(0)) > 20).any()


def test_every_delivery_is_a_whole_frame() -> None:
    """Twenty frames: geometry and pictures agree, numbers rise, nothing is lost or older than its buffer."""
    with open_source(f"genicam:0?{OPTIONS}") as source:
        frames = [source.read(5) for _ in range(20)]
        for frame in frames:
            check(frame, "0")
        numbers = [int(frame.name) for frame in frames]
        assert numbers == sorted(set(numbers)) and source.stats() == Drops(device=numbers[-1] - numbers[0] - 19)
        assert any((frame.depth != frames[0].depth).any() for frame in frames[1:])
        assert frames[0].clock is Clock.NONE and frames[0].device_time_ns is None and frames[0].period_ns == 50_000_000
        lens = source.intrinsics
        assert (lens.fx, lens.fy) == (pytest.approx(8000), pytest.approx(8000)) and abs(lens.cx) < 1e-3


def test_a_grid_of_parallel_rays_is_refused_without_a_standoff() -> None:
    """The message tells what the grid is and which option opens it; a feature that is none is refused too."""
    with pytest.raises(ConfigError, match=r"1 x 1 mm apart; open it with standoff"):
        open_source(f"genicam:0?producer={PRODUCER}")
    with pytest.raises(ConfigError, match="Exposed"):
        open_source(f"genicam:0?{OPTIONS}&ExposedTime=5")
    with pytest.raises(ConfigError, match="c_axis"):
        open_source(f"genicam:0?producer={PRODUCER}&c_axis=towards")
    with open_source(f"genicam:0?{OPTIONS}") as source:
        check(source.read(5), "0")


def test_settings_are_read_and_set() -> None:
    """A feature of the URI and one set later are in force, and change what frames carry; there is no trigger."""
    with open_source(f"genicam:0?{OPTIONS}&AcquisitionFrameRate=10") as source:
        first = source.read(5)
        assert first.period_ns == 100_000_000 and source.options()["PixelFormat"].choices
        source.set_option("AcquisitionFrameRate", 20.0)
        after = source.read(5)
        assert after.period_ns == 50_000_000 and after.settings != first.settings
        source.set_option("AcquisitionFrameRate", 10.0)
        assert source.read(5).settings == first.settings
        with pytest.raises(ConfigError, match="not triggered"):
            source.trigger()


def test_devices_of_one_producer_are_open_at_once() -> None:
    """Three devices in one process, closed in any order; the serial number tells them apart; none twice."""
    sources = [open_source(f"genicam:{serial}?{OPTIONS}") for serial in "012"]
    with pytest.raises(SourceBusy, match=str(os.getpid())):
        open_source(f"genicam:1?{OPTIONS}")
    for order in ((0, 1, 2), (2, 0)):
        for place in order:
            check(sources[place].read(5), str(place))
        sources[1].close()
    for source in sources:
        source.close()


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No producer: SourceError; no such camera: SourceDisconnected with those that are there; several: ConfigError."""
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    with pytest.raises(SourceError, match=r"no GenTL producer \(.cti\) in GENICAM_GENTL64_PATH"):
        open_source("genicam")
    assert "cti" in probe().needs
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(Path(PRODUCER).parent))
    with pytest.raises(SourceDisconnected, match="no camera 77; connected: 0, 1, 2"):
        open_source("genicam:77")
    with pytest.raises(ConfigError, match="name one: 0, 1, 2"):
        open_source("genicam")
    found = probe()
    assert not found.needs and [camera.uri for camera in found.cameras] == ["genicam:0", "genicam:1", "genicam:2"]


def test_waiting_leaves_others_their_turn() -> None:
    """While a frame is waited for, another thread gets the interpreter; Ctrl-C still belongs to the program."""
    handler = signal.getsignal(signal.SIGINT)
    with open_source(f"genicam:0?{OPTIONS}&AcquisitionFrameRate=2") as source:
        assert signal.getsignal(signal.SIGINT) is handler
        source.read(5)
        ticks, done = 0, threading.Event()

        def tick() -> None:
            nonlocal ticks
            while not done.wait(0.001):
                ticks += 1

        thread = threading.Thread(target=tick)
        thread.start()
        began = time.monotonic()
        source.read(5)
        done.set()
        thread.join()
        waited = time.monotonic() - began
        print(f"{ticks} turns in {waited:.2f} s")
        assert ticks > 20 * waited


def test_opening_and_closing_leaves_nothing_behind() -> None:
    """Ten times open, read and close: the number of open files stays as it was."""
    counts = []
    for _ in range(10):
        with open_source(f"genicam:0?{OPTIONS}") as source:
            source.read(5)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1:] == counts[1:2] * 9


def test_through_pump_and_process() -> None:
    """A device in a process of its own, read by a pump: whole frames; killed from outside it comes back by itself."""
    with Pump(partial(ProcessSource, partial(open_source, f"genicam:0?{OPTIONS}")), pauses_s=(0.05, 0.1)) as pump:
        check(pump.read(10), "0")
        os.kill(pump._source.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while pump.reconnects == 0 and time.monotonic() < deadline:
            try:
                pump.read(1)
            except (SourceDisconnected, SourceTimeout):  # the second: it is back, and its first frame is on the way
                continue
        check(pump.read(10), "0")
        assert pump.reconnects == 1


def test_the_command_lists_them() -> None:
    """`rasant cameras` names what can be opened, and what is missing otherwise."""
    environment = {**os.environ, "GENICAM_GENTL64_PATH": str(Path(PRODUCER).parent)}
    call = [sys.executable, "-c", "from rasant.cli import main; main()", "cameras"]
    shown = subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout
    assert "genicam:     3 connected" in shown and "Machine Vision Games" in shown
