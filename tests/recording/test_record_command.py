# SPDX-License-Identifier: Apache-2.0
"""`rasant record` and `rasant synth` do what their help says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rasant.errors import ConfigError, SourceError
from rasant.recording.commands import record
from rasant.sensors import open_source
from rasant.synthesis.commands import synth


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
