# SPDX-License-Identifier: Apache-2.0
"""The RealSense adapter on librealsense's software device: pixels, pairs, counts, lenses, settings, refusals."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyrealsense2")

import pyrealsense2 as rs

from rasant.errors import ConfigError, SourceBusy, SourceDisconnected, SourceError, SourceTimeout
from rasant.ops.align import AlignPlan, lens_rays
from rasant.sensors import open_source
from rasant.sensors.realsense.device import CameraFeed, Wanted, color_from_depth, lens_of
from rasant.sensors.realsense.filters import FILTERS, DepthFilters
from rasant.sensors.realsense.playback import FileFeed
from rasant.sensors.realsense.source import RealSenseSource
from rasant.stream import Pump
from rasant.types import Clock, Drops, Intrinsics
from reference.align import D455, aligned_depth
from software_camera import PERIOD_MS, SERIAL, SoftwareCamera, Streaming


def camera_of(lens: Intrinsics) -> dict[str, Any]:
    """The lens as the numpy warp takes it."""
    numbers = {"fx": lens.fx, "fy": lens.fy, "cx": lens.cx, "cy": lens.cy}
    return {"model": lens.distortion_model, "k": lens.distortion, **numbers}


def warmed(source: RealSenseSource, camera: SoftwareCamera) -> RealSenseSource:
    """Past the first exposure: the synchroniser gives its halves one by one before it knows both streams."""
    camera.expose(0)
    with pytest.raises(SourceTimeout):
        source.read(0.05)
    assert source.stats() == Drops(partial=1)
    return source


def test_every_bit_arrives() -> None:
    """Images of one camera are those that were exposed, in counts, with time, clock, serial, skew and settings."""
    camera = SoftwareCamera()
    with warmed(camera.open(), camera) as source:
        for number in range(1, 30):
            camera.expose(number, skew_ms=1.5)
            frame = source.read(5)
            color, depth = camera.images(number)
            np.testing.assert_array_equal(frame.color, color)
            np.testing.assert_array_equal(frame.depth, depth)
            assert (frame.index, frame.name, frame.serial) == (number - 1, str(number), SERIAL)
            assert frame.device_time_ns == round(number * PERIOD_MS * 1e6) and frame.clock is Clock.DEVICE
            assert frame.skew_ns == 1_500_000 and frame.period_ns == 33333333 and len(frame.settings) == 16
            assert frame.depth_scale == pytest.approx(0.001) and not frame.recorded
            assert 0 <= time.monotonic_ns() - frame.arrival_ns < 5e9
        assert source.stats() == Drops(partial=1)


def test_frames_are_our_own() -> None:
    """Two hundred frames are kept: the driver's pool is never held, so the camera never stops, and no pixel changes."""
    camera = SoftwareCamera((8, 16))
    with warmed(camera.open(), camera) as source:
        kept = []
        for number in range(1, 201):
            camera.expose(number)
            kept.append(source.read(5))
        assert all((frame.depth == camera.images(int(frame.name))[1]).all() for frame in kept)
        assert all(frame.color.flags.owndata and frame.depth.flags.owndata for frame in kept)


def test_halves_losses_and_repeats_are_told_apart() -> None:
    """Depth without colour, colour without depth, numbers that jump and frames that come twice: counted exactly."""
    camera = SoftwareCamera()
    with warmed(camera.open(), camera) as source:
        names = []
        for number, half in ((1, ""), (2, "color"), (3, ""), (4, "depth"), (5, ""), (9, ""), (10, "")):
            camera.expose(number, without=half)
            while True:
                try:
                    names.append(int(source.read(0.05).name))
                except SourceTimeout:
                    break
        assert names == [1, 3, 5, 9, 10]
        assert source.stats() == Drops(partial=3, device=3)
        camera.expose(10, at_ms=11 * PERIOD_MS, color_number=11)
        camera.expose(12, at_ms=12 * PERIOD_MS, color_number=10)
        camera.expose(13)
        assert source.read(1).name == "13"
        assert source.stats().repeated == 1 and source.stats().partial == 4 and source.stats().device == 4


@pytest.mark.parametrize(("lens", "coefficients"), [
    ("none", (0.0,) * 5), ("brown_conrady", D455), ("inverse_brown_conrady", D455), ("modified_brown_conrady", D455),
    ("kannala_brandt4", (0.05, -0.01, 0.0, 0.0, 0.0)),
])  # fmt: skip
def test_depth_is_aligned_through_the_lens(lens: str, coefficients: tuple[float, ...]) -> None:
    """Any lens that the device reports: depth in the colour camera equals the independent numpy warp."""
    camera = SoftwareCamera((36, 48), lens=lens, coefficients=coefficients, shift_m=0.015, turn=0.01, color_focal=1.2)
    with warmed(camera.open(), camera) as source:
        camera.expose(1)
        frame = source.read(5)
        feed = source._feed
        depth_lens, color_lens = lens_of(feed.depth), lens_of(feed.color)
        pose = color_from_depth(feed.depth, feed.color)
        assert color_lens.distortion_model == lens and frame.intrinsics == color_lens and frame.depth_scale == 1.0
        assert pose[0, 3] == pytest.approx(0.015) and pose[0, 2] == pytest.approx(np.sin(0.01))
        color, depth = camera.images(1)
        expected, sure = aligned_depth(
            depth * np.float64(np.float32(0.001)), lens_rays(depth_lens), pose, camera_of(color_lens), (36, 48), 0.25
        )
        assert sure.mean() > 0.9 and frame.depth is not None
        assert ((frame.depth > 0) == (expected > 0))[sure].all()
        np.testing.assert_allclose(frame.depth[sure], expected[sure], rtol=3e-6)
        np.testing.assert_array_equal(frame.color, color)


def test_colour_is_aligned_to_depth_where_asked() -> None:
    """align=depth: depth keeps every count, colour is black where the colour camera cannot see."""
    camera = SoftwareCamera(shift_m=0.02)
    with warmed(camera.open(align="depth"), camera) as source:
        camera.expose(1)
        frame = source.read(5)
        np.testing.assert_array_equal(frame.depth, camera.images(1)[1])
        assert frame.color is not None and not frame.color[frame.depth == 0].any()
        assert frame.intrinsics == lens_of(source._feed.depth)


@pytest.mark.captures
def test_the_real_camera_agrees_with_the_vendor_where_lenses_are_ideal(real: rs.composite_frame) -> None:
    """A D435's recorded frame, both lenses without distortion: librealsense's align sees the same pixels, and the same
    depth within 1 %, on at least 99.5 % of all pixels. (It keeps the depth camera's z, and fills like our margin 0.5.)
    """
    from rasant.ops.align import align_depth
    from rasant.ops.depth import to_metres

    depth, color = real.get_depth_frame(), real.get_color_frame()
    theirs = np.array(rs.align(rs.stream.color).process(real).get_depth_frame().get_data()) * 0.001
    lens, pose = lens_of(color.get_profile()), color_from_depth(depth.get_profile(), color.get_profile())
    plan = AlignPlan(lens_of(depth.get_profile()), lens, pose, margin_px=0.5)
    seen = align_depth(to_metres(np.array(depth.get_data()), depth.get_units()), plan).astype(np.float64)
    points = np.stack([*lens_rays(lens), np.ones_like(seen)]) * seen - pose[:, 3, None, None]
    ours = np.where(seen > 0, np.einsum("i,ijk->jk", pose[:, 2], points), 0.0)
    agree = np.abs(ours - theirs) <= 0.01 * theirs
    print(f"within 1 %: {agree.mean():.4%}; same pixels seen: {((ours > 0) == (theirs > 0)).mean():.4%}")
    assert agree.mean() >= 0.995 and ((ours > 0) == (theirs > 0)).mean() >= 0.995


@pytest.mark.captures
def test_the_real_camera_agrees_with_the_numpy_warp(real: rs.composite_frame) -> None:
    """The same frame, a window of it, through the adapter's own plan: equal to the independent warp."""
    from rasant.ops.align import align_depth

    depth, color = real.get_depth_frame(), real.get_color_frame()
    lens, pose = lens_of(color.get_profile()), color_from_depth(depth.get_profile(), color.get_profile())
    plan = AlignPlan(lens_of(depth.get_profile()), lens, pose)
    window = np.zeros((480, 640), np.float32)
    window[180:230, 240:340] = np.array(depth.get_data())[180:230, 240:340] * np.float32(0.001)
    found = align_depth(window, plan)
    expected, sure = aligned_depth(window.astype(np.float64), plan.tables()[0], pose, camera_of(lens), (480, 640), 0.25)
    assert sure.mean() > 0.95 and (expected > 0).sum() > 5000
    assert ((found > 0) == (expected > 0))[sure].all()
    np.testing.assert_allclose(found[sure], expected[sure], rtol=2e-6)


@pytest.fixture
def real(captures: Path) -> Iterator[rs.composite_frame]:
    """The frameset of a D435's recording, as librealsense plays it."""
    feed = FileFeed(captures / "realsense_bag" / "single_depth_color_640x480.bag")
    yield feed.wait(10.0)
    feed.stop()


@pytest.mark.parametrize("name", FILTERS)
def test_filters_do_to_the_mask_what_they_say(name: str) -> None:
    """Smoothing keeps the mask, a threshold only shrinks it, filling grows it and is announced in the note."""
    camera = SoftwareCamera()
    with warmed(camera.open(filters=name if name != "threshold" else "threshold:0.45:0.55"), camera) as source:
        camera.expose(1)
        frame, depth = source.read(5), camera.images(1)[1]
        assert frame.depth is not None
        before, after = depth > 0, frame.depth > 0
        if name == "decimation":
            assert frame.intrinsics == lens_of(source._feed.color) and source._geometry.depth.width == 32
            return
        assert ("GROWS" in source.note) == (name == "hole_filling") == FILTERS[name].fills
        if name == "hole_filling":
            assert after[before].all() and after.sum() > before.sum()
        else:
            kept = before if name != "threshold" else (depth >= 450) & (depth <= 550)
            np.testing.assert_array_equal(after, kept)


@pytest.mark.parametrize("text", ["sharpen", "spatial:x", "hole_filling:1:2"])
def test_unknown_filters_are_refused(text: str) -> None:
    """A name that is none, a number that is none, and too many numbers raise ConfigError."""
    with pytest.raises(ConfigError, match="filter"):
        DepthFilters(rs, text)


def test_settings_are_read_set_and_seen_in_the_frames() -> None:
    """A setting changes the hash that frames carry; one that is not there, read-only or out of range is refused."""
    camera = SoftwareCamera()
    with warmed(camera.open(), camera) as source:
        assert source.options()["depth.laser_power"].high == 360
        camera.expose(1)
        before = source.read(5).settings
        source.set_option("depth.laser_power", 200)
        assert source.options()["depth.laser_power"].value == 200
        camera.expose(2)
        assert source.read(5).settings != before
        for name, value in (("depth.colour", 1), ("depth.depth_units", 0.1), ("depth.laser_power", 1e6)):
            with pytest.raises(ConfigError, match="realsense"):
                source.set_option(name, value)
        with pytest.raises(ConfigError, match="no software trigger"):
            source.trigger()


def test_streams_that_the_camera_has_not_are_refused() -> None:
    """A size or rate that no stream has raises ConfigError; so does an alignment that is none."""
    for wanted in (Wanted(width=1280), Wanted(fps=90), Wanted(color_height=1080)):
        with pytest.raises(ConfigError, match=r"no (depth|color) stream"):
            CameraFeed(SoftwareCamera().device, wanted)
    with pytest.raises(ConfigError, match="align must be"):
        SoftwareCamera().open(align="both")


def test_without_a_camera_the_message_says_what_is_connected() -> None:
    """No device at all, or none of that serial number: SourceDisconnected; wrong options: ConfigError."""
    with pytest.raises(SourceDisconnected, match="connected: none"):
        open_source("realsense")
    with pytest.raises(SourceDisconnected, match="no camera 12345"):
        open_source("realsense:12345?fps=30&depth.exposure=8500")
    with pytest.raises(ConfigError, match="does not know the option"):
        open_source("realsense:12345?exposure=8500")
    with pytest.raises(SourceError, match="preset"):
        open_source("realsense:12345?preset=absent.json")


CLAIM = """
import sys
sys.path.insert(0, {tests!r})
from software_camera import SoftwareCamera
source = SoftwareCamera(serial={serial!r}).open()
print("open", flush=True)
sys.stdin.read()
"""


def test_two_programs_cannot_open_one_camera() -> None:
    """The second gets SourceBusy (E_BUSY) that names the first; it may open the camera when that one has ended."""
    code = CLAIM.format(tests=str(Path(__file__).resolve().parent.parent), serial=SERIAL)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(SourceBusy, match=f"held by process {other.pid}") as caught:
        SoftwareCamera(serial=SERIAL).open()
    assert caught.value.code == "E_BUSY"
    SoftwareCamera(serial=SERIAL + "B").open().close()
    other.kill()
    other.wait()
    other.stdout.close()
    other.stdin.close()
    SoftwareCamera(serial=SERIAL).open().close()


def test_a_stream_through_the_pump() -> None:
    """A free-running device read by a pump: every frame is right, and delivered and lost ones add up."""
    camera = SoftwareCamera()
    source = camera.open()
    with Pump(lambda: source, policy="latest") as pump:
        pump.start()
        numbers: list[int] = []
        with Streaming(camera, 60, fps=200.0):
            while not numbers or numbers[-1] < 59:
                frame = pump.read(5)
                color, depth = camera.images(int(frame.name))
                assert (frame.color == color).all() and (frame.depth == depth).all()
                numbers.append(int(frame.name))
                time.sleep(0.01)
        drops = pump.stats()
        assert numbers == sorted(set(numbers)) and drops.repeated == 0
        assert len(numbers) + drops.total == 60
