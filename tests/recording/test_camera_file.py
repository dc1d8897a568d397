# SPDX-License-Identifier: Apache-2.0
"""camera.json: exact numbers in, exact complaints out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rasant.errors import ConfigError
from rasant.recording.camera_file import read_camera
from rasant.types import Intrinsics

GOOD: dict[str, Any] = {
    "width": 640, "height": 480, "fx": 525.0, "fy": 525, "cx": 319.5, "cy": 239.5, "distortion_model": "none",
    "distortion": [], "depth_scale": 0.001,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "camera.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_arrive_unchanged(tmp_path: Path) -> None:
    """All fields reach Intrinsics bit for bit; a note is allowed; distortion keeps its order."""
    values = GOOD | {"note": "hand-held", "distortion_model": "brown_conrady"}
    values["distortion"] = [0.1, -0.2, 0.003, 4e-4, 0]
    camera = read_camera(written(tmp_path, json.dumps(values)))
    expected = Intrinsics(640, 480, 525.0, 525.0, 319.5, 239.5, "brown_conrady", (0.1, -0.2, 0.003, 4e-4, 0.0))
    assert camera.intrinsics == expected and camera.depth_scale == 0.001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"focal": 1}, "focal: Extra inputs"),
        ({"fx": -3.0}, "fx: .*greater than 0"),
        ({"fx": "525"}, "fx: .*number"),
        ({"width": 640.5}, "width: "),
        ({"width": 0}, "width: "),
        ({"depth_scale": 0}, "depth_scale: "),
        ({"distortion": [1.0]}, "none takes 0 coefficients, got 1"),
        ({"distortion_model": "fisheye"}, "'fisheye' is not one of none"),
        ({"cy": None}, "cy: "),
    ],
)
def test_wrong_values_are_named_by_key(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """An unknown key, a wrong type, sign or length raises ConfigError with the file and the key."""
    with pytest.raises(ConfigError, match=rf"camera\.json: .*{words}"):
        read_camera(written(tmp_path, json.dumps(GOOD | change)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[]", "dictionary|object|CameraFile"),
        ('{"width": 1, "width": 2}', "'width' stands twice"),
        (json.dumps(GOOD).replace("525.0", "NaN"), "NaN"),
        ("[" * 100_000, "not valid JSON"),
        (" " * (1 << 21), "larger than"),
    ],
)
def test_hostile_text_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Empty, nested, huge, duplicate and NaN JSON raise ConfigError."""
    with pytest.raises(ConfigError, match=words):
        read_camera(written(tmp_path, text))


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """Without camera.json the message names it and the page that describes it."""
    with pytest.raises(ConfigError, match=r"camera\.json does not exist.*sources\.md"):
        read_camera(tmp_path / "camera.json")
