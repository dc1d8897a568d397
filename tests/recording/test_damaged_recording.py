# SPDX-License-Identifier: Apache-2.0
"""A crash, a cut, a flipped bit or a hostile file costs the frames it touches, not the others and not the process."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from mcap.data_stream import RecordBuilder
from mcap.records import Channel, Chunk, Footer, Header, Message
from mcap.writer import MCAP0_MAGIC

from rasant.errors import EndOfStream, FrameError, SourceError
from rasant.recording.layout import FRAME_TOPIC, MAX_CHUNK_BYTES
from rasant.recording.mcap_writer import RecordingWriter
from rasant.recording.ros2 import encode_text
from rasant.sensors import open_source
from rasant.sensors.base import Source
from rasant.types import Frame, Intrinsics

FRAMES = 3


def make_frame(number: int) -> Frame:
    rng = np.random.default_rng(number)
    color = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    depth = rng.integers(0, 65535, (4, 6), dtype=np.uint16)
    return Frame(color, depth, 1e-3, Intrinsics(6, 4, 9, 9, 2.5, 1.5), number, "", 0, name=str(number))


@pytest.fixture(scope="module", params=["lz4", "none"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A recording of three frames, and the file size after each of them."""
    path = tmp_path_factory.mktemp("r") / "r.mcap"
    sizes = []
    with RecordingWriter(path, compression=request.param) as writer:
        for number in range(FRAMES):
            writer.write(make_frame(number))
            sizes.append(path.stat().st_size)
    return path.read_bytes(), sizes


def read_all(path: Path) -> tuple[list[Frame], int, Source]:
    """All frames that can be had, checked against what was recorded, the number of FrameErrors, and the source."""
    frames, faults = [], 0
    with open_source(f"replay:{path}") as source:
        for _ in range(50):
            try:
                frames.append(source.read())
            except FrameError:
                faults += 1
            except EndOfStream:
                break
        else:
            pytest.fail("the source does not end")
    for frame in frames:
        expected = make_frame(int(frame.name))
        np.testing.assert_array_equal(frame.color, expected.color)
        np.testing.assert_array_equal(frame.depth, expected.depth)
    assert source.stats().damaged == faults
    return frames, faults, source


def test_cut_anywhere_keeps_every_whole_frame(recording: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """Cut at every eleventh byte and around each record: all frames written before the cut come back, then a note."""
    data, sizes = recording
    path = tmp_path / "cut.mcap"
    edges = {size + near for size in sizes for near in (-2, -1, 0, 1, 9, 10)}
    for end in sorted({*range(0, len(data), 11), *edges}):
        path.write_bytes(data[:end])
        try:
            frames, faults, source = read_all(path)
        except SourceError:
            assert end < sizes[0]
            continue
        whole = sum(size <= end for size in sizes)
        assert len(frames) >= whole and [int(frame.name) for frame in frames] == list(range(len(frames)))
        assert faults == 0
        assert source.note == "" or "cut short" in source.note
        assert source.note or len(frames) == FRAMES


def test_a_flipped_bit_never_gives_wrong_pixels(recording: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """With one bit wrong at any thirteenth byte, every frame that is given is right, and reading always ends."""
    data = bytearray(recording[0])
    path = tmp_path / "flipped.mcap"
    for place in range(0, len(data), 13):
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        data[place] ^= 1 << place % 8
        try:
            read_all(path)
        except SourceError:
            continue


def test_a_damaged_chunk_costs_its_frame_only(recording: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """Damage inside the first or second frame's chunk is one FrameError with its number; the others come back."""
    data, sizes = recording
    for number, place in ((0, sizes[0] - 300), (1, sizes[0] + 200)):
        spoiled = bytearray(data)
        spoiled[place : place + 8] = bytes(8)
        path = tmp_path / "spoiled.mcap"
        path.write_bytes(spoiled)
        with open_source(f"replay:{path}") as source:
            seen: dict[int, str] = {}
            for _ in range(FRAMES):
                try:
                    frame = source.read()
                    seen[frame.index] = frame.name
                except FrameError as error:
                    seen[error.index] = "damaged"
        assert seen == {n: "damaged" if n == number else str(n) for n in range(FRAMES)}


def test_kill_leaves_every_frame_that_was_written(tmp_path: Path) -> None:
    """After SIGKILL in the middle of recording, every frame whose write() had returned is read back."""
    path = tmp_path / "killed.mcap"
    code = (
        "import sys; from pathlib import Path; from rasant.recording.mcap_writer import RecordingWriter\n"
        "from rasant.sensors import open_source\n"
        "source, out = open_source('synthetic:plate?size=64&frames=100000'), RecordingWriter(Path(sys.argv[1]))\n"
        "for frame in source:\n    out.write(frame); print(frame.index, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(12)][-1]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with open_source(str(path)) as source:
        assert source.frame_count is None
        frames = list(source)
    assert len(frames) > written and "cut short" in source.note and source.stats().total == 0


def hostile(*chunks: Chunk) -> bytes:
    """An MCAP file of some chunks, without index."""
    out = RecordBuilder()
    Header("ros2", "x").write(out)
    for chunk in chunks:
        chunk.write(out)
    Footer(0, 0, 0).write(out)
    return MCAP0_MAGIC + out.end() + MCAP0_MAGIC


def make_chunk(body: bytes, *, compression: str = "lz4", size: int | None = None, crc: bool = True) -> Chunk:
    data = lz4.frame.compress(body) if compression == "lz4" else body
    return Chunk(compression, data, 0, 0, zlib.crc32(body) if crc else 0, len(body) if size is None else size)


def test_bombs_are_refused_fast_and_small(tmp_path: Path) -> None:
    """Chunks that unpack to a gigabyte, declare too much or too little, or are packed otherwise cost almost nothing."""
    giant = lz4.frame.compress(bytes(1 << 24)) * 64
    message = RecordBuilder()
    Message(9, 0, b"x", 0, 0).write(message)
    chunks = [
        Chunk("lz4", giant, 0, 0, 0, 1 << 30),
        Chunk("lz4", giant, 0, 0, 0, MAX_CHUNK_BYTES),
        make_chunk(b"abc", size=2**63),
        make_chunk(b"abc", size=2),
        make_chunk(b"abc", compression="zstd"),
        make_chunk(b"\x05" + (2**62).to_bytes(8, "little")),
        make_chunk(message.end()),
    ]
    path = tmp_path / "bomb.mcap"
    path.write_bytes(hostile(*chunks))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    frames, faults, source = read_all(path)
    assert not frames and faults == len(chunks) and not source.note
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


NOTE = json.dumps(
    {
        "images": [], "name": "", "serial": "", "calibration_id": "", "depth_scale": 1.0, "device_time_ns": None,
        "clock": "none", "sample": None,
        "intrinsics": {"width": 6, "height": 4, "fx": 9.0, "fy": 9.0, "cx": 2.5, "cy": 1.5},
    }
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"images": []', '"images": ["depth"]'),
        ('"images": []', '"images": ["video"]'),
        ('"width": 6', '"width": 6, "zoom": 2'),
        ('"width": 6', '"width": -6'),
        ('"clock": "none"', '"clock": "sundial"'),
        ('"depth_scale": 1.0', '"depth_scale": NaN'),
        ('"depth_scale": 1.0', '"depth_scale": 1.0, "pickle": "x"'),
        ('{"images"', '[{"images"'),
        ('"name": ""', '"name": ' + "[" * 5000),
    ],
)
def test_a_hostile_note_is_one_damaged_frame(tmp_path: Path, old: str, new: str) -> None:
    """A frame note of wrong keys, types, sizes or images, behind sound checksums, is a FrameError; the rest is read."""
    bodies = []
    for text in (NOTE, NOTE.replace(old, new, 1), NOTE):
        body = RecordBuilder()
        Channel(1, FRAME_TOPIC, "cdr", {}, 0).write(body)
        Message(1, 0, encode_text(text), 0, 0).write(body)
        bodies.append(body.end())
    path = tmp_path / "note.mcap"
    path.write_bytes(hostile(*map(make_chunk, bodies)))
    with open_source(f"replay:{path}", skip_damaged=True) as source:
        assert [frame.index for frame in source] == [0, 2] and source.stats().damaged == 1


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1])
def test_a_record_longer_than_the_file_ends_it(tmp_path: Path, length: int) -> None:
    """A record that declares terabytes is damage at that place, without an attempt to read it."""
    path = tmp_path / "long.mcap"
    path.write_bytes(hostile()[:-37] + b"\x06" + length.to_bytes(8, "little") + bytes(50))
    frames, faults, source = read_all(path)
    assert not frames and not faults and "before is complete" in source.note


@pytest.mark.parametrize("data", [b"", b"\x89MCAP", b"not a recording at all", MCAP0_MAGIC])
def test_what_is_no_recording_says_so(tmp_path: Path, data: bytes) -> None:
    """Empty, cut and foreign files raise SourceError or end at once with a note; an MCAP of others is named as such."""
    path = tmp_path / "x.mcap"
    path.write_bytes(data)
    with open_source(f"replay:{path}") as source, pytest.raises(SourceError, match=r"no recording|cut short"):
        source.read()


def test_mcap_of_another_program_is_refused(tmp_path: Path) -> None:
    """A sound MCAP file without the channel of rasant is refused when it is opened."""
    from mcap.writer import Writer

    out = io.BytesIO()
    writer = Writer(out)
    writer.start()
    channel = writer.register_channel("/chatter", "json", 0)
    writer.add_message(channel, 0, b"{}", 0)
    writer.finish()
    (tmp_path / "x.mcap").write_bytes(out.getvalue())
    with pytest.raises(SourceError, match="no channel /rasant/frame"):
        open_source(f"replay:{tmp_path / 'x.mcap'}")


def test_random_files_only_raise_source_errors(tmp_path: Path) -> None:
    """300 files of random bytes behind a sound beginning end in SourceError, FrameError or EndOfStream."""
    start, rng = hostile()[:-37], np.random.default_rng(0)
    path = tmp_path / "random.mcap"
    for _ in range(300):
        body = rng.integers(0, 256, int(rng.integers(0, 400)), dtype=np.uint8)
        body[::9] = rng.integers(0, 16)  # opcodes and small lengths come up more often
        path.write_bytes(start + body.tobytes())
        frames, _, _ = read_all(path)
        assert not frames
