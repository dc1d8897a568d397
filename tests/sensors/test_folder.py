# SPDX-License-Identifier: Apache-2.0
"""`folder:` reads what cameras leave behind, and one damaged file costs one frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoded_images import encode, pattern, png_claiming
from rasant.errors import ConfigError, EndOfStream, FrameError, SourceError
from rasant.sensors import open_source
from rasant.types import Clock


def test_frames_carry_what_the_files_hold(make_folder: Callable[..., Path]) -> None:
    """Frames come in natural order with exact pixels, metres per count, intrinsics, names and no device time."""
    path = make_folder("part2", "part10", "part1")
    with open_source(f"folder:{path}") as source:
        assert source.frame_count == 3 and source.intrinsics.fx == 40.0
        frames = list(source)
    assert [frame.name for frame in frames] == ["part1", "part2", "part10"]
    assert [frame.index for frame in frames] == [0, 1, 2]
    np.testing.assert_array_equal(frames[1].color, pattern(24, 32, 3, seed=0))
    np.testing.assert_array_equal(frames[1].depth, pattern(24, 32, dtype=np.uint16, seed=0))
    frame = frames[0]
    assert frame.depth_scale == 0.001 and frame.size == (24, 32) and frame.sample is None
    assert frame.clock is Clock.NONE and frame.device_time_ns is None
    assert frame.source == f"folder:{path}" and 0 < frames[0].arrival_ns <= frames[2].arrival_ns


@pytest.mark.parametrize(("color", "depth"), [(".jpg", ".png"), (".ppm", ".pgm"), (".tiff", ".tiff")])
def test_suffixes_may_differ(make_folder: Callable[..., Path], color: str, depth: str) -> None:
    """Colour and depth pair up by stem, whatever their formats."""
    with open_source(str(make_folder("a", "b", color=color, depth=depth))) as source:
        assert all(frame.color is not None and frame.depth is not None for frame in source)


def test_one_kind_alone_is_enough(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Colour only gives frames without depth, depth only frames without colour."""
    with open_source(f"folder:{make_folder('a', depth=None, root=tmp_path / 'c')}") as source:
        frame = source.read()
        assert frame.depth is None and frame.color is not None
    with open_source(f"folder:{make_folder('a', color=None, root=tmp_path / 'd')}") as source:
        frame = source.read()
        assert frame.color is None and frame.depth is not None


def test_unpaired_files_are_named(make_folder: Callable[..., Path]) -> None:
    """A stem without its counterpart is refused when the source is opened, with the first few names."""
    path = make_folder("a", "b", "c", "d", "e")
    for stem in "abd":
        (path / "depth" / f"{stem}.png").unlink()
    (path / "color" / "e.png").unlink()
    with pytest.raises(ConfigError, match=r"a \(no depth\), b \(no depth\), d \(no depth\) and 1 more"):
        open_source(f"folder:{path}")


def test_two_files_of_one_stem_are_refused(make_folder: Callable[..., Path]) -> None:
    """a.png beside a.jpg is ambiguous, and both names are in the message."""
    path = make_folder("a")
    (path / "color" / "a.jpg").write_bytes(encode(".jpg", pattern(24, 32, 3)))
    with pytest.raises(ConfigError, match=r"a\.jpg and a\.png|a\.png and a\.jpg"):
        open_source(f"folder:{path}")


def test_empty_folder_is_a_source_error(make_folder: Callable[..., Path]) -> None:
    """A folder without any image has nothing to give."""
    with pytest.raises(SourceError, match="neither color/ nor depth/"):
        open_source(f"folder:{make_folder()}")


def damage(path: Path) -> None:
    """Spoil frames b (bomb), c (cut) and d (depth of another size) of a folder of five."""
    (path / "depth" / "b.png").write_bytes(png_claiming(60_000, 60_000))
    whole = (path / "color" / "c.png").read_bytes()
    (path / "color" / "c.png").write_bytes(whole[: len(whole) // 2])
    (path / "depth" / "d.png").write_bytes(encode(".png", pattern(10, 11, dtype=np.uint16)))


def test_a_damaged_frame_uses_up_its_number_and_the_next_is_good(make_folder: Callable[..., Path]) -> None:
    """read() raises FrameError with index and name for each damaged frame, and goes on behind it."""
    path = make_folder(*"abcde")
    damage(path)
    seen: list[tuple[int, str]] = []
    faults: list[tuple[int, str]] = []
    words = ""
    with open_source(f"folder:{path}") as source:
        while True:
            try:
                frame = source.read()
                seen.append((frame.index, frame.name))
            except FrameError as error:
                faults.append((error.index, error.name))
                words = str(error)
            except EndOfStream:
                break
        assert source.stats().damaged == source.stats().total == 3
    assert seen == [(0, "a"), (4, "e")]
    assert faults == [(1, "b"), (2, "c"), (3, "d")]
    assert "depth is 11x10, colour is 32x24" in words


def test_iterating_stops_at_damage_or_goes_on_as_told(make_folder: Callable[..., Path]) -> None:
    """The iterator re-raises FrameError and may be resumed; with skip_damaged it counts and goes on."""
    path = make_folder(*"abcde")
    damage(path)
    with open_source(f"folder:{path}") as source:
        assert next(source).name == "a"
        for _ in "bcd":
            with pytest.raises(FrameError):
                next(source)
        assert next(source).name == "e"
        with pytest.raises(StopIteration):
            next(source)
    with open_source(f"folder:{path}", skip_damaged=True) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == ["a", "e"]
    assert frames[1].drops.damaged == 3


def test_images_must_have_the_size_of_the_camera(make_folder: Callable[..., Path]) -> None:
    """A frame of another size than camera.json is refused with both sizes."""
    path = make_folder("a", depth=None)
    (path / "color" / "a.png").write_bytes(encode(".png", pattern(8, 9, 3)))
    with open_source(f"folder:{path}") as source, pytest.raises(FrameError, match=r"9x8.*32x24"):
        source.read()


def test_a_closed_source_says_so(make_folder: Callable[..., Path]) -> None:
    """Reading after close raises SourceError; closing again is allowed."""
    source = open_source(f"folder:{make_folder('a')}")
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read()


@pytest.mark.captures
@pytest.mark.parametrize("name", ["pcl_mosd_kinect", "open3d_rgbd", "tsdf_kinect_rgbd", "pcl_grabber_openni"])
def test_real_captures_of_others_read_whole(captures: Path, name: str) -> None:
    """Every frame of four real recordings has aligned colour and depth with plausible metres."""
    with open_source(f"folder:{captures / name}") as source:
        frames = list(source)
    assert len(frames) == source.frame_count >= 3
    for frame in frames:
        assert frame.color is not None and frame.depth is not None
        assert frame.color.shape == (480, 640, 3) and frame.depth.shape == (480, 640)
        metres = np.median(frame.depth[frame.depth > 0]) * frame.depth_scale
        assert 0.4 < metres < 4
