# SPDX-License-Identifier: Apache-2.0
"""The calibration file: what is written comes back, and nothing that cannot be a station's geometry is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rasant import ConfigError
from rasant.calibration_file import (
    Calibration,
    DriftReference,
    Fit,
    FittedLens,
    Motion,
    read_calibration,
    write_calibration,
)
from rasant.ops.align import AlignPlan

LENS = FittedLens(
    width=64, height=48, fx=60.1, fy=60.2, cx=31.5, cy=23.25, distortion_model="brown_conrady",
    distortion=(-0.05, 0.06, 0.0003, 0.0006, -0.02), fit=Fit(rms_px=0.21, views=9, corners=700, coverage=0.8),
)  # fmt: skip
TURN = Motion.from_matrix(np.array([[0.0, -1.0, 0.0, 0.015], [1.0, 0.0, 0.0, 2e-4], [0.0, 0.0, 1.0, 0.0]]), 0.2)


def calibration(**changes: Any) -> Calibration:
    """A colour camera and a depth imager beside it, turned by 90 degrees."""
    parts: dict[str, Any] = {
        "created": "2026-05-04T09:30:00Z", "serial": "031422", "color": LENS, "depth": LENS, "color_from_depth": TURN,
        "depth_quality": {"plane_rms_m": 0.0004, "fill_rate": 0.97},
        "drift_reference": DriftReference(frames=5, fill_rate=0.97, shift_px=(0.5, -0.1), tile=(1, 2, 10, 12)),
    }  # fmt: skip
    return Calibration(**{**parts, **changes})


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    """Every number survives, the id is that of the content, and the geometry fits the alignment as it is."""
    path = tmp_path / "cell" / "calibration.json"
    written = write_calibration(path, calibration())
    again = read_calibration(path)
    assert again == written
    assert again.id == calibration().id and again.sha256 == calibration().digest()
    assert list(path.parent.iterdir()) == [path]
    color, depth = again.need("color"), again.need("depth")
    plan = AlignPlan(depth.intrinsics, color.intrinsics, again.need("color_from_depth").matrix)
    assert plan.color_size == (48, 64)


def test_another_number_is_another_calibration() -> None:
    """A micrometre of baseline or another serial is another calibration; figures of the same are not."""
    moved = TURN.model_copy(update={"translation_m": (0.015001, 2e-4, 0.0)})
    others = [calibration(color_from_depth=moved), calibration(serial="031423")]
    assert len({calibration().id, *(other.id for other in others)}) == 3
    newer = calibration(created="2026-05-05T09:30:00Z", depth_quality={"fill_rate": 0.96}, drift_reference=None)
    assert newer.id == calibration().id and newer.digest() != calibration().digest()


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    """A changed number does not fit the hash; without a hash the file is somebody's own word and is read."""
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration())
    values = json.loads(path.read_text())
    values["color"]["fx"] = 60.2
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"sha256 .* edited or damaged"):
        read_calibration(path)
    del values["sha256"]
    path.write_text(json.dumps(values))
    assert read_calibration(path).need("color").fx == 60.2


def test_a_field_that_is_not_used_leaves_the_hash() -> None:
    """What a later version adds, with a default, makes neither another id nor another hash of older files."""
    stated = calibration(note="", projector=None)
    assert stated.digest() == calibration().digest()
    fit = LENS.model_copy(update={"fit": Fit(rms_px=0.21, views=9, corners=700, coverage=0.8, corners_rejected=0)})
    assert calibration(color=fit).id == calibration().id


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("color", "fx"), -60.0, "color.fx"),
        (("color", "distortion"), [0.1], "takes 4 or 5 coefficients"),
        (("color_from_depth", "rotation"), [[1, 0, 0], [0, 1, 0], [0, 0.1, 1]], "orthonormal"),
        (("color_from_depth", "rotation"), [[1, 0, 0], [0, 1, 0], [0, 0, -1]], "determinant"),
        (("color_from_depth", "rotation"), [[0, 0, 0]] * 3, "orthonormal"),
        (("depth",), None, "color_from_depth needs the lenses color and depth"),
        (("depth_quality", "fill_rate"), "good", "depth_quality.fill_rate"),
        (("speed",), 3, "speed: unknown key"),
        (("created",), "yesterday", "created"),
    ],
)
def test_what_is_no_geometry_is_refused(tmp_path: Path, place: tuple[str, ...], value: object, words: str) -> None:
    """C2: negative focal length, wrong coefficients, a mirror or a shear for a rotation: refused with the key."""
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration())
    values = json.loads(path.read_text())
    target = values
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=words):
        read_calibration(path)


def test_a_missing_part_names_its_command() -> None:
    """Who needs a projector and has none is told what makes one."""
    with pytest.raises(ConfigError, match="rasant calibrate projector"):
        calibration().need("projector")
