# SPDX-License-Identifier: Apache-2.0
"""Exported folders hold what the frames held, as the readers of those layouts compute it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from rasant.errors import ConfigError, FrameError
from rasant.ops.align import lens_rays
from rasant.recording.folders import LAYOUTS, FolderWriter
from rasant.sensors import open_source
from rasant.types import Clock, Frame, Intrinsics, Sample

LENS = Intrinsics(16, 12, 20.0, 20.0, 7.5, 5.5, "brown_conrady", (0.1, -0.05, 0.001, 0.0, 0.0))


def frame(number: int, label: str | None = "good", split: str = "train") -> Frame:
    """A random frame: depth in counts of 0.1 mm with holes, colour, mask where it is defective."""
    random = np.random.default_rng(number)
    depth = random.integers(3000, 9000, (12, 16)).astype(np.uint16)
    depth[random.random((12, 16)) < 0.2] = 0
    truth = random.random((12, 16)) < 0.3 if label not in (None, "good") else None
    sample = None if label is None else Sample("lid", split, label, str(number), truth)
    color = random.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return Frame(
        color, depth, 1e-4, LENS, number, "test", 5, device_time_ns=10**12 + number * 33_333_333, clock=Clock.DEVICE,
        serial="S1", calibration_id="c1", sample=sample,
    )  # fmt: skip


FRAMES = [frame(0), frame(1), frame(2, "good", "test"), frame(3, "dent", "test"), frame(4, None)]


def export(folder: Path, layout: str) -> Path:
    with FolderWriter(folder, layout, category="plate") as writer:
        for one in FRAMES:
            writer.write(one)
        assert writer.frames == len(FRAMES)
    assert writer.bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return folder


def metres(one: Frame) -> np.ndarray:
    assert one.depth is not None
    return one.depth.astype(np.float64) * one.depth_scale


def picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_mvtec3d_is_read_back_by_its_source(tmp_path: Path) -> None:
    """`mvtec3d:` reads the same colour, depth to the bit of float32, labels and masks; points follow the lens."""
    export(tmp_path / "out", "mvtec3d")
    with open_source(f"mvtec3d:{tmp_path / 'out' / 'lid'}?split=all") as source:
        found = {(one.sample.split, one.sample.label, one.name[-3:]): one for one in source if one.sample}
    assert sorted(found) == [("test", "dent", "000"), ("test", "good", "000"), ("train", "good", "000"),
                             ("train", "good", "001")]  # fmt: skip
    for key, one in zip(sorted(found), (FRAMES[3], FRAMES[2], FRAMES[0], FRAMES[1]), strict=True):
        np.testing.assert_array_equal(found[key].color, one.color)
        np.testing.assert_allclose(found[key].depth, metres(one), rtol=1e-6)
        assert one.sample is not None
        if one.sample.truth is not None:
            np.testing.assert_array_equal(found[key].sample.truth, one.sample.truth)
    assert (tmp_path / "out/plate/test/unlabelled/rgb/000.png").is_file()
    points = tifffile.imread(tmp_path / "out/lid/train/good/xyz/000.tiff")
    rays = lens_rays(LENS)
    np.testing.assert_allclose(points[..., 0], rays[0] * metres(FRAMES[0]), rtol=1e-5)
    np.testing.assert_allclose(points[..., 1], rays[1] * metres(FRAMES[0]), rtol=1e-5)
    assert not points[metres(FRAMES[0]) == 0].any()


def test_tum_has_lists_and_counts_of_a_fifth_of_a_millimetre(tmp_path: Path) -> None:
    """rgb.txt, depth.txt and associations.txt name the files by time; depth / 5000 is metres, 0 stays invalid."""
    out = export(tmp_path / "out", "tum")
    lists = {name: (out / f"{name}.txt").read_text().splitlines() for name in ("rgb", "depth", "associations")}
    assert [line.split()[0] for line in lists["depth"]] == [f"1000.{33_333_333 * k // 1000:06d}" for k in range(5)]
    for line, one in zip(lists["associations"], FRAMES, strict=True):
        _, color, _, depth = line.split()
        np.testing.assert_array_equal(picture(out / color)[..., ::-1], one.color)
        counts = picture(out / depth)
        assert counts.dtype == np.uint16
        np.testing.assert_allclose(counts / 5000, metres(one), atol=1.01e-4)
        assert ((counts > 0) == (metres(one) > 0)).all()
    camera = json.loads((out / "camera.json").read_text())
    assert (camera["fx"], camera["depth_scale"], camera["serial"]) == (20.0, 2e-4, "S1")
    far = replace(FRAMES[0], depth=np.full((12, 16), 20.0, np.float32), depth_scale=1.0)
    with FolderWriter(tmp_path / "far", "tum") as writer:
        writer.write(far)
    assert not picture(next((tmp_path / "far/depth").iterdir())).any()


def test_eyecandies_depth_follows_its_formula(tmp_path: Path) -> None:
    """raw / 65535 (max - min) + min is the depth in metres, six lights, mask, pose and the anomaly's flag are there."""
    out = export(tmp_path / "out", "eyecandies") / "lid"
    for folder, stem, one, anomalous in (
        ("train", "000", FRAMES[0], 0), ("test_public", "00", FRAMES[2], 0), ("test_public", "01", FRAMES[3], 1),
    ):  # fmt: skip
        base = out / folder / "data"
        numbers = dict(line.strip().split(": ") for line in
                       (base / f"{stem}_info_depth.yaml").read_text().splitlines()[1:])  # fmt: skip
        low, high = float(numbers["min"]), float(numbers["max"])
        raw = picture(base / f"{stem}_depth.png")
        np.testing.assert_allclose(raw / 65535 * (high - low) + low, metres(one), atol=high / 65535)
        assert ((raw > 0) == (metres(one) > 0)).all()
        for light in range(6):
            np.testing.assert_array_equal(picture(base / f"{stem}_image_{light}.png")[..., ::-1], one.color)
        assert (picture(base / f"{stem}_mask.png").any()) == bool(anomalous)
        assert (base / f"{stem}_metadata.yaml").read_text() == f"anomalous: {anomalous}\n"
        assert np.array_equal(np.loadtxt(base / f"{stem}_pose.txt"), np.eye(4))
    assert not (tmp_path / "out/plate/test_public/data/00_metadata.yaml").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_layout_cannot_hold_is_refused(tmp_path: Path, layout: str) -> None:
    """A folder that holds something is never mixed with; frames without colour or depth are FrameErrors."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for path, kind in ((tmp_path / "full", layout), (tmp_path / "full" / "x", layout), (tmp_path / "new", "kitti")):
        with pytest.raises(ConfigError):
            FolderWriter(path, kind)
    with FolderWriter(tmp_path / "new", layout) as writer:
        for half in (replace(FRAMES[0], color=None), replace(FRAMES[0], depth=None)):
            with pytest.raises(FrameError):
                writer.write(half)
        assert writer.frames == 0
