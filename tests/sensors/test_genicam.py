# SPDX-License-Identifier: Apache-2.0
"""GenICam 3-D: what a delivery means, which lens it was seen through, and the adapter on a camera in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasant.calibration_file import Calibration, FittedLens, write_calibration
from rasant.errors import ConfigError, FrameError, SourceDisconnected, SourceTimeout, WrongDevice
from rasant.sensors.genicam.payload import Axis, Scan3d, decode, read_scan3d
from rasant.sensors.genicam.source import GenICamSource
from rasant.sensors.grid_lens import fit_lens
from rasant.sensors.pixel_formats import parse_format, to_array, to_rgb
from rasant.types import Clock, Drops, Intrinsics
from sfnc_camera import LENS, Camera, Features, cloud, part, scene

ABC = Features(
    ComponentSelector="Intensity", ComponentEnable=True, Scan3dOutputMode="CalibratedABC_Grid",
    Scan3dCoordinateSystem="Cartesian", Scan3dDistanceUnit="Millimeter", Scan3dCoordinateScale=1.0,
    Scan3dCoordinateOffset=0.0, AcquisitionFrameRate=20.0, ExposureTime=5000.0,
)  # fmt: skip


def abc_camera(**changes: object) -> Camera:
    """A camera that sends organised clouds in millimetres."""
    return Camera(Features(**(ABC.values | changes)))


def delivered(seed: int = 0, lens: Intrinsics = LENS) -> list:
    """Colour and cloud of a scene."""
    points = (1e3 * cloud(scene(lens, seed), lens)).astype(np.float32)
    color = np.random.default_rng(seed).integers(0, 256, (*points.shape[:2], 3)).astype(np.uint8)
    return [part("RGB8", color), part("Coord3D_ABC32f", points)]


@pytest.mark.parametrize("form", ["Coord3D_ABC32f", "Coord3D_ABC32f_Planar", "Coord3D_A32f", "Coord3D_C32f"])
def test_clouds_of_every_layout_give_the_same_depth(form: str) -> None:
    """Interleaved, planar, one part a coordinate, or depth alone: the same metres, NaN and the stated value invalid."""
    points = (1e3 * cloud(scene())).astype(np.float32)
    points[3, 4] = np.nan
    points[5, 6, 2] = -9999.0
    if form.endswith("Planar"):
        parts = [part(form, points.transpose(2, 0, 1))]
    elif form == "Coord3D_A32f":
        parts = [part(f"Coord3D_{letter}32f", points[..., i].copy()) for i, letter in enumerate("ABC")]
    elif form == "Coord3D_C32f":
        parts = [part(form, points[..., 2].copy())]
    else:
        parts = [part(form, points)]
    axes = (Axis(), Axis(), Axis(invalid=-9999.0))
    images = decode(parts, Scan3d("CalibratedABC_Grid", axes=axes))
    expected = np.where(np.isfinite(points[..., 2]) & (points[..., 2] > 0), 1e-3 * points[..., 2], 0)
    np.testing.assert_allclose(images.depth, expected, rtol=1e-6)
    assert images.depth[3, 4] == images.depth[5, 6] == 0 and images.color is None
    if form != "Coord3D_C32f":
        assert images.x is not None and np.isnan(images.x[3, 4])
        np.testing.assert_allclose(images.x[0], 1e-3 * points[0, :, 0], rtol=1e-6)


@given(scale=st.floats(0.01, 0.2), offset=st.sampled_from([0.0, 250.0]), invalid=st.sampled_from([None, 0.0, 65535.0]))
@settings(max_examples=30, deadline=None)
def test_counts_stay_counts_where_a_scale_says_all(scale: float, offset: float, invalid: float | None) -> None:
    """C16: without an offset the counts pass unchanged with their metres per count, else they become metres."""
    counts = np.random.default_rng(1).integers(0, 65536, (12, 16)).astype(np.uint16)
    counts[0, 0] = 65535
    axes = (Axis(), Axis(), Axis(scale, offset, invalid))
    images = decode([part("Coord3D_C16", counts)], Scan3d("CalibratedC", axes=axes))
    valid = np.ones_like(counts, bool) if invalid is None else counts != invalid
    metres = np.where(valid, 1e-3 * (counts * scale + offset), 0.0)
    if offset == 0:
        assert images.depth.dtype == np.uint16 and images.depth_scale == pytest.approx(1e-3 * scale)
        np.testing.assert_array_equal(images.depth, np.where(valid, counts, 0))
    else:
        assert images.depth.dtype == np.float32 and images.depth_scale == 1.0
    np.testing.assert_allclose(images.depth * images.depth_scale, metres, rtol=1e-6, atol=1e-9)


def test_disparity_becomes_depth() -> None:
    """DisparityC: focal length times baseline over the scaled disparity; none, and the invalid value, are no depth."""
    depth = scene()
    disparity = np.round(16 * LENS.fx * 0.1 / depth).astype(np.uint16)
    disparity[0, 0], disparity[0, 1] = 0, 65535
    scan = Scan3d("DisparityC", 1e-3, (Axis(), Axis(), Axis(1 / 16, 0.0, 65535.0)), (70.0, 71.0, 30.0, 25.0), 0.1)
    images = decode([part("Coord3D_C16", disparity)], scan)
    np.testing.assert_allclose(images.depth[1:], depth[1:], rtol=0.01)
    assert images.depth[0, 0] == images.depth[0, 1] == 0
    with pytest.raises(FrameError, match="Scan3dBaseline"):
        decode([part("Coord3D_C16", disparity)], replace(scan, baseline_m=None))


def test_low_confidence_is_invalid_only_where_asked() -> None:
    """A floor shrinks the mask to pixels at or above it, none ignores it; a floor without a part is an error."""
    sure = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    parts = [part("Coord3D_C16", np.full((12, 16), 700, np.uint16)), part("Confidence16", sure)]
    assert (decode(parts, Scan3d()).depth > 0).all()
    np.testing.assert_array_equal(decode(parts, Scan3d(), confidence=40).depth > 0, sure >= 40)
    with pytest.raises(FrameError, match="least confidence"):
        decode(parts[:1], Scan3d(), confidence=40)


def test_what_is_no_depth_image_is_refused() -> None:
    """Profiles, clouds without depth, cut parts, different sizes and unknown formats raise FrameError that says why."""
    depth = part("Coord3D_C16", np.zeros((12, 16), np.uint16))
    for parts, why in (
        ([], "nothing"), ([part("Mono8", np.zeros((12, 16), np.uint8))], "expected a Range"),
        ([part("Coord3D_AC32f", np.zeros((12, 16, 2), np.float32))], "expected a Range"),
        ([replace(depth, data=depth.data[:-1])], "only 383 came"),
        ([depth, part("Mono8", np.zeros((6, 8), np.uint8))], "differ in size"),
        ([replace(depth, form="Coord3D_C33f")], "not read"), ([replace(depth, form="0x81080123")], "not read"),
    ):  # fmt: skip
        with pytest.raises(FrameError, match=why):
            decode(parts, Scan3d())


@given(bits=st.sampled_from([10, 12]), seed=st.integers(0, 99), size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=40, deadline=None)
def test_packed_bits_are_unpacked(bits: int, seed: int, size: tuple[int, int]) -> None:
    """Values packed without gaps, lowest bit first, come out as they went in."""
    values = np.random.default_rng(seed).integers(0, 1 << bits, size).astype(np.uint16)
    stream = "".join(f"{value:0{bits}b}"[::-1] for value in values.ravel())
    stream += "0" * (-len(stream) % 8)
    data = np.array([int(stream[i : i + 8][::-1], 2) for i in range(0, len(stream), 8)], np.uint8)
    np.testing.assert_array_equal(to_array(parse_format(f"Coord3D_C{bits}p"), data, size[1], size[0]), values)


@pytest.mark.parametrize(("form", "pixel"), [
    ("RGB8", [200, 100, 50]), ("BGR8", [50, 100, 200]), ("RGBa8", [200, 100, 50, 9]), ("BGRa8", [50, 100, 200, 9]),
    ("RGB12", [200 << 4, 100 << 4, 50 << 4]), ("RGB8_Planar", [200, 100, 50]),
])  # fmt: skip
@pytest.mark.parametrize("padding", [0, 6])
def test_colour_is_rgb(form: str, pixel: list[int], padding: int) -> None:
    """Whatever the order, number and bits of the channels and the bytes after a row: 8-bit RGB."""
    image = np.tile(np.array(pixel, np.uint16 if "12" in form else np.uint8), (4, 6, 1))
    sent = part(form, image.transpose(2, 0, 1) if form.endswith("Planar") else image, padding)
    known = parse_format(form)
    rgb = to_rgb(known, to_array(known, sent.data, 6, 4, sent.padding))
    assert rgb.shape == (4, 6, 3) and (rgb == [200, 100, 50]).all() and rgb.flags.owndata


@pytest.mark.parametrize("order", ["RG", "GR", "GB", "BG"])
def test_bayer_is_interpolated_from_its_own_corner(order: str) -> None:
    """A flat colour under each of the four mosaics comes out as that colour, red where red was."""
    mosaic = np.zeros((8, 8), np.uint8)
    names = order + {"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}[order]
    for place, name in enumerate(names):
        mosaic[place // 2 :: 2, place % 2 :: 2] = {"R": 200, "G": 100, "B": 50}[name]
    assert (to_rgb(parse_format(f"Bayer{order}8"), mosaic)[2:-2, 2:-2] == [200, 100, 50]).all()


@pytest.mark.parametrize("distortion", [(), (-0.12, 0.05, 0.001, -0.0005, 0.0)])
def test_the_lens_is_seen_in_the_points(distortion: tuple[float, ...]) -> None:
    """From one cloud with 20 % holes: focal lengths and centre within 0.01 px, points within 0.01 px of their rays."""
    lens = replace(LENS, distortion_model="brown_conrady" if distortion else "none", distortion=distortion)
    points = cloud(scene(lens), lens)
    points[np.random.default_rng(0).random(points.shape[:2]) < 0.2] = np.nan
    x, y, depth = points[..., 0], points[..., 1], np.nan_to_num(points[..., 2])
    found = fit_lens(x, y, depth)
    for name in ("fx", "fy", "cx", "cy"):
        assert getattr(found.intrinsics, name) == pytest.approx(getattr(lens, name), abs=0.01)
    assert found.misfit_px(x, y, depth) < 0.01 and found.intrinsics.distortion_model == lens.distortion_model


def test_parallel_rays_are_no_lens_until_they_are_placed() -> None:
    """A grid of parallel rays: ConfigError that names `standoff`; placed 2 m away, points are off by height / 2 m."""
    v, u = np.mgrid[0:48, 0:64]
    height = 0.02 * np.random.default_rng(0).random((48, 64))
    x, y = 0.0005 * u - 0.01, 0.0004 * v - 0.008
    with pytest.raises(ConfigError, match=r"0.5 x 0.4 mm apart; open it with standoff"):
        fit_lens(x, y, height + 0.1)
    placed = fit_lens(x, y, 2.0 - height, 2.0)
    assert placed.misfit_px(x, y, 2.0 - height) < 1e-6
    seen = (u - placed.intrinsics.cx) * (2.0 - height) / placed.intrinsics.fx
    assert np.abs(seen - x).max() <= np.abs(x).max() * 0.02 / 2.0 + 1e-9
    with pytest.raises(ConfigError, match="omit it"):
        fit_lens(*np.moveaxis(cloud(scene()), -1, 0), 2.0)


def test_clouds_in_no_order_are_refused() -> None:
    """Shuffled points, mirrored ones and a handful raise ConfigError."""
    points = cloud(scene())
    shuffled = np.random.default_rng(0).permutation(points.reshape(-1, 3)).reshape(points.shape)
    for cloud_, why in ((shuffled, "no order"), (points * [-1, 1, 1], "another frame"), (points[:5, :5], "too few")):
        with pytest.raises(ConfigError, match=why):
            fit_lens(*np.moveaxis(cloud_, -1, 0))


def test_features_are_read_with_their_selectors() -> None:
    """Scale, offset and invalid value of each coordinate; readable only once Range is selected; inches; the lens."""
    features = Features(
        ComponentSelector="Intensity", Scan3dOutputMode="ProjectedC", Scan3dDistanceUnit="Inch",
        Scan3dCoordinateScale={"CoordinateA": 0.5, "CoordinateB": 0.25, "CoordinateC": 0.125},
        Scan3dCoordinateOffset={"CoordinateC": 3.0}, Scan3dInvalidDataFlag={"CoordinateC": True},
        Scan3dInvalidDataValue={"CoordinateC": -1.0}, Scan3dFocalLength=1000.0, Scan3dAspectRatio=1.01,
        Scan3dPrincipalPointU=320.0, Scan3dPrincipalPointV=240.0,
    )  # fmt: skip
    features.hidden = ("Scan3dCoordinateScale", "Scan3dDistanceUnit")
    scan = read_scan3d(features)
    assert scan.unit_m == 0.0254 and scan.axes == (Axis(0.5), Axis(0.25), Axis(0.125, 3.0, -1.0))
    assert scan.focal == (1000.0, 1010.0, 320.0, 240.0)


def test_chunks_override_what_was_stated() -> None:
    """A frame's own scale and invalid value count for it; what its chunks leave out stays as stated."""
    stated = Scan3d("CalibratedC", 1e-3, (Axis(2.0), Axis(3.0), Axis(4.0, 5.0, 6.0)))
    features = Features(
        ChunkComponentSelector="Intensity", ChunkScan3dCoordinateSelector="CoordinateA",
        ChunkScan3dCoordinateScale={"CoordinateC": 0.1}, ChunkScan3dInvalidDataFlag={"CoordinateC": False},
    )  # fmt: skip
    assert read_scan3d(features, stated) == replace(stated, axes=(Axis(2.0), Axis(3.0), Axis(0.1, 5.0, None)))
    assert read_scan3d(Features(), stated) == stated


@pytest.mark.parametrize(("name", "value"), [
    ("Scan3dOutputMode", "UncalibratedC"), ("Scan3dOutputMode", "CalibratedABC_PointCloud"),
    ("Scan3dCoordinateSystem", "Spherical"), ("Scan3dDistanceUnit", "Pixel"),
])  # fmt: skip
def test_modes_without_a_metric_image_are_refused(name: str, value: str) -> None:
    """Uncalibrated, unordered, spherical, in pixels: ConfigError that names what to change; the device is closed."""
    camera = abc_camera(**{name: value})
    with pytest.raises(ConfigError, match=value):
        GenICamSource(camera)
    assert camera.calls == ["close"]


def test_frames_of_a_camera_with_clouds() -> None:
    """Depth, colour, lens, number, time, serial and settings are right; the first frame served for the lens alone."""
    camera = abc_camera()
    camera.deliveries.extend((delivered(seed), seed, 10**9 + seed) for seed in range(4))
    with GenICamSource(camera) as source:
        assert camera.calls == ["start", "stop"] and source.intrinsics.fx == pytest.approx(70.0, abs=1e-3)
        for index in range(3):
            frame = source.read(1)
            assert frame.depth is not None and frame.depth_scale == 1.0 and frame.intrinsics == source.intrinsics
            np.testing.assert_allclose(frame.depth, scene(seed=index + 1), rtol=1e-6)
            np.testing.assert_array_equal(frame.color.ravel(), delivered(index + 1)[0].data)
            assert (frame.index, frame.name, frame.serial) == (index, str(index + 1), "SFNC01")
            assert frame.device_time_ns == 10**9 + index + 1 and frame.clock is Clock.DEVICE
            assert frame.period_ns == 50_000_000 and len(frame.settings) == 16
        with pytest.raises(SourceTimeout):
            source.read(0.01)
        before = frame.settings
        source.set_option("ExposureTime", 7000.0)
        camera.deliveries.append((delivered(1), 4, None))
        after = source.read(1)
        assert after.settings != before and after.device_time_ns is None and after.clock is Clock.NONE
    assert camera.calls[-1] == "close"


def test_losses_are_counted_through_the_wrap() -> None:
    """GigE's numbers go 65535 -> 1: lost, repeated and incomplete frames there are each counted once."""
    camera = Camera(Features(**ABC.values), gige=True)
    for number in (65533, 65534, 1, 1, 4):
        camera.deliveries.append((delivered(), number, None))
    with GenICamSource(camera) as source:
        names = [source.read(1).name for _ in range(2)]
        camera.incomplete = 1
        assert source.stats() == Drops(device=1, damaged=1)
        names.append(source.read(1).name)
        assert names == ["65534", "1", "4"] and source.stats() == Drops(device=2, repeated=1, damaged=1)


def test_a_lens_that_no_longer_fits_is_noticed() -> None:
    """The camera was moved to another region or its frame of reference changed: FrameError in the first such frame."""
    camera = abc_camera()
    shifted = delivered(2, replace(LENS, cx=33.0))
    camera.deliveries.extend([(delivered(), 0, None), (shifted, 1, None), (delivered(3), 2, None)])
    with GenICamSource(camera) as source:
        with pytest.raises(FrameError, match=r"3\.0 px off"):
            source.read(1)
        assert source.read(1).index == 1 and source.stats().damaged == 1


def test_depth_alone_needs_a_stated_lens(tmp_path) -> None:
    """CalibratedC: the device's focal length, else a calibration file of this camera, else an error that says so."""
    counts = np.full((48, 64), 500, np.uint16)
    values = ABC.values | {"Scan3dOutputMode": "CalibratedC"}
    camera = Camera(Features(**values))
    camera.deliveries.append(([part("Coord3D_C16", counts)], 0, None))
    with pytest.raises(FrameError, match="calibration file"):
        GenICamSource(camera)
    own = Features(**values, Scan3dFocalLength=70.0, Scan3dPrincipalPointU=31.0, Scan3dPrincipalPointV=24.0)
    camera = Camera(own)
    camera.deliveries.extend([([part("Coord3D_C16", counts)], n, None) for n in range(2)])
    with GenICamSource(camera) as source:
        frame = source.read(1)
        assert frame.intrinsics == Intrinsics(64, 48, 70.0, 70.0, 31.0, 24.0) and (frame.depth == 500).all()
    lens = FittedLens(width=64, height=48, fx=70.0, fy=70.0, cx=31.5, cy=23.5)
    path = tmp_path / "station.json"
    stated = write_calibration(path, Calibration(created="2026-05-04T09:30:00Z", serial="SFNC01", depth=lens))
    camera = Camera(Features(**values))
    camera.deliveries.append(([part("Coord3D_C16", counts)], 0, None))
    with GenICamSource(camera, calibration=str(path)) as source:
        assert camera.calls == [] and source.read(1).calibration_id == stated.id and source.intrinsics.cx == 31.5
    other = Camera(Features(**values))
    other.serial = "SFNC02"
    with pytest.raises(WrongDevice, match="SFNC01"):
        GenICamSource(other, calibration=str(path))


def test_triggers_and_a_camera_that_is_gone() -> None:
    """A software trigger runs the command, or is refused where not set up; a vanished device is SourceDisconnected."""
    camera = abc_camera(TriggerMode="On", TriggerSource="Software")
    camera.deliveries.extend([(delivered(), 0, None), (delivered(1), 1, None)])
    with GenICamSource(camera, features={"ExposureTime": "100"}) as source:
        assert camera.features.executed == ["TriggerSoftware"] and camera.features.get("ExposureTime") == "100"
        source.trigger()
        assert source.read(1).period_ns is None and len(camera.features.executed) == 2
        camera.deliveries.append(RuntimeError("device lost"))
        with pytest.raises(SourceDisconnected, match="device lost"):
            source.read(1)
    camera = abc_camera()
    camera.deliveries.append((delivered(), 0, None))
    with GenICamSource(camera) as source, pytest.raises(ConfigError, match="TriggerSource=Software"):
        source.trigger()
    with pytest.raises(SourceTimeout, match="calibration"):
        GenICamSource(abc_camera())
