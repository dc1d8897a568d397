# SPDX-License-Identifier: Apache-2.0
"""`rasant calibrate board|camera|rgbd|depth|check|bind` on files: what is written, printed, refused, and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import rasant
from board_rig import COLOR, COLOR_FROM_DEPTH, INFRARED, Rig
from rasant.calibration_file import Calibration, FittedLens, read_calibration, write_calibration
from rasant.cli import app
from rasant.types import Intrinsics
from reference.boards import picture, plane_depth, pose

BOARD = ("--board", "charuco:9x7:0.02:0.014")


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: object) -> dict[str, Any]:
    """The JSON object of a command that succeeds."""
    code, text, error = run(*arguments, "--json")
    assert code == 0, error + text
    return dict(json.loads(text))


@pytest.fixture(scope="module")
def shots(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `color` and `ir` with the rig's views as files."""
    root = tmp_path_factory.mktemp("shots")
    image = rig.board.aruco.generateImage((9 * 60, 7 * 60), marginSize=0)
    for name in ("color", "ir"):
        (root / name).mkdir()
    for number, place in enumerate(rig.poses):
        cv2.imwrite(str(root / "color" / f"{number:02d}.png"), rig.pictures[number])
        if number < 6:
            cv2.imwrite(str(root / "ir" / f"{number:02d}.png"), picture(image, 3000, INFRARED, place, seed=number))
    return root


@pytest.fixture(scope="module")
def cell(shots: Path) -> Path:
    """A calibration file of both lenses and the motion between them."""
    path = shots / "cell.json"
    answer("camera", shots / "color", *BOARD, "-o", path, "--serial", "A1", "--model", "brown5")
    answer("camera", shots / "ir", *BOARD, "-o", path, "--part", "depth", "--model", "brown5")
    answer("rgbd", shots / "color", shots / "ir", *BOARD, "-o", path, "--report", shots / "rgbd.html")
    return path


def test_a_file_grows_step_by_step(cell: Path, shots: Path) -> None:
    """Two lenses, then the motion: all in one file whose hash fits, with residuals, serial and date."""
    found = read_calibration(cell)
    assert found.serial == "A1" and found.sha256 == found.digest()
    color, depth, motion = found.need("color"), found.need("depth"), found.need("color_from_depth")
    assert abs(color.fx / COLOR.fx - 1) < 2e-3 and abs(depth.fx / INFRARED.fx - 1) < 2e-3
    assert color.fit.views == len(color.fit.view_rms_px) == 8 and depth.fit.views == 6
    assert np.allclose(motion.matrix[:3, 3], COLOR_FROM_DEPTH[:3, 3], atol=5e-4)
    page = (shots / "rgbd.html").read_text()
    assert page.count("data:image/png") >= 12 and found.id in page and "http" not in page.split("</style>")[1]


def test_what_rests_on_an_old_lens_is_dropped(cell: Path, shots: Path, tmp_path: Path) -> None:
    """A new colour lens makes the old motion wrong, so it goes; the other lens stays. Another serial is refused."""
    copy = tmp_path / "cell.json"
    copy.write_bytes(cell.read_bytes())
    report = tmp_path / "camera.html"
    told = answer("camera", shots / "color", *BOARD, "-o", copy, "--model", "brown4", "--report", report)
    found = read_calibration(copy)
    assert found.color_from_depth is None and found.depth is not None and found.serial == "A1"
    assert told["calibration_id"] == found.id != read_calibration(cell).id
    assert "times their length" in report.read_text()
    code, _, error = run("camera", shots / "color", *BOARD, "-o", copy, "--serial", "B2", "--model", "brown4")
    assert code == 2 and "write to another file" in error


def test_a_fit_beyond_its_limits_is_not_written(shots: Path, tmp_path: Path) -> None:
    """Exit code 1, FAIL beside the figure, no file; a limits file does the same, and may switch a check off."""
    out, limits = tmp_path / "cell.json", tmp_path / "limits.toml"
    base = ("camera", shots / "ir", *BOARD, "-o", out, "--model", "brown4")
    code, text, _ = run(*base, "--limit", "max_rms_px=0.001")
    assert code == 1 and "FAIL reprojection RMS" in text and not out.exists()
    limits.write_text("[camera]\nmax_rms_px = 0.001\n")
    assert run(*base, "--limits", limits)[0] == 1
    assert run(*base, "--limits", limits, "--limit", "max_rms_px=false")[0] == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--limit", "max_rms=1"), "camera.max_rms: unknown key"),
        (("--limit", "max_rms_px"), "KEY=VALUE"),
        (("--part", "left"), "color or depth"),
    ],
)
def test_a_wrong_call_is_refused(shots: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2 with what would be right."""
    code, _, error = run("camera", shots / "ir", *BOARD, "-o", tmp_path / "x.json", *arguments)
    assert code == 2 and words in error


def plane_folder(root: Path, lens: Intrinsics, scale: float = 1.0) -> Path:
    """A `folder:` of five noisy depth frames of a plane at 0.5 m, leaning by 3 degrees."""
    (root / "depth").mkdir(parents=True)
    at = pose((0.0, np.radians(3.0), 0.0), (0.0, 0.0, 0.0))
    at[:3, 3] = 0.5 * at[:3, 2]
    rng = np.random.default_rng(0)
    for number in range(5):
        disparity = lens.fx * 0.05 / plane_depth(lens, at) + rng.normal(0.0, 0.06, (lens.height, lens.width))
        counts = np.rint(scale * lens.fx * 0.05 / disparity / 1e-4).astype(np.uint16)
        cv2.imwrite(str(root / "depth" / f"{number}.png"), counts)
    camera = {name: getattr(lens, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    (root / "camera.json").write_text(json.dumps({**camera, "depth_scale": 1e-4, "serial": "A1"}))
    return root


LENS = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)


def station(path: Path, **changes: Any) -> Path:
    """A calibration file of the plane's camera."""
    lens = FittedLens(**{name: getattr(LENS, name) for name in LENS.__slots__})
    write_calibration(path, Calibration(created="2026-05-04T09:30:00Z", **{"serial": "A1", "color": lens, **changes}))
    return path


def test_depth_is_measured_and_kept(tmp_path: Path) -> None:
    """1 %, 3 degrees and 0.06 px come back; a limit makes the verdict; the file keeps the figures and its id."""
    source, file = f"folder:{plane_folder(tmp_path / 'wall', LENS, 1.01)}", station(tmp_path / "cell.json")
    base = ("depth", source, "--distance", 0.5, "--baseline", 0.05)
    told = answer(*base, "-o", file, "--report", tmp_path / "depth.html")["depth_quality"]
    assert told["z_error"] == pytest.approx(0.01, abs=3e-4)
    assert told["tilt_deg"] == pytest.approx(3.0, abs=0.1)
    assert told["subpixel_rms_px"] == pytest.approx(0.06, abs=0.005)
    kept = read_calibration(file)
    assert kept.depth_quality["z_error"] == told["z_error"]
    assert kept.id == read_calibration(station(tmp_path / "plain.json")).id
    assert "Depth minus plane" in (tmp_path / "depth.html").read_text()
    code, text, _ = run(*base, "--limit", "max_z_error=0.005")
    assert code == 1 and "FAIL size of the Z error" in text


def test_a_check_needs_a_reference_and_sees_a_change(tmp_path: Path) -> None:
    """Without a reference: exit 2. Stored: a check passes. A tile that is 1 % farther: exit 1 with E_CALIB."""
    good = f"folder:{plane_folder(tmp_path / 'good', LENS)}"
    moved = f"folder:{plane_folder(tmp_path / 'moved', LENS, 1.01)}"
    base = ("--calibration", station(tmp_path / "cell.json"))
    code, _, error = run("check", good, *base)
    assert code == 2 and "--store" in error
    answer("check", good, *base, "--store", "--tile", "40,40,100,80")
    assert answer("check", good, *base)["reason"] is None
    code, text, _ = run("check", moved, *base, "--json", "--report", tmp_path / "check.html")
    told = json.loads(text)
    assert code == 1 and told["reason"] == "E_CALIB"
    assert [one["name"] for one in told["checks"] if not one["ok"]] == ["tile moved / distance"]
    assert "NOT within its limits" in (tmp_path / "check.html").read_text()


def test_frames_of_another_camera_are_refused(tmp_path: Path) -> None:
    """S4: the calibration of one serial is not used for frames of another."""
    wall = f"folder:{plane_folder(tmp_path / 'wall', LENS)}"
    code, _, error = run("check", wall, "--calibration", station(tmp_path / "b.json", serial="B2"), "--store")
    assert code == 2 and "'B2'" in error and "'A1'" in error


def test_a_bound_bundle_asks_for_its_calibration(tiny_bundle: Path, tmp_path: Path) -> None:
    """Frames of the calibration pass the gate, frames of another one get E_CALIB; the bundle carries it."""
    with rasant.open_source("synthetic:plate?size=96&frames=1") as source:
        frame = source.read()
    lens = FittedLens(**{name: getattr(frame.intrinsics, name) for name in frame.intrinsics.__slots__})
    file = station(tmp_path / "cell.json", serial=frame.serial, color=lens)
    out = tmp_path / "bound.rasant"
    told = answer("bind", tiny_bundle, file, "-o", out)
    bundle = rasant.read_bundle(out)
    assert bundle.files["calibration.json"] == file.read_bytes()
    with rasant.load(out, max_age_ms=None) as inspector:
        good = inspector(replace(frame, calibration_id=told["calibration_id"]))
        bad = inspector(replace(frame, index=1, calibration_id="0" * 16))
    assert good.reason is not rasant.Reason.CALIBRATION
    assert bad.reason is rasant.Reason.CALIBRATION and "0" * 16 in bad.detail


def test_a_board_is_printed(tmp_path: Path) -> None:
    """The command writes the page and says how to print it."""
    code, text, error = run("board", BOARD[1], "-o", tmp_path / "board.pdf")
    assert code == 0, error
    assert "100 %" in text and (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")
