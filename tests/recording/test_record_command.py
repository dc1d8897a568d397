# SPDX-License-Identifier: Apache-2.0
"""`rasant record` and `rasant synth` do what their help says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from mcap.reader import make_reader
from typer.testing import CliRunner

from live_cameras import PLANS, FakeCamera, whole
from rasant.errors import ConfigError, SourceError
from rasant.recording.commands import record
from rasant.recording.mcap_writer import RecordingWriter
from rasant.sensors import open_source
from rasant.sensors.uri import SCHEMES
from rasant.synthesis.commands import synth
from rasant.types import Frame


def run(command: Callable[..., None], *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def test_record_writes_the_asked_number_of_frames(tmp_path: Path) -> None:
    """--frames stops the recording, --json prints one object that agrees with the file, and the file replays."""
    out = tmp_path / "r.mcap"
    done = run(record, "synthetic:plate?size=64", str(out), "--frames", "3", "--compress", "png", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["frames"] == 3 and result["damaged"] == 0 and result["bytes"] == out.stat().st_size
    with open_source(str(out)) as source:
        assert source.frame_count == 3 == len(list(source))


def test_record_leaves_damaged_frames_out(tmp_path: Path) -> None:
    """A damaged file of the source is counted and left out; the rest is recorded."""
    assert run(synth, str(tmp_path), "--size", "64", "--train", "4", "--test-defect", "0").exit_code == 0
    (tmp_path / "plate/train/good/color/002.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "r.mcap"
    done = run(record, f"dataset:{tmp_path}?split=train", str(out), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frames"] == 3 and json.loads(done.stdout)["damaged"] == 1


def test_record_never_overwrites_unasked(tmp_path: Path) -> None:
    """An existing file is refused without --force and replaced with it; other suffixes and no source are refused."""
    out = tmp_path / "r.mcap"
    out.write_bytes(b"precious")
    assert isinstance(run(record, "synthetic:plate?size=64&frames=1", str(out)).exception, ConfigError)
    assert out.read_bytes() == b"precious"
    assert run(record, "synthetic:plate?size=64&frames=1", str(out), "--force").exit_code == 0
    assert isinstance(run(record, "synthetic:plate", str(tmp_path / "r.bag")).exception, ConfigError)
    (tmp_path / "color").mkdir()
    missing = run(record, f"folder:{tmp_path / 'gone'}", str(tmp_path / "s.mcap"))
    assert isinstance(missing.exception, SourceError) and not (tmp_path / "s.mcap").exists()


def test_a_slow_encoder_never_holds_up_the_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding takes ten times as long as a frame: the camera is read at its own rate, what the queue could not hold is
    counted, and written and lost frames make up all of them."""
    write = RecordingWriter.write

    def slowly(writer: RecordingWriter, frame: Frame) -> None:
        time.sleep(0.02)
        write(writer, frame)

    monkeypatch.setattr(RecordingWriter, "write", slowly)
    monkeypatch.setattr("rasant.recording.commands.QUEUED", 8)
    monkeypatch.setitem(SCHEMES, "fake", "live_cameras:FakeCamera")
    monkeypatch.setitem(PLANS, "plan", lambda: FakeCamera(period_s=0.002, frames=100, lost=frozenset({50})))
    out = tmp_path / "r.mcap"
    done = run(record, "fake:plan", str(out), "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["lost"]["device"] == 1 and result["lost"]["queue"] > 0
    assert result["frames"] + result["lost"]["queue"] + 1 == 100
    with open_source(str(out)) as source:
        numbers = [whole(frame) for frame in source]
    assert numbers == sorted(numbers) and len(numbers) == result["frames"] and numbers[-1] == 99


@pytest.mark.captures
def test_a_recording_of_librealsense_is_imported(captures: Path, tmp_path: Path) -> None:
    """`rasant record realsense:FILE.bag OUT.mcap`: the frame comes back bit for bit, with the camera's settings."""
    pytest.importorskip("pyrealsense2")
    uri, out = f"realsense:{captures / 'realsense_bag' / 'single_depth_color_640x480.bag'}", tmp_path / "r.mcap"
    assert run(record, uri, str(out)).exit_code == 0
    with open_source(uri) as bag, open_source(str(out)) as replay, out.open("rb") as file:
        expected, found = bag.read(10), replay.read()
        np.testing.assert_array_equal(found.color, expected.color)
        np.testing.assert_array_equal(found.depth, expected.depth)
        for name in ("intrinsics", "serial", "device_time_ns", "clock", "skew_ns", "period_ns", "settings"):
            assert getattr(found, name) == getattr(expected, name)
        settings = json.loads(next(iter(make_reader(file).iter_metadata())).metadata["settings"])
        assert settings["depth.laser_power"] == 150.0


def test_folders_are_written_where_a_layout_is_named(tmp_path: Path) -> None:
    """--layout writes folders instead of a file; an unknown layout is refused."""
    done = run(record, "synthetic:plate?size=64&frames=2", str(tmp_path / "out"), "--layout", "tum", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["frames"] == 2
    assert len(list((tmp_path / "out/depth").iterdir())) == 2
    wrong = run(record, "synthetic:plate?size=64&frames=2", str(tmp_path / "other"), "--layout", "kitti")
    assert isinstance(wrong.exception, ConfigError)


def test_synth_reports_what_it_wrote(tmp_path: Path) -> None:
    """--json of synth names the folder, seed and counts, and the folder opens as a data set."""
    counts = ("--train", "1", "--validation", "0", "--test-good", "1", "--test-defect", "2")
    done = run(synth, "--category", "flange", *counts, "--size", "64", "--seed", "5", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["frames"] == 4 and result["seed"] == 5
    with open_source(f"dataset:{result['path']}?split=all") as source:
        assert len(list(source)) == 4


@pytest.mark.parametrize("command", [record, synth])
def test_help_shows_an_example(command: Callable[..., None]) -> None:
    """The help of both commands has an example line."""
    assert "Example: rasant" in " ".join(run(command, "--help").stdout.split())
