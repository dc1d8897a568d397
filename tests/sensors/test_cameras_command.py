# SPDX-License-Identifier: Apache-2.0
"""`rasant cameras` lists what is there, says what is missing, and survives drivers that fail."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from rasant.errors import ConfigError
from rasant.sensors.cameras_command import cameras
from rasant.sensors.live import Camera, Probe
from rasant.sensors.uri import CAMERAS, SCHEMES, parse_uri


def run(*arguments: str) -> str:
    """What the command prints."""
    app = typer.Typer()
    app.command()(cameras)
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_each_adapter_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras with the URI that opens them; a missing library by how to get it; a broken driver by what it said."""
    here = ModuleType("adapters")
    here.one = lambda: Probe("one", "library 1.0", "", (Camera("one:17", "Model X", "17", "USB 3"),))
    here.two = lambda: int("no number")
    monkeypatch.setitem(sys.modules, "adapters", here)
    monkeypatch.setattr("rasant.sensors.cameras_command.CAMERAS", {"one": "adapters:one", "two": "adapters:two"})
    text = run()
    assert "one:17" in text and "Model X, USB 3" in text and "1 connected (library 1.0)" in text
    assert "two:" in text and "ValueError" in text
    listed = json.loads(run("--json"))
    assert listed["one"]["cameras"][0]["serial"] == "17" and "ValueError" in listed["two"]["needs"]


def test_a_missing_library_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyrealsense2 the line tells what to install; nothing fails."""
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    assert "needs pip install 'rasant[realsense]'" in run()


def test_every_live_scheme_can_be_probed_and_opened_by_its_name() -> None:
    """What `rasant cameras` lists is a scheme, and its bare name is a URI; another bare name is a path."""
    assert set(CAMERAS) <= set(SCHEMES)
    for scheme in CAMERAS:
        assert parse_uri(scheme).scheme == scheme
    with pytest.raises((ConfigError, OSError)):
        parse_uri("synthetic")
