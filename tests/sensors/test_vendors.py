# SPDX-License-Identifier: Apache-2.0
"""Frames from what four makers' libraries hand out: objects of their shape, pixels of known scenes. No hardware."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from rasant.errors import FrameError
from rasant.sensors.vendors import depthai, mecheye, orbbec, zivid
from rasant.types import Clock, Frame
from sfnc_camera import LENS, cloud, scene

COLOR = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
COUNTS = np.random.default_rng(1).integers(0, 2000, (48, 64)).astype(np.uint16)
STAMP = datetime(2026, 5, 4, 9, 30, 0, 250_000, tzinfo=timezone.utc)


def millimetres(seed: int = 0) -> np.ndarray:
    """A cloud with holes, as float32 millimetres."""
    points = (1e3 * cloud(scene(seed=seed))).astype(np.float32)
    points[10:14, 20:30] = np.nan
    return points


def of_zivid(points: np.ndarray, color: np.ndarray = COLOR) -> Any:
    """A zivid.Frame in words."""
    data = {"xyz": points, "rgba_srgb": np.dstack([color, np.full(color.shape[:2], 255, np.uint8)])}
    return SimpleNamespace(
        point_cloud=lambda: SimpleNamespace(copy_data=data.__getitem__), info=SimpleNamespace(time_stamp=STAMP),
        camera_info=SimpleNamespace(serial_number="2020C0DE"), settings="Aperture: 5.66",
    )  # fmt: skip


def of_mecheye(points: np.ndarray, color: np.ndarray = COLOR) -> Any:
    """A Frame2DAnd3D in words."""
    three = SimpleNamespace(
        get_untextured_point_cloud=lambda: SimpleNamespace(data=lambda: points), frame_id=lambda: 7
    )
    two = SimpleNamespace(get_color_image=lambda: SimpleNamespace(data=lambda: color[..., ::-1]))
    return SimpleNamespace(frame_2d=lambda: two, frame_3d=lambda: three)


def of_orbbec(form: str = "RGB", model: str = "NONE", k: tuple[float, ...] = (), rows: int = 48) -> Any:
    """A FrameSet in words."""
    sent = {
        "RGB": COLOR, "BGR": COLOR[..., ::-1], "YUYV": COLOR[..., :2],
        "MJPG": cv2.imencode(".png", np.ascontiguousarray(COLOR[..., ::-1]))[1],
    }[form]  # fmt: skip
    lens = SimpleNamespace(width=64, height=48, fx=70.0, fy=71.0, cx=30.0, cy=25.0)
    names = "k1 k2 p1 p2 k3 k4 k5 k6".split()
    bent = SimpleNamespace(
        model=SimpleNamespace(name=model), **dict.fromkeys(names, 0.0) | dict(zip(names, k, strict=False))
    )
    profile = SimpleNamespace(get_intrinsic=lambda: lens, get_distortion=lambda: bent)
    color = SimpleNamespace(
        get_format=lambda: SimpleNamespace(name=form), get_data=lambda: np.ascontiguousarray(sent).reshape(-1),
        get_height=lambda: 48, get_width=lambda: 64, get_timestamp_us=lambda: 5300,
        get_stream_profile=lambda: SimpleNamespace(as_video_stream_profile=lambda: profile),
    )  # fmt: skip
    depth = SimpleNamespace(
        get_data=lambda: COUNTS[:rows].reshape(-1).view(np.uint8), get_height=lambda: rows, get_width=lambda: 64,
        get_depth_scale=lambda: 0.1, get_timestamp_us=lambda: 5000, get_index=lambda: 9,
    )  # fmt: skip
    return SimpleNamespace(get_depth_frame=lambda: depth, get_color_frame=lambda: color)


def of_depthai(kind: str = "Perspective", k: tuple[float, ...] = (0.0,) * 14, rows: int = 48) -> dict[str, Any]:
    """A MessageGroup in words."""
    picture = SimpleNamespace(
        getIntrinsicMatrix=lambda: [[70.0, 0, 30.0], [0, 71.0, 25.0], [0, 0, 1]],
        getDistortionModel=lambda: SimpleNamespace(name=kind), getDistortionCoefficients=lambda: list(k),
    )  # fmt: skip
    color = SimpleNamespace(
        getCvFrame=lambda: COLOR[..., ::-1], getTimestampDevice=lambda: timedelta(seconds=3, microseconds=250),
        getTransformation=lambda: picture,
    )  # fmt: skip
    depth = SimpleNamespace(
        getFrame=lambda: COUNTS[:rows], getTimestampDevice=lambda: timedelta(seconds=3), getSequenceNum=lambda: 11
    )
    return {"rgb": color, "depth": depth}


def check(frame: Frame | None, serial: str) -> Frame:
    """What all have in common."""
    assert frame is not None and frame.color is not None and frame.depth is not None
    np.testing.assert_array_equal(frame.color, COLOR)
    assert frame.color.flags.c_contiguous and frame.serial == serial and frame.index == 4
    assert not np.shares_memory(frame.color, COLOR) and not np.shares_memory(frame.depth, COUNTS)
    return frame


@pytest.mark.parametrize("maker", ["zivid", "mecheye"])
def test_clouds_become_depth_seen_through_their_own_lens(maker: str) -> None:
    """The lens comes from the points; depth is metres, 0 in the holes; another lens or size of picture is refused."""
    module, of = (zivid, of_zivid) if maker == "zivid" else (mecheye, of_mecheye)
    extra = {} if maker == "zivid" else {"serial": "2020C0DE"}
    lens = module.lens_of(of(millimetres()))
    assert lens.intrinsics.fx == pytest.approx(LENS.fx, abs=1e-2)
    frame = check(module.frame_of(of(millimetres(3)), lens, 4, **extra), "2020C0DE")
    expected = np.nan_to_num(1e-3 * millimetres(3)[..., 2])
    np.testing.assert_allclose(frame.depth, expected, rtol=1e-6)
    assert (frame.depth[10:14, 20:30] == 0).all() and frame.intrinsics == lens.intrinsics
    with pytest.raises(FrameError, match="px off the lens"):
        module.frame_of(of(millimetres()), replace(lens, intrinsics=replace(LENS, cx=33.0)), 4, **extra)
    with pytest.raises(FrameError, match="64x40, depth 64x48"):
        module.frame_of(of(millimetres(), COLOR[:40]), lens, 4, **extra)
    if maker == "zivid":
        assert frame.clock is Clock.HOST and frame.settings
        assert frame.device_time_ns == pytest.approx(1e9 * STAMP.timestamp(), abs=1000)


@pytest.mark.parametrize("form", ["RGB", "BGR", "MJPG"])
def test_orbbec_pictures_and_counts(form: str) -> None:
    """Counts with their scale, RGB from each format, times, skew and number; a frameset with a half missing is None."""
    frame = check(orbbec.frame_of(of_orbbec(form), 4, serial="AB"), "AB")
    np.testing.assert_array_equal(frame.depth, COUNTS)
    assert frame.depth_scale == pytest.approx(1e-4) and frame.intrinsics == LENS and frame.name == "9"
    assert frame.device_time_ns == 5_000_000 and frame.skew_ns == 300_000 and frame.clock is Clock.DEVICE
    half = SimpleNamespace(get_depth_frame=lambda: None, get_color_frame=of_orbbec().get_color_frame)
    assert orbbec.frame_of(half, 4, serial="AB") is None


def test_orbbec_lenses_and_refusals() -> None:
    """Coefficients in OpenCV's order by the model that the device names; unaligned depth and YUYV are refused."""
    k = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    for model, ours, want in (
        ("BROWN_CONRADY", "brown_conrady", k[:5]), ("BROWN_CONRADY_K6", "rational", k),
        ("KANNALA_BRANDT4", "kannala_brandt4", (0.1, 0.2, 0.5, 0.6)),
        ("INVERSE_BROWN_CONRADY", "inverse_brown_conrady", k[:5]),
    ):  # fmt: skip
        frame = orbbec.frame_of(of_orbbec(model=model, k=k), 0, serial="")
        assert frame is not None and (frame.intrinsics.distortion_model, frame.intrinsics.distortion) == (ours, want)
    with pytest.raises(FrameError, match="let the device align them"):
        orbbec.frame_of(of_orbbec(rows=40), 0, serial="")
    with pytest.raises(FrameError, match="YUYV is not read"):
        orbbec.frame_of(of_orbbec("YUYV"), 0, serial="")


def test_depthai_groups() -> None:
    """Millimetres, RGB, the lens of the picture with its 14 coefficients, times and skew; refusals as above."""
    frame = check(depthai.frame_of(of_depthai(), 4, serial="18443"), "18443")
    np.testing.assert_array_equal(frame.depth, COUNTS)
    assert frame.depth_scale == 1e-3 and frame.intrinsics == LENS and frame.name == "11"
    assert frame.device_time_ns == 3 * 10**9 and frame.skew_ns == 250_000
    bent = depthai.frame_of(of_depthai(k=tuple(0.01 * i for i in range(14))), 0, serial="").intrinsics
    assert bent.distortion_model == "rational" and len(bent.distortion) == 14
    with pytest.raises(FrameError, match="let the device align them"):
        depthai.frame_of(of_depthai(rows=40), 0, serial="")
    with pytest.raises(FrameError, match="Cylindrical"):
        depthai.frame_of(of_depthai("Cylindrical"), 0, serial="")


def test_no_library_of_a_maker_is_imported() -> None:
    """The four modules load where none of the libraries exists."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['zivid', 'mecheye', 'pyorbbecsdk', 'depthai'], None));"
        "import rasant.sensors.vendors.zivid, rasant.sensors.vendors.mecheye, rasant.sensors.vendors.orbbec,"
        "rasant.sensors.vendors.depthai"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
