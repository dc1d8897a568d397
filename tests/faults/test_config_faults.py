# SPDX-License-Identifier: Apache-2.0
"""Configuration that must be refused: exact error with file and key, and exit code 2 from the command."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rasant
from rasant.bundle.manifest import Camera
from rasant.cli import app
from rasant.types import Reason
from tiny_bundle import plate_camera, plate_frame, write_tiny_bundle

RUN = CliRunner()

BAD_TOML = {
    "unknown key": ("thresold = 0.5", r"thresold: unknown key"),
    "unknown nested key": ("[validity]\nmin_valid = 0.5", r"validity\.min_valid: unknown key"),
    "NaN threshold": ("threshold = nan", r"threshold: .*finite"),
    "infinite threshold": ("threshold = inf", r"threshold: .*finite"),
    "negative threshold": ("threshold = -0.5", r"threshold: .*greater than 0"),
    "text threshold": ('threshold = "0.5"', r"threshold: .*number, got '0\.5'"),
    "boolean threshold": ("threshold = true", r"threshold: .*number, got True"),
    "decimal comma": ("threshold = 0,5", r"line 1, column 14"),
    "decimal comma as text": ('threshold = "0,5"', r"threshold: .*number"),
    "duplicate key": ("threshold = 0.5\nthreshold = 0.6", r"station\.toml: .*(overwrite|twice|duplicate)"),
    "duplicate table": ("[validity]\n[validity]", r"station\.toml: .*(declare|twice|duplicate)"),
    "deep arrays": ("roi = " + "[" * 3000 + "]" * 3000, r"nested too deep"),
    "deep tables": ("[" + ".".join("a" * 40) + "]", r"nested too deep"),
    "10 MB": ("# " + "x" * 10_000_000, r"larger than 65536 bytes"),
    "not UTF-8": (b"source = '\xff\xfe'", r"must be UTF-8"),
    "wrong length": ("roi = [1, 2, 3]", r"roi\.3: .*required"),
    "fraction of a pixel": ("roi = [0, 0, 1.5, 3]", r"roi\.2: .*integer"),
    "negative corner": ("roi = [-1, 0, 3, 3]", r"roi\.0: "),
    "share above one": ("[validity]\nmin_valid_depth = 1.5", r"validity\.min_valid_depth: "),
    "range reversed": ("[validity]\ndepth_range_m = [0.6, 0.3]", r"validity\.depth_range_m must"),
    "negative age": ("[validity]\nmax_age_ms = -5", r"validity\.max_age_ms: "),
    "level above 255": ("[validity.exposure]\nmin_mean = 300", r"validity\.exposure\.min_mean: "),
    "a number for a table": ("validity = 3", r"validity: "),
    "newer schema": ("schema_version = 2", r"schema_version: "),
}

BAD_JSON = {
    "unknown key": ('{"thresold": 0.5}', r"thresold: unknown key"),
    "NaN": ('{"threshold": NaN}', r"NaN is not a finite number"),
    "infinity": ('{"threshold": -Infinity}', r"-Infinity is not a finite number"),
    "1e999": ('{"threshold": 1e999}', r"threshold: .*finite"),
    "text threshold": ('{"threshold": "0.5"}', r"threshold: .*number"),
    "duplicate key": ('{"threshold": 0.5, "threshold": 0.6}', r"'threshold' is given twice"),
    "nested duplicate": ('{"validity": {"max_age_ms": 1, "max_age_ms": 2}}', r"'max_age_ms' is given twice"),
    "deep": ('{"roi": ' + "[" * 20_000 + "]" * 20_000 + "}", r"nested too deep"),
    "10 MB": ('{"source": "' + "x" * 10_000_000 + '"}', r"larger than 65536 bytes"),
    "a list": ("[1, 2]", r"expected keys and values, got a list"),
    "cut": ('{"threshold": 0.5', r"station\.json: .*line 1 column"),
    "empty": ("", r"station\.json: "),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for `plate_frame`."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.rasant", camera=plate_camera())


def refused(path: Path, text: str | bytes, pattern: str, bundle: Path) -> None:
    """The file is refused by the library with its path and by the command with exit code 2, in no time."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    start = time.perf_counter()
    with pytest.raises(rasant.ConfigError, match=pattern) as refusal:
        rasant.read_station(path)
    assert time.perf_counter() - start < 2.0
    assert str(refusal.value).startswith(str(path))
    assert len(str(refusal.value)) < 1500
    result = RUN.invoke(app, ["inspect", str(bundle), "synthetic:plate", "--station", str(path)])
    assert result.exit_code == 2, result.output
    assert "E_CONFIG" in result.stderr and str(path) in result.stderr


@pytest.mark.parametrize("case", BAD_TOML)
def test_wrong_toml_is_refused(tmp_path: Path, bundle: Path, case: str) -> None:
    """Each mistake in a TOML station file is named with its file and key."""
    refused(tmp_path / "station.toml", *BAD_TOML[case], bundle)


@pytest.mark.parametrize("case", BAD_JSON)
def test_wrong_json_is_refused(tmp_path: Path, bundle: Path, case: str) -> None:
    """Each mistake in a JSON station file is named with its file and key."""
    refused(tmp_path / "station.json", *BAD_JSON[case], bundle)


def test_missing_files_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    """A file that is not there, is a folder, or is neither TOML nor JSON is a ConfigError with its path."""
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "station.yaml").write_text("threshold: 0.5")
    for name in ("missing.toml", "folder.toml", "station.yaml"):
        with pytest.raises(rasant.ConfigError, match=name):
            rasant.read_station(tmp_path / name)


@pytest.mark.parametrize("threshold", [1.0, 1.5, 1e9])
def test_a_threshold_that_would_pass_everything_is_refused(bundle: Path, tmp_path: Path, threshold: float) -> None:
    """No score reaches a threshold at or above the score range, so it is refused; infinity never gets that far."""
    with pytest.raises(rasant.ThresholdError, match="would pass everything"):
        rasant.load(bundle, threshold=threshold)
    (tmp_path / "station.json").write_text(json.dumps({"threshold": threshold}))
    command = ["inspect", str(bundle), "synthetic:plate", "--station", str(tmp_path / "station.json")]
    result = RUN.invoke(app, command)
    assert result.exit_code == 2 and "would pass everything" in result.stderr


@pytest.mark.parametrize("threshold", [0.0, -0.1, float("nan"), float("inf"), "0.5", None, True, [0.5]])
def test_thresholds_that_are_no_positive_number_are_refused(bundle: Path, threshold: object) -> None:
    """Keyword overrides are checked as strictly as a file."""
    if threshold is None:
        rasant.load(bundle, threshold=None).close()  # None keeps the bundle's own
        return
    with pytest.raises(rasant.ConfigError, match=r"overrides: threshold"):
        rasant.load(bundle, threshold=threshold)


def test_unknown_overrides_are_refused(bundle: Path) -> None:
    """A misspelt keyword is no silent default."""
    with pytest.raises(rasant.ConfigError, match=r"overrides: max_age: unknown key"):
        rasant.load(bundle, max_age=100)


def test_another_cameras_frames_are_refused(tmp_path: Path) -> None:
    """Another resolution, serial or calibration than the bundle's never passes."""
    camera = Camera(width=128, height=96, serial="A1", calibration_id="k1")
    path = write_tiny_bundle(tmp_path / "bound.rasant", camera=camera)
    right = replace(plate_frame(), serial="A1", calibration_id="k1")
    wrong = {
        Reason.OK: right,
        Reason.FORMAT: replace(plate_frame(size=(48, 64)), serial="A1", calibration_id="k1"),
        Reason.CALIBRATION: replace(right, serial="B2"),
    }
    with rasant.load(path) as inspector:
        for reason, frame in wrong.items():
            assert inspector(replace(frame, source=reason.value)).reason is reason
        assert inspector(replace(right, calibration_id="", source="x")).reason is Reason.CALIBRATION


def test_regions_and_masks_that_do_not_fit_are_refused(bundle: Path, tmp_path: Path) -> None:
    """A region outside the camera, a mask of another size, one that hides all, and no picture: all at load."""
    import cv2
    import numpy as np

    with pytest.raises(rasant.ConfigError, match="must lie inside the camera's 128x96"):
        rasant.load(bundle, roi=(100, 0, 64, 32))
    for name, pixels in {"other": np.zeros((10, 10), np.uint8), "all": np.full((96, 128), 255, np.uint8)}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    (tmp_path / "text.png").write_text("no picture")
    for name, words in {
        "other": r"must be .* got \(10, 10\)", "all": "leaves nothing to inspect", "text": "ignore_mask",
        "missing": "ignore_mask",
    }.items():  # fmt: skip
        with pytest.raises(rasant.ConfigError, match=words):
            rasant.load(bundle, ignore_mask=tmp_path / f"{name}.png")
