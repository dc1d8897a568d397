# SPDX-License-Identifier: Apache-2.0
"""Recordings of librealsense: every frame, at the pace asked for, a clean end, and what a crash left of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyrealsense2")

import typer
from typer.testing import CliRunner

from rasant.calibration_file import Calibration, FittedLens, Motion, write_calibration
from rasant.errors import ConfigError, EndOfStream, SourceError, WrongDevice
from rasant.sensors import Source, open_source
from rasant.stream import Pump
from rasant.types import Clock, Drops, Frame, Intrinsics
from software_camera import PERIOD_MS, SERIAL, SoftwareCamera, record
from tiny_bundle import plate_camera, write_tiny_bundle

FRAMES = 24
TESTS = Path(__file__).resolve().parent.parent
BAG = Path("realsense_bag") / "single_depth_color_640x480.bag"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exposures 0 .. FRAMES - 1 of a software camera, recorded by librealsense at 30 frames/s of its own time."""
    path = tmp_path_factory.mktemp("db3") / "soft.db3"
    record(SoftwareCamera(), str(path), FRAMES, pause_s=0.002)
    return path


def check(frames: list[Frame], first: int = 0) -> list[int]:
    """The numbers of frames that are exposures of the software camera, bit for bit."""
    camera, numbers = SoftwareCamera(), []
    for frame in frames:
        color, depth = camera.images(int(frame.name))
        np.testing.assert_array_equal(frame.color, color)
        np.testing.assert_array_equal(frame.depth, depth)
        numbers.append(int(frame.name))
    assert numbers == list(range(first, first + len(numbers)))
    return numbers


def test_every_frame_comes_back(recording: Path) -> None:
    """As fast as they are read: all frames, bit for bit, with time, serial and numbers of their own; then the end."""
    with open_source(f"realsense:{recording}") as source:
        assert not source.live and source.serial == SERIAL
        frames = list(source)
        assert len(check(frames)) == FRAMES and source.stats() == Drops()
        assert [frame.index for frame in frames] == list(range(FRAMES))
        assert all(frame.recorded and frame.clock is Clock.DEVICE and frame.skew_ns == 0 for frame in frames)
        steps = np.diff([frame.device_time_ns or 0 for frame in frames])
        np.testing.assert_allclose(steps, PERIOD_MS * 1e6, rtol=1e-4)
        with pytest.raises(EndOfStream):
            source.read(1)


def test_the_recorded_pace_is_kept_and_nothing_is_lost_by_a_slow_reader(recording: Path) -> None:
    """pace=recorded takes as long as the recording, speed divides it; a reader slower than the camera gets all frames
    at either pace (played by librealsense's own clock it would silently lose some)."""
    for query, slow_s, low in (("pace=recorded", 0.0, 0.7), ("pace=recorded&speed=10", 0.005, 0.07), ("", 0.02, 0.4)):
        with open_source(f"realsense:{recording}?{query}") as source:
            frames, start = [], time.monotonic()
            for frame in source:
                frames.append(frame)
                time.sleep(slow_s)
            assert time.monotonic() - start >= low
            assert len(check(frames)) == FRAMES and source.stats() == Drops()


def test_a_pump_that_blocks_loses_nothing_of_a_recording(recording: Path) -> None:
    """Through a pump with the policy block a recording arrives whole, and ends."""
    with Pump(lambda: open_source(f"realsense:{recording}"), policy="block", capacity=2) as pump:
        assert len(check(list(pump))) == FRAMES and pump.stats() == Drops()


RECORDER = """
import sys, time
sys.path.insert(0, {tests!r})
import software_camera
camera = software_camera.SoftwareCamera()
expose = camera.expose

def told(number):
    expose(number)
    print(number, flush=True)

camera.expose = told
software_camera.record(camera, {path!r}, 100_000, pause_s=0.01)
"""


def test_a_recorder_that_is_killed_leaves_frames_that_replay(tmp_path: Path) -> None:
    """SIGKILL in the middle of a recording: what was written replays bit for bit from the first frame, then ends."""
    path = tmp_path / "killed.db3"
    code = RECORDER.format(tests=str(TESTS), path=str(path))
    recorder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert recorder.stdout is not None
    while recorder.stdout.readline() != "40\n":
        assert recorder.poll() is None
    recorder.send_signal(signal.SIGKILL)
    recorder.wait()
    recorder.stdout.close()
    with open_source(f"realsense:{path}") as source:
        assert len(check(list(source))) >= 10


def test_what_cannot_be_played_is_said(recording: Path, tmp_path: Path) -> None:
    """A file cut short, one that is none, one that is not there, and options that a recording has not: refused."""
    cut = tmp_path / "cut.db3"
    data = recording.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    none = tmp_path / "none.bag"
    none.write_bytes(b"no recording")
    for path in (cut, none, tmp_path / "absent.db3"):
        with pytest.raises(SourceError):
            list(open_source(f"realsense:{path}"))
    for query in ("pace=slow", "speed=0", "depth.exposure=1", "width=640"):
        with pytest.raises(ConfigError):
            open_source(f"realsense:{recording}?{query}")


def calibrated(serial: str, size: tuple[int, int] = (48, 64)) -> Calibration:
    """A calibration of the software camera that moves colour 10 mm aside."""
    rows, cols = size
    lens = FittedLens(width=cols, height=rows, fx=60.0, fy=60.0, cx=(cols - 1) / 2, cy=(rows - 1) / 2)
    motion = Motion.from_matrix(np.column_stack([np.eye(3), [0.01, 0, 0]]))
    return Calibration(created="2026-01-01T00:00:00Z", serial=serial, color=lens, depth=lens, color_from_depth=motion)


def test_a_calibration_file_replaces_the_devices_geometry(recording: Path, tmp_path: Path) -> None:
    """Lenses and motion of the file are used and frames carry its id; one of another camera or size is refused."""
    path = tmp_path / "calibration.json"
    stated = write_calibration(path, calibrated(SERIAL))
    with open_source(f"realsense:{recording}?calibration={path}") as source:
        frame = source.read(5)
        assert frame.calibration_id == stated.id and source.calibration
        assert frame.intrinsics == Intrinsics(64, 48, 60.0, 60.0, 31.5, 23.5) and frame.depth_scale == 1.0
    write_calibration(path, calibrated("OTHER"))
    with pytest.raises(WrongDevice, match="OTHER"):
        open_source(f"realsense:{recording}?calibration={path}")
    write_calibration(path, calibrated(SERIAL, (96, 128)))
    with pytest.raises(ConfigError, match="128x96"):
        open_source(f"realsense:{recording}?calibration={path}")


@pytest.mark.captures
def test_a_real_recording_gives_its_frame_and_ends(captures: Path) -> None:
    """A D435's .bag: one frame with the camera's serial, lens, time and settings, aligned; then the end of stream."""
    source: Source
    with open_source(f"realsense:{captures / BAG}") as source:
        frame = source.read(10)
        assert frame.serial == "728612070259" and frame.size == (480, 640) and frame.depth is not None
        assert frame.intrinsics.fx == pytest.approx(613.204, abs=1e-3)
        assert (frame.depth > 0).mean() > 0.97 and frame.color is not None and frame.color.std() > 20
        assert frame.skew_ns == -268_242_000 and frame.period_ns == 166_666_667
        assert source.options()["depth.laser_power"].value == 150
        with pytest.raises(EndOfStream):
            source.read(10)


@pytest.mark.captures
def test_the_command_inspects_a_real_recording(captures: Path, tmp_path: Path) -> None:
    """`rasant inspect BUNDLE realsense:FILE.bag --json`: one line and exit code 0. Its colour and depth are 268 ms
    apart, so the line is UNKNOWN E_PAIR; a station that allows it gets a verdict about the part."""
    from rasant.inspect_command import inspect

    bundle = write_tiny_bundle(tmp_path / "b.rasant", camera=plate_camera((480, 640)))
    app = typer.Typer()
    app.command()(inspect)
    station = tmp_path / "station.toml"
    station.write_text("[validity]\nmax_skew = 2.0\ndepth_range_m = [0.1, 20.0]\n")
    lines = []
    for more in ([], ["--station", str(station)]):
        done = CliRunner().invoke(app, [str(bundle), f"realsense:{captures / BAG}", "--json", *more])
        assert done.exit_code == 0, done.output
        lines += [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["reason"] for line in lines] == ["E_PAIR", "DEFECT"] and lines[0]["verdict"] == "UNKNOWN"
