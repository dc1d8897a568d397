# SPDX-License-Identifier: Apache-2.0
"""`scanner:` with a rendered camera that sees what the projector shows: every capture, in time, or no frame."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from lit_rig import RenderedCamera, Rig, calibration, captures, scene, sequence
from rasant.calibration_file import write_calibration
from rasant.errors import ConfigError, DeviceUnavailable, FrameError, SourceError, SourceTimeout
from rasant.sensors.structured_light import ScannerSource, write_sequence
from rasant.sensors.structured_light.projector import StoredPatterns, WindowProjector, probe
from rasant.sensors.uri import open_source

PATTERNS = sequence(stripe=4, steps=3)


def _scanner(rig: Rig, camera: RenderedCamera, **options: object) -> ScannerSource:
    return ScannerSource(camera, rig, PATTERNS, calibration(), settle_s=0.0, **options)


def test_a_scan_is_a_frame() -> None:
    """Depth and colour of the scene, numbered, timed at the last capture, with the camera's settings; all is closed."""
    rig = Rig()
    camera = RenderedCamera(rig)
    with _scanner(rig, camera) as scanner:
        assert scanner.live and scanner.intrinsics == scene().camera
        for index in range(2):
            frame = scanner.read(timeout_s=60)
            valid = frame.depth > 0
            assert frame.index == index and frame.settings == "abc" and frame.calibration_id == calibration().id
            assert valid.mean() > 0.9 and 1e3 * np.abs(frame.depth - scene().depth)[valid].mean() < 0.3
            assert np.abs(frame.color[50:70, :, 0] - (20 + 200 * scene().albedo[50:70, :, 0])).mean() < 5
        assert len(rig.shown) == 1 + 2 * len(PATTERNS)
    assert rig.closed
    with pytest.raises(SourceError, match="closed"):
        scanner.read()


def test_a_triggered_camera_exposes_once_a_picture() -> None:
    """With a trigger there are exactly as many exposures as pictures."""
    rig = Rig()
    camera = RenderedCamera(rig, triggered=True)
    frame = _scanner(rig, camera, triggered=True).read()
    assert camera.taken == len(PATTERNS) and (frame.depth > 0).mean() > 0.9


def test_a_camera_that_is_one_picture_late_is_found_out() -> None:
    """Captures of the pattern before never become depth: FrameError, counted, and it names the scan."""
    rig = Rig()
    scanner = _scanner(rig, RenderedCamera(rig, late=1))
    with pytest.raises(FrameError, match="another pattern") as caught:
        scanner.read()
    assert caught.value.index == 0 and scanner.stats().damaged == 1


def test_a_projector_that_steps_by_itself() -> None:
    """Stored patterns: the frames are the captures; a frame that the camera lost refuses the scan, the next is good."""
    camera = RenderedCamera(Rig(), shots=captures(PATTERNS))
    scanner = ScannerSource(camera, StoredPatterns(), PATTERNS, calibration())
    assert (scanner.read().depth > 0).mean() > 0.9
    camera.lose = (len(PATTERNS) + 4,)
    with pytest.raises(FrameError, match="lost 1 frame"):
        scanner.read()
    camera.taken = 0
    assert scanner.read().index == 2 and scanner.stats().device == 1 and scanner.stats().damaged == 1


def test_a_camera_without_frames_times_out() -> None:
    """No frame in time: SourceTimeout, the scanner stays open, and no number is used up."""
    rig = Rig()
    camera = RenderedCamera(rig, blind=5)
    scanner = _scanner(rig, camera)
    with pytest.raises(SourceTimeout):
        scanner.read(timeout_s=5)
    with pytest.raises(SourceTimeout, match="capture 1 of"):
        scanner.read(timeout_s=0.0)
    camera.blind = None
    assert scanner.read().index == 0


def test_another_camera_than_calibrated_is_refused() -> None:
    """A serial that is not the calibration's, and a settling time out of range: ConfigError before anything moves."""
    rig = Rig()
    with pytest.raises(ConfigError, match="CAM-8"):
        ScannerSource(RenderedCamera(rig, serial="CAM-8"), rig, PATTERNS, calibration("CAM-7"))
    with pytest.raises(ConfigError, match="settle"):
        ScannerSource(RenderedCamera(rig), rig, PATTERNS, calibration(), settle_s=-1.0)


def test_opened_by_uri(tmp_path: Path) -> None:
    """The URI needs a camera; whatever fails, the camera is given back."""
    write_calibration(tmp_path / "calibration.json", calibration())
    write_sequence(tmp_path, PATTERNS)
    with pytest.raises(ConfigError, match="option camera"):
        open_source(f"scanner:{tmp_path}")
    with pytest.raises(ConfigError, match="projector must be"):
        open_source(f"scanner:{tmp_path}?camera=synthetic:plate&projector=beamer")
    scanner = open_source(f"scanner:{tmp_path}?camera=synthetic:plate&projector=stored")
    with scanner, pytest.raises(FrameError, match="256x256"):
        scanner.read()
    with pytest.raises(SourceError):
        open_source(f"scanner:{tmp_path / 'nowhere'}?camera=synthetic:plate")


def test_the_window_gets_the_picture_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixel by pixel as binary PGM, without a border, at its place; without a desktop it says what is missing."""
    seen: dict[str, object] = {}
    fake = types.ModuleType("tkinter")

    class Widget:
        def __init__(self, *args: object, **options: object) -> None:
            seen.update(options)

        def __getattr__(self, name: str) -> object:
            return lambda *args, **options: seen.update({name: args[0] if args else options or True})

    fake.Tk, fake.Label, fake.PhotoImage, fake.TclError = Widget, Widget, Widget, RuntimeError
    monkeypatch.setitem(sys.modules, "tkinter", fake)
    window = WindowProjector(8, 4, "+1920+0")
    picture = np.arange(32, dtype=np.uint8).reshape(4, 8)
    window.show(0, picture)
    window.close()
    assert seen["data"] == b"P5 8 4 255\n" + picture.tobytes() and seen["geometry"] == "8x4+1920+0"
    assert seen["overrideredirect"] is True and seen["destroy"] and seen["update"]
    with pytest.raises(ConfigError, match="place"):
        WindowProjector(8, 4, "right")

    def no_desktop() -> None:
        raise RuntimeError("no display name")

    fake.Tk = no_desktop
    with pytest.raises(DeviceUnavailable, match="desktop"):
        WindowProjector(8, 4)


def test_what_a_window_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rasant cameras` names the missing desktop or module, and the way without."""
    fake = types.ModuleType("tkinter")
    fake.TkVersion = 8.6
    monkeypatch.setitem(sys.modules, "tkinter", fake)
    monkeypatch.setenv("DISPLAY", ":0")
    assert probe().needs == "" and probe().package == "tkinter 8.6"
    monkeypatch.delenv("DISPLAY")
    assert "DISPLAY" in probe().needs and "stored" in probe().needs
    monkeypatch.setitem(sys.modules, "tkinter", None)
    assert "python3-tk" in probe().needs
