# SPDX-License-Identifier: Apache-2.0
"""What goes into a recording comes out bit for bit, in rasant and in ROS 2's own reader."""

from __future__ import annotations

import io
import itertools
import json
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory

from encoded_images import pattern
from rasant.errors import ConfigError, DtypeError, ShapeError, SourceError
from rasant.recording.mcap_writer import COMPRESSIONS, RecordingWriter
from rasant.recording.ros2 import decode_text, encode_text
from rasant.sensors import open_source
from rasant.types import Clock, Frame, Intrinsics, Sample

CAMERA = Intrinsics(7, 5, 40.25, 41.5, 3.0, 2.0, "brown_conrady", (0.1, -0.2, 1e-3, 1 / 3, 1e-300))


def make_frame(seed: int = 0, *, floating: bool = False, color: bool = True, depth: bool = True) -> Frame:
    counts = pattern(5, 7, dtype=np.uint16, seed=seed)
    metres = counts.astype(np.float32) / 3
    metres[0, :4] = np.nan, np.inf, -0.0, 1e-45
    return Frame(
        color=pattern(5, 7, 3, seed=seed) if color else None,
        depth=(metres if floating else counts) if depth else None,
        depth_scale=1.0 if floating else 1 / 3000,
        intrinsics=CAMERA,
        index=seed,
        source="camera:1",
        arrival_ns=10**9 + seed * 33_000_000,
        device_time_ns=2**40 + seed,
        clock=(Clock.DEVICE, Clock.GLOBAL, Clock.HOST)[seed % 3],
        skew_ns=-1_000_003 * seed or None,
        pair=(seed, seed + 1) if seed % 2 else None,
        period_ns=33_333_333,
        settings="0123456789abcdef",
        name=f"teil-ß-{seed}",
        serial="S-17",
        calibration_id="c" * 64,
        sample=Sample("lid", "test", "dent", f"{seed:03d}", pattern(5, 7, seed=seed) > 128),
    )


def record(path: Path, frames: list[Frame], compression: str = "lz4") -> list[Frame]:
    with RecordingWriter(path, compression=compression) as writer:
        for frame in frames:
            writer.write(frame)
    with open_source(f"replay:{path}") as source:
        assert source.frame_count == len(frames)
        return list(source)


def ros_messages(path: Path) -> list[tuple[str, int, Any]]:
    """(topic, log time, message) of every message, decoded by the MCAP project's own ROS 2 reader."""
    with path.open("rb") as file:
        decoded = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        return [(item.channel.topic, item.message.log_time, item.decoded_message) for item in decoded]


def assert_same(found: Frame, expected: Frame) -> None:
    for name in ("color", "depth"):
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            assert a.flags.c_contiguous and a.flags.writeable
    for field in fields(Frame):
        if field.name not in ("color", "depth", "index", "source", "arrival_ns", "drops", "sample", "recorded"):
            assert getattr(found, field.name) == getattr(expected, field.name), field.name
    assert (found.sample is None) == (expected.sample is None)
    if found.sample is not None and expected.sample is not None:
        assert replace(found.sample, truth=None) == replace(expected.sample, truth=None)
        np.testing.assert_array_equal(found.sample.truth, expected.sample.truth)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("floating", [False, True])
def test_frames_come_back_bit_for_bit(tmp_path: Path, compression: str, floating: bool) -> None:
    """Pixels (uint16, and float32 with NaN, -0 and denormals), intrinsics, times, labels and masks are unchanged."""
    frames = [make_frame(seed, floating=floating) for seed in range(3)]
    for found, expected in zip(record(tmp_path / "r.mcap", frames, compression), frames, strict=True):
        assert_same(found, expected)
        assert found.source.startswith("replay:") and found.arrival_ns != expected.arrival_ns


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_incomplete_frames_stay_incomplete(tmp_path: Path, compression: str) -> None:
    """Colour only, depth only, without label, without mask and without time stamp: each comes back as it was."""
    plain = replace(make_frame(3), sample=None, device_time_ns=None, clock=Clock.NONE, serial="", name="")
    unmasked = replace(make_frame(4), sample=Sample("lid", "test", "dent", "9", None))
    frames = [make_frame(0, color=False), make_frame(1, depth=False), plain, unmasked]
    for found, expected in zip(record(tmp_path / "r.mcap", frames, compression), frames, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_equal_files_frames_give_equal_recordings(tmp_path: Path, compression: str) -> None:
    """Frames without time stamps record to the same bytes every time, and no folder of this machine is in them."""
    for name in ("a", "b"):
        source = "dataset:/home/me/lid?split=test"
        with RecordingWriter(tmp_path / name, source=source, compression=compression) as writer:
            for seed in range(3):
                frame = replace(make_frame(seed), clock=Clock.NONE, device_time_ns=None)
                writer.write(replace(frame, arrival_ns=time.monotonic_ns()))
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    assert b"dataset:lid?split=test" in data and b"/home/me" not in data


def test_another_reader_understands_it(tmp_path: Path) -> None:
    """The reader of the MCAP project decodes every channel by its schema, to the same pixels and camera."""
    frame = make_frame(5)
    record(tmp_path / "r.mcap", [frame])
    found = {topic: message for topic, _, message in ros_messages(tmp_path / "r.mcap")}
    assert set(found) == {
        "/camera/color/image", "/camera/depth/image", "/camera/camera_info", "/truth/mask", "/rasant/frame",
    }
    color, depth, info = (found[f"/camera/{name}"] for name in ("color/image", "depth/image", "camera_info"))
    assert (color.height, color.width, color.encoding, color.step) == (5, 7, "rgb8", 21)
    assert color.data == frame.color.tobytes() and depth.data == frame.depth.tobytes()  # type: ignore[union-attr]
    assert depth.encoding == "16UC1" and depth.header.frame_id == "camera"
    assert depth.header.stamp.sec * 10**9 + depth.header.stamp.nanosec == frame.device_time_ns
    assert list(info.d) == list(CAMERA.distortion) and info.distortion_model == "plumb_bob"
    assert list(info.k) == [CAMERA.fx, 0, CAMERA.cx, 0, CAMERA.fy, CAMERA.cy, 0, 0, 1]
    assert list(info.p)[:4] == [CAMERA.fx, 0, CAMERA.cx, 0] and info.roi.do_rectify is False


def test_settings_and_calibration_stand_before_the_frames(tmp_path: Path) -> None:
    """A recording carries the camera's settings and its calibration file, for any MCAP reader, also one cut short."""
    path = tmp_path / "s.mcap"
    with RecordingWriter(path, settings={"depth.laser_power": 150.0}, calibration='{"serial": "S-17"}') as writer:
        writer.write(make_frame())
        writer.write(make_frame(1))
        cut = path.read_bytes()
    with path.open("rb") as file:
        reader = make_reader(file)
        assert json.loads(next(iter(reader.iter_metadata())).metadata["settings"]) == {"depth.laser_power": 150.0}
        attached = next(iter(reader.iter_attachments()))
        assert (attached.name, attached.data) == ("calibration.json", b'{"serial": "S-17"}')
    path.write_bytes(cut)
    records = StreamReader(io.BytesIO(cut)).records
    kinds = [type(record).__name__ for record in itertools.islice(records, 4)]
    assert kinds[1:3] == ["Metadata", "Attachment"]
    with open_source(str(path)) as source:
        assert len(list(source)) == 2 and "cut short" in source.note


def test_compressed_images_are_plain_png(tmp_path: Path) -> None:
    """With PNG, ROS sees png and compressedDepth messages: after 12 bytes of settings the depth is a PNG file."""
    record(tmp_path / "r.mcap", [make_frame(5)], "png")
    found = {topic: message for topic, _, message in ros_messages(tmp_path / "r.mcap")}
    assert found["/camera/color/image/compressed"].format == "png"
    depth = found["/camera/depth/image/compressedDepth"]
    assert depth.format == "16UC1; compressedDepth png" and bytes(depth.data[12:16]) == b"\x89PNG"


def test_log_times_follow_the_arrival(tmp_path: Path) -> None:
    """Stamped frames are logged at their arrival; unstamped ones at even steps of 1 / fps."""
    for clock, step in ((Clock.DEVICE, 33_000_000), (Clock.NONE, 50_000_000)):
        path = tmp_path / f"{clock.value}.mcap"
        with RecordingWriter(path, fps=20) as writer:
            for seed in range(3):
                writer.write(replace(make_frame(seed), clock=clock))
        times = sorted({log_time for _, log_time, _ in ros_messages(path)})
        assert np.diff(times).tolist() == [step, step]


def test_wrong_frames_and_files_are_refused(tmp_path: Path) -> None:
    """Other dtypes and sizes, an existing file, an unknown compression and a missing folder raise their errors."""
    path = tmp_path / "r.mcap"
    with RecordingWriter(path) as writer:
        with pytest.raises(DtypeError, match="depth must be uint16 or float32, got float64"):
            writer.write(replace(make_frame(), depth=np.zeros((5, 7))))  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match=r"color must be \(5, 7, 3\)"):
            writer.write(replace(make_frame(), color=np.zeros((5, 8, 3), np.uint8)))
        for camera in (replace(CAMERA, fx=float("nan")), replace(CAMERA, distortion=(0.1,)), replace(CAMERA, fy=0.0)):
            with pytest.raises(ConfigError, match="frame 0 cannot be recorded"):
                writer.write(replace(make_frame(), intrinsics=camera))
        writer.write(make_frame())
    with pytest.raises(ConfigError, match="exists"):
        RecordingWriter(path)
    with pytest.raises(ConfigError, match="compression must be lz4, png, none"):
        RecordingWriter(tmp_path / "n.mcap", compression="zip")
    with pytest.raises(SourceError, match="cannot be written"):
        RecordingWriter(tmp_path / "no" / "folder.mcap")
    with open_source(str(path)) as source:
        assert len(list(source)) == 1


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=50))
def test_any_text_survives_cdr(text: str) -> None:
    """Strings of any language survive the encoding; a cut anywhere raises ValueError."""
    data = encode_text(text)
    assert decode_text(memoryview(data)) == text
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"cut short|little-endian|codec|unpack"):
            decode_text(memoryview(data)[:end])
