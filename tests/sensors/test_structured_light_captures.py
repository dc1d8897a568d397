# SPDX-License-Identifier: Apache-2.0
"""A real scan of a sea shell, 44 captures of 5 megapixels, against the point cloud that its author made of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from rasant import open_source
from rasant.calibration_file import Calibration, FittedLens, Motion, write_calibration
from rasant.ops.lens import lens_rays
from rasant.types import Frame

UNIT_M = 1e-3  # the cloud's and the calibration's unit


def _calibration(path: Path) -> Calibration:
    """The author's calibration; OpenCV writes more digits than its rotation is orthonormal to."""
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)

    def lens(name: str) -> FittedLens:
        size, K, k = (file.getNode(f"{name}_{part}").mat() for part in ("size", "K", "kc"))
        return FittedLens(
            width=int(size[0, 0]), height=int(size[1, 0]), fx=K[0, 0], fy=K[1, 1], cx=K[0, 2], cy=K[1, 2],
            distortion_model="brown_conrady", distortion=tuple(k.ravel().tolist()),
        )  # fmt: skip

    u, _, v = np.linalg.svd(file.getNode("R").mat())
    motion = np.hstack([u @ v, file.getNode("T").mat() * UNIT_M])
    return Calibration(
        created="2016-12-09T00:00:00Z", color=lens("cam"), projector=lens("pro"),
        projector_from_color=Motion.from_matrix(motion),
    )  # fmt: skip


def _cloud(path: Path) -> np.ndarray:
    """(N, 3) of the author's cloud in our camera frame: its y and z point the other way."""
    data = path.read_bytes()
    header, body = data.split(b"end_header\n", 1)
    count = int(header.split(b"element vertex ")[1].split()[0])
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    return np.frombuffer(body, vertex, count)["xyz"] * np.array([1, -1, -1])


@pytest.fixture(scope="module")
def scan(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """The shell, as `graycode:` reads it."""
    folder, data = tmp_path_factory.mktemp("shell"), captures / "sltk_graycode_shell"
    write_calibration(folder / "calibration.json", _calibration(data / "procam_2016_12_09.yaml"))
    (folder / "patterns.json").write_text('{"width": 1280, "height": 800, "axes": ["columns", "rows"], "bits": 11}')
    (folder / "scan_0020").symlink_to(data / "scan_0020")
    with open_source(f"graycode:{folder}?threads=2") as source:
        return source.read()


@pytest.mark.captures
def test_the_shell_is_the_authors(scan: Frame, captures: Path) -> None:
    """At least 400,000 pixels have depth, at a median distance of at most 0.5 units from the author's cloud."""
    valid = scan.depth > 0
    assert valid.sum() >= 400_000
    points = (np.stack([*lens_rays(scan.intrinsics, threads=2), np.ones_like(scan.depth)]) * scan.depth)[:, valid].T
    some = np.random.default_rng(0).choice(len(points), 50_000, replace=False)
    distance = cKDTree(_cloud(captures / "sltk_graycode_shell/scan_0020_cloud.ply")).query(points[some] / UNIT_M)[0]
    print(f"{valid.sum()} pixels, median distance {np.median(distance):.3f}, p75 {np.quantile(distance, 0.75):.3f}")
    assert np.median(distance) <= 0.5
    assert np.quantile(distance, 0.75) <= 1.2


@pytest.mark.captures
def test_colour_is_of_the_same_pixels(scan: Frame, captures: Path) -> None:
    """Without a white capture, colour is the brighter of the first pair: what has depth is well lit in it."""
    assert scan.color.shape == (1944, 2592, 3) and scan.name == "scan_0020"
    brightness = scan.color.mean(axis=2)
    assert np.median(brightness[scan.depth > 0]) > 1.5 * np.median(brightness[scan.depth == 0])
