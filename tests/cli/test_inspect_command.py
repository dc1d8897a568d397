# SPDX-License-Identifier: Apache-2.0
"""`rasant inspect`: a line for every frame, whatever it is like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rasant.bundle.manifest import StandIn
from rasant.cli import app
from tiny_bundle import plate_camera, plate_frame, write_tiny_bundle

RUN = CliRunner()
DEFECTS = [None, "dent", None, "stain"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for `plate_frame`."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.rasant", camera=plate_camera())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A `folder:` source: a good plate, a dent, a good plate, a stain."""
    for name in ("color", "depth"):
        (tmp_path / "plates" / name).mkdir(parents=True)
    for index, defect in enumerate(DEFECTS):
        frame = plate_frame(defect, index=index)
        cv2.imwrite(str(tmp_path / f"plates/color/{index:03d}.png"), frame.color[..., ::-1])
        cv2.imwrite(str(tmp_path / f"plates/depth/{index:03d}.png"), frame.depth)
    k = plate_frame().intrinsics
    camera = {
        "width": k.width, "height": k.height, "fx": k.fx, "fy": k.fy, "cx": k.cx, "cy": k.cy,
        "distortion_model": "none", "distortion": [], "depth_scale": 1e-4,
    }  # fmt: skip
    (tmp_path / "plates" / "camera.json").write_text(json.dumps(camera))
    return tmp_path / "plates"


def lines(*arguments: object) -> list[dict[str, object]]:
    """The JSON lines of a run that ends well."""
    result = RUN.invoke(app, ["inspect", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_json_line_a_frame(bundle: Path, folder: Path) -> None:
    """Frames in order, verdicts as planted, boxes over the defects, and nothing else on stdout."""
    found = lines(bundle, f"folder:{folder}")
    assert [line["frame"] for line in found] == [0, 1, 2, 3]
    assert [line["verdict"] for line in found] == ["PASS", "REJECT", "PASS", "REJECT"]
    assert [bool(line["regions"]) for line in found] == [False, True, False, True]
    assert all(line["timings_ms"]["acquire"] > 0 for line in found)
    assert [line["name"] for line in found] == ["000", "001", "002", "003"]


def test_a_damaged_frame_is_a_line(bundle: Path, folder: Path) -> None:
    """A cut picture is UNKNOWN E_FRAME in its place; the next frame is inspected all the same."""
    path = folder / "depth" / "001.png"
    path.write_bytes(path.read_bytes()[:200])
    found = lines(bundle, f"folder:{folder}")
    assert [(line["frame"], line["reason"]) for line in found] == [
        (0, "OK"), (1, "E_FRAME"), (2, "OK"), (3, "DEFECT"),
    ]
    assert found[1]["score"] is None and found[1]["name"] == "001" and "001" in found[1]["detail"]


@pytest.mark.parametrize(("count", "code"), [(1, 0), (2, 1), (4, 1)])
def test_fail_on_reject(bundle: Path, folder: Path, count: int, code: int) -> None:
    """Exit code 1 as soon as one frame is no PASS, 0 where all pass; without the option always 0."""
    command = ["inspect", str(bundle), f"folder:{folder}", "--frames", str(count)]
    assert RUN.invoke(app, command).exit_code == 0
    assert RUN.invoke(app, [*command, "--fail-on-reject"]).exit_code == code


def test_unknown_fails_as_a_reject(bundle: Path, folder: Path) -> None:
    """What could not be judged is no PASS."""
    cv2.imwrite(str(folder / "color" / "000.png"), np.zeros((96, 128, 3), np.uint8))
    command = ["inspect", str(bundle), f"folder:{folder}", "--frames", "1", "--fail-on-reject"]
    assert RUN.invoke(app, command).exit_code == 1


def test_the_station_file_decides(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """Source and threshold come from the station; a high threshold lets the stain pass."""
    (tmp_path / "station.toml").write_text(f'source = "folder:{folder}"\nthreshold = 0.9999\n')
    found = lines(bundle, "--station", tmp_path / "station.toml")
    assert [line["verdict"] for line in found] == ["PASS"] * 4
    assert {line["threshold"] for line in found} == {0.9999}


def test_overlays_are_written(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """One picture a frame, named for frame and verdict, in the frame's size."""
    result = RUN.invoke(app, ["inspect", str(bundle), f"folder:{folder}", "--overlay", str(tmp_path / "deep" / "out")])
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "deep" / "out").iterdir())
    assert names == ["000000_PASS.png", "000001_REJECT.png", "000002_PASS.png", "000003_REJECT.png"]
    assert cv2.imread(str(tmp_path / "deep" / "out" / names[1])).shape == (96, 128, 3)


def test_the_human_text_says_what_happened(bundle: Path, folder: Path) -> None:
    """A line a frame with verdict and score, and a summary with counts, speed, engine and resolution."""
    result = RUN.invoke(app, ["inspect", str(bundle), f"folder:{folder}"])
    assert result.exit_code == 0
    text = result.stdout.splitlines()
    assert "PASS" in text[0] and "REJECT" in text[1] and "px at (" in text[1]
    assert text[-3] == "4 frames: 2 PASS, 2 REJECT, 0 UNKNOWN"
    assert "frames/s" in text[-2] and "onnxruntime" in text[-2]
    assert text[-1] == "at 0.5 m a map pixel shows 6.5 x 4.9 mm; defects under 13 mm are too small for it"


def test_what_a_stand_in_decides_is_seen_by_everyone(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """Without depth, PASS and REJECT of colour alone say so in the JSON line, in the text, and in the summary."""
    loss = StandIn(
        of="a" * 64, data_sha256="b" * 64, n_good=9, n_defective=8, n_unknown=0, i_auroc=0.9, i_auroc_of=1.0,
        i_auroc_change=(-0.2, 0.0), escapes=4, escapes_of=0, false_rejects=1, false_rejects_of=0,
    )  # fmt: skip
    colour = write_tiny_bundle(tmp_path / "colour.rasant", modalities="rgb", stand_in=loss)
    for index in (1, 2, 3):
        cv2.imwrite(str(folder / f"depth/{index:03d}.png"), np.zeros((96, 128), np.uint16))
    (tmp_path / "station.toml").write_text('stand_in = "colour.rasant"\n')
    for options in (["--stand-in", colour], ["--station", tmp_path / "station.toml"]):
        found = lines(bundle, f"folder:{folder}", *options)
        assert [line["verdict"] for line in found] == ["PASS", "PASS", "PASS", "REJECT"]
        assert [line["stood_in"] for line in found] == [None] + ["E_DEPTH_EMPTY"] * 3
        assert found[0]["detail"] == "" and "it passes 4 instead of 0" in str(found[1]["detail"])
    text = RUN.invoke(app, ["inspect", str(bundle), f"folder:{folder}", "--stand-in", str(colour)]).stdout.splitlines()
    said = ["decided by colour alone (E_DEPTH_EMPTY: " in line for line in text]
    assert said == [False, True, True, True, *[False] * (len(text) - 4)]
    assert "frames decided by colour alone: 3" in text
    refused = RUN.invoke(app, ["inspect", str(bundle), f"folder:{folder}", "--stand-in", str(bundle)])
    assert refused.exit_code == 2 and "must see one modality alone" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{bundle}", "folder:nowhere"], 2, "nowhere"),
        (["nowhere.rasant", "folder:{folder}"], 2, "nowhere.rasant"),
        (["{bundle}", "magic:wand"], 2, "magic"),
        (["{bundle}"], 2, "no source is given"),
        (["{bundle}", "folder:{folder}", "--engine", "abacus"], 2, "abacus"),
        (["{bundle}", "folder:{folder}", "--station", "missing.toml"], 2, "missing.toml"),
        (["{bundle}", "folder:{folder}", "--frames", "0"], 2, "--frames"),
    ],
)
def test_wrong_calls(bundle: Path, folder: Path, arguments: list[str], code: int, words: str) -> None:
    """Each mistake has its exit code and names what was wrong."""
    filled = [argument.format(bundle=bundle, folder=folder) for argument in arguments]
    result = RUN.invoke(app, ["inspect", *filled])
    assert result.exit_code == code and words in result.stderr, result.output


def test_a_bundle_without_threshold_names_the_command(tmp_path: Path, folder: Path) -> None:
    """It cannot decide; the error says what to run."""
    path = write_tiny_bundle(tmp_path / "raw.rasant", threshold=None)
    result = RUN.invoke(app, ["inspect", str(path), f"folder:{folder}", "--json"])
    assert result.exit_code == 2
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    assert error["code"] == "E_THRESHOLD" and "rasant calibrate threshold" in error["message"]


@pytest.mark.captures
@pytest.mark.parametrize("name", ["pcl_mosd_kinect", "open3d_rgbd", "tsdf_kinect_rgbd", "pcl_grabber_openni"])
def test_real_captures_get_a_line_each(tmp_path: Path, captures: Path, name: str) -> None:
    """Captures that no one here made: a verdict for every frame, with its reason, and no crash."""
    sizes = {"background": "plane_ransac", "depth_rule": "height_range", "depth_low": -0.1, "depth_high": 0.5}
    path = write_tiny_bundle(tmp_path / "any.rasant", preprocess={**sizes, "inlier_m": 0.02, "fill_passes": 3})
    found = lines(path, f"folder:{captures / name}")
    assert len(found) >= 3
    assert {line["verdict"] for line in found} <= {"PASS", "REJECT", "UNKNOWN"}
    assert all(line["reason"].startswith("E_") == (line["verdict"] == "UNKNOWN") for line in found)


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--fail-on-reject"], 1)])
def test_a_reader_that_leaves_does_not_open_the_gate(
    bundle: Path, folder: Path, options: list[str], code: int
) -> None:
    """Whoever reads the lines may stop; but frames that nobody saw are no PASS for --fail-on-reject."""
    for path in (*folder.glob("*/001.png"), *folder.glob("*/003.png")):
        path.unlink()  # only good plates are left
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-c", "from rasant.cli import main; main()", "inspect", str(bundle), f"folder:{folder}"]
    try:
        done = subprocess.run([*call, "--json", *options], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    assert done.returncode == code, done.stderr.decode()


def test_a_sources_note_is_said_on_stderr(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that was cut short must not look complete."""
    from rasant.sensors.folder import FolderSource

    opened = FolderSource(folder)
    opened.note = "cut short"
    monkeypatch.setattr("rasant.stream.open_stream", lambda uri, **options: opened)
    result = RUN.invoke(app, ["inspect", str(bundle), f"folder:{folder}", "--json"])
    assert result.exit_code == 0 and "cut short" in result.stderr and "cut short" not in result.stdout
