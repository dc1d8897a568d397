# SPDX-License-Identifier: Apache-2.0
"""Structured light on a rendered scene: pictures, precision of the depth, recorded scans, and captures that lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_rig import calibration, captures, fitted, scene, sequence
from rasant import open_source
from rasant.calibration_file import Calibration, Motion, write_calibration
from rasant.errors import ConfigError, FrameError, SourceError
from rasant.recording.image_file import encode_png
from rasant.sensors.structured_light import PatternSequence, ScanDecoder, read_sequence, write_sequence
from rasant.sensors.structured_light.stray import stray_pairs, stray_waves
from reference.graycode import patterns as gray_lines


def _grey(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[..., 0])  # the scene is grey


def _depth_rms(depth: np.ndarray, scale: int = 4) -> tuple[float, float]:
    """(RMS in mm, share of the pixels that the projector lights)."""
    s = scene(scale)
    lit = (s.column > 0) & (s.column < 1023) & (s.row > 0) & (s.row < 767)
    valid = (depth > 0) & lit
    return float(1e3 * np.sqrt(np.mean((depth - s.depth)[valid] ** 2))), float(valid.sum() / lit.sum())


@pytest.mark.parametrize(
    ("steps", "period", "stripe", "limit_mm"), [(4, 32.0, 1, 0.206), (8, 16.0, 4, 0.075), (16, 16.0, 4, 0.053)]
)
def test_hybrid_depth_is_as_good_as_the_light(steps: int, period: float, stripe: int, limit_mm: float) -> None:
    """Gray code and sinusoid: depth RMS is at most 1.5 times the reference figure, on all pixels, without outliers."""
    patterns = sequence(steps=steps, period=period, stripe=stripe)
    scan = ScanDecoder(patterns, calibration(scale=1))(_grey(captures(patterns, scale=1)))
    rms, fill = _depth_rms(scan.depth, scale=1)
    assert rms <= 1.5 * limit_mm and fill > 0.99
    assert np.abs(scan.depth - scene(1).depth)[scan.depth > 0].max() < 4e-3


def test_gray_code_alone_is_finer_than_its_stripes() -> None:
    """Without a sinusoid, the brightness at the borders gives depth to 0.14 mm RMS, where whole columns give 0.43."""
    patterns = sequence()
    scan = ScanDecoder(patterns, calibration(scale=1))(_grey(captures(patterns, scale=1)))
    rms, fill = _depth_rms(scan.depth, scale=1)
    assert rms <= 0.14 and fill > 0.99


def test_both_axes_and_every_device_agree() -> None:
    """With rows as well nothing is lost, threads change no bit, and the emulated device gives the CPU's images."""
    patterns = sequence(axes=("columns", "rows"), stripe=4, steps=4)
    stack = _grey(captures(patterns))
    one = ScanDecoder(patterns, calibration())(stack)
    two = ScanDecoder(patterns, calibration(), threads=2)(stack)
    emulated = ScanDecoder(patterns, calibration(), device="emu")(stack)
    for other in (two, emulated):
        for name in ("depth", "column", "row", "confidence"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    rms, fill = _depth_rms(one.depth)
    assert rms < 0.3 and fill > 0.99
    assert np.nanmedian(np.abs(one.row - scene().row)) < 0.2


@pytest.mark.parametrize("options", [{}, {"stripe": 3, "steps": 5, "period": 12.5, "white": True}, {"bits": 12}])
def test_pictures_are_what_the_sequence_says(options: dict, tmp_path: Path) -> None:
    """Names, slices and pictures belong together, Gray code is by definition, and files give the same sequence."""
    patterns = PatternSequence(width=200, height=120, axes=("columns", "rows"), **options)
    pictures = np.stack(list(patterns.pictures()))
    assert len(pictures) == len(patterns) == len(patterns.names) == len(set(patterns.names))
    for axis, size in (("columns", 200), ("rows", 120)):
        lines = pictures[patterns.gray(axis)]
        line = lines[:, 0, :] if axis == "columns" else lines[:, :, 0]
        assert np.array_equal(line, gray_lines(size, patterns.stripe, patterns.bits_of(axis)))
        assert all(axis in name for name in patterns.names[patterns.gray(axis)] + patterns.names[patterns.phase(axis)])
        waves = pictures[patterns.phase(axis)].astype(float)
        assert len(waves) == patterns.steps and (not patterns.steps or np.ptp(waves.mean(axis=0)) < 1)
    assert (pictures[-1] == 255).all() == patterns.white
    files = write_sequence(tmp_path / "out", patterns)
    assert [f.name for f in sorted(files)] == [f.name for f in files]
    assert all(
        np.array_equal(cv2.imread(str(f), cv2.IMREAD_UNCHANGED), p) for f, p in zip(files, pictures, strict=True)
    )
    assert read_sequence(tmp_path / "out" / "patterns.json") == patterns


def test_a_sequence_that_cannot_work_is_refused(tmp_path: Path) -> None:
    """Stripes too wide for the period, too few bits or steps, axes twice: ConfigError with the reason."""
    wrong = {
        "too wide": {"stripe": 8, "steps": 4, "period": 16.0}, "too few": {"bits": 6}, "need three": {"steps": 2},
        "twice": {"axes": ["rows", "rows"]}, "unknown key": {"colour": 1},
    }  # fmt: skip
    for reason, change in wrong.items():
        (tmp_path / "patterns.json").write_text(json.dumps({"width": 200, "height": 100, **change}))
        with pytest.raises(ConfigError, match=reason):
            read_sequence(tmp_path / "patterns.json")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recorded scans of the rendered scene, with a white picture."""
    folder = tmp_path_factory.mktemp("scans")
    patterns = sequence(stripe=4, steps=4, white=True)
    write_sequence(folder / "patterns", patterns)
    shutil.move(folder / "patterns" / "patterns.json", folder)
    shutil.rmtree(folder / "patterns")
    write_calibration(folder / "calibration.json", calibration("CAM-7"))
    for number, seed in (("0001", 1), ("0002", 2)):
        (folder / number).mkdir()
        for name, image in zip(patterns.names, captures(patterns, seed), strict=True):
            (folder / number / f"{name}.png").write_bytes(encode_png(image[..., ::-1]))
    return folder


def test_recorded_scans_are_frames(recorded: Path) -> None:
    """`graycode:` gives depth in metres aligned to the white capture, named, numbered, with calibration and serial."""
    with open_source(f"graycode:{recorded}?threads=2") as source:
        assert source.frame_count == 2 and source.serial == "CAM-7" and source.intrinsics == scene().camera
        frames = list(source)
    assert [f.name for f in frames] == ["0001", "0002"] and [f.index for f in frames] == [0, 1]
    for frame in frames:
        assert frame.depth_scale == 1.0 and frame.depth.dtype == np.float32
        assert _depth_rms(frame.depth)[0] < 0.2
        assert np.abs(frame.color[..., 0].astype(float) - (20 + 200 * scene().albedo[..., 0]))[50:70].mean() < 3
        assert frame.calibration_id == calibration("CAM-7").id and frame.serial == "CAM-7"
    assert frames[0].depth is not frames[1].depth and not np.array_equal(frames[0].depth, frames[1].depth)


def test_a_scan_without_a_capture_or_with_a_damaged_one_is_one_damaged_frame(recorded: Path, tmp_path: Path) -> None:
    """A missing, cut or wrongly sized capture costs its own scan, which is named and counted; the next is good."""
    for spoil, reason in (
        (lambda f: f.unlink(), "20 captures, but"),
        (lambda f: f.write_bytes(f.read_bytes()[:2000]), "truncated|cut|end"),
        (lambda f: f.write_bytes(encode_png(np.zeros((48, 64, 3), np.uint8))), "64x48"),
    ):  # fmt: skip
        shutil.copytree(recorded, tmp_path / "scans")
        spoil(sorted((tmp_path / "scans" / "0001").iterdir())[3])
        source = open_source(f"graycode:{tmp_path / 'scans'}")
        with pytest.raises(FrameError, match=reason) as caught:
            source.read()
        assert caught.value.index == 0 and caught.value.name == "0001" and source.stats().damaged == 1
        assert source.read().index == 1
        shutil.rmtree(tmp_path / "scans")


@pytest.mark.parametrize("steps", [4, 8, 16])
def test_captures_of_other_patterns_are_refused(steps: int) -> None:
    """A capture of the pattern before, or half or a quarter of it, Gray code or sinusoid: never a false depth."""
    patterns = sequence(stripe=4, steps=steps)
    good = _grey(captures(patterns))
    decoder = ScanDecoder(patterns, calibration())
    assert stray_pairs(good[patterns.gray("columns")]) < 0.01 and stray_waves(good[patterns.phase("columns")]) < 0.01
    for late in (2, 5, 14, 17, len(patterns) - 1):
        for rows in (120, 60, 40):
            stack = good.copy()
            stack[late, :rows] = good[late - 1, :rows]
            with pytest.raises(FrameError, match="another pattern"):
                decoder(stack)
    lag = good.copy()
    lag[1:] = good[:-1]
    with pytest.raises(FrameError, match="another pattern"):
        decoder(lag)


@pytest.mark.parametrize("gamma", [0.5, 2.2])
def test_a_bent_response_is_no_contradiction(gamma: float) -> None:
    """Whatever the projector's gamma, captures that belong together pass, and one stale sinusoid does not."""
    patterns, random = sequence(stripe=4, steps=8), np.random.default_rng(0)
    shots = [scene().capture(picture, random, gamma=gamma)[..., 0] for picture in patterns.pictures()]
    waves = np.stack(shots[patterns.phase("columns")])
    assert stray_pairs(np.stack(shots[patterns.gray("columns")])) < 0.01 and stray_waves(waves) < 0.01
    waves[5] = waves[4]
    assert stray_waves(waves) > 0.2


def test_a_scanner_that_cannot_be_is_refused(recorded: Path, tmp_path: Path) -> None:
    """No captures, a projector of another size or of none, unknown options: ConfigError, SourceError."""
    with pytest.raises(ConfigError, match="1024x768"):
        ScanDecoder(PatternSequence(width=800, height=600), calibration())
    with pytest.raises(ConfigError, match="rasant calibrate projector"):
        ScanDecoder(sequence(), Calibration(created="2026-01-02T03:04:05Z", color=fitted(scene().camera)))
    with pytest.raises(ValueError, match="rotation"):
        Motion.from_matrix(np.ones((3, 4)))
    for name in ("patterns.json", "calibration.json"):
        shutil.copy(recorded / name, tmp_path)
    with pytest.raises(SourceError, match="captures"):
        open_source(f"graycode:{tmp_path}")
    with pytest.raises(ConfigError, match="min_stripe"):
        open_source(f"graycode:{recorded}?min_stripe=3")
    with pytest.raises(FrameError, match="N, H, W"):
        ScanDecoder(sequence(), calibration())(np.zeros((3, 120, 160), np.uint8))
