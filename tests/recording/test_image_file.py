# SPDX-License-Identifier: Apache-2.0
"""Images from files: exact where they are sound, refused fast where a header lies or the file is cut."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from encoded_images import chunk, encode, jpeg_claiming, pattern, png_claiming, tiff_claiming
from rasant.errors import FrameError
from rasant.recording.image_file import decode_color, decode_depth, decode_mask, decode_points, read_bytes
from rasant.recording.image_header import MAX_PIXELS, read_header

COLOR, DEPTH = pattern(37, 53, 3), pattern(37, 53, dtype=np.uint16)
SMOOTH = cv2.GaussianBlur(COLOR, (0, 0), 4)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_colour_is_exact_rgb(suffix: str) -> None:
    """PNG, TIFF and PPM give back the RGB bytes that were written; grey files give three equal channels."""
    np.testing.assert_array_equal(decode_color(encode(suffix, COLOR), "x"), COLOR)
    if suffix != ".ppm":
        np.testing.assert_array_equal(decode_color(encode(suffix, COLOR[..., 0]), "x"), COLOR[..., :1].repeat(3, 2))


def test_jpeg_colour_keeps_red_in_front() -> None:
    """A JPEG decodes to RGB within its loss."""
    found = decode_color(encode(".jpg", SMOOTH), "x").astype(int)
    assert np.abs(found - SMOOTH).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_depth_is_exact_16_bit(suffix: str) -> None:
    """PNG, TIFF and big-endian PGM give back every uint16 count."""
    np.testing.assert_array_equal(decode_depth(encode(suffix, DEPTH), "x"), DEPTH)


def test_depth_of_another_kind_is_refused() -> None:
    """8-bit, three-channel and float images are no depth, and the message says what came."""
    for pixels, words in ((COLOR[..., 0], "8-bit 1-channel"), (COLOR, "8-bit 3-channel")):
        with pytest.raises(FrameError, match=words):
            decode_depth(encode(".png", pixels), "d.png")
    with pytest.raises(FrameError, match="32-float"):
        decode_depth(encode(".tiff", DEPTH.astype(np.float32)), "d.tiff")
    with pytest.raises(FrameError, match="16-bit"):
        decode_color(encode(".png", DEPTH), "c.png")


def test_mask_is_true_wherever_any_channel_is_above_zero() -> None:
    """Masks take 253, 254 and 1 for true; colour masks are true where any channel is."""
    values = np.array([[0, 1, 253], [254, 255, 0]], np.uint8)
    np.testing.assert_array_equal(decode_mask(encode(".png", values), "m"), values > 0)
    painted = np.zeros((2, 3, 3), np.uint8)
    painted[0, 1, 2] = 7
    np.testing.assert_array_equal(decode_mask(encode(".png", painted), "m"), painted.any(axis=2))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}])
def test_points_agree_with_tifffile(tmp_path: Path, options: dict[str, object]) -> None:
    """float32 clouds come back bit for bit in x, y, z order, NaN included, however the TIFF packs them."""
    cloud = np.random.default_rng(0).normal(size=(40, 33, 3)).astype(np.float32)
    cloud[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "p.tiff", cloud, photometric="rgb", **options)
    np.testing.assert_array_equal(decode_points(read_bytes(tmp_path / "p.tiff"), "p"), cloud)


def test_points_of_another_kind_are_refused() -> None:
    """A cloud must be float32 with three channels: uint16, one channel and double are refused."""
    for bits, channels, floating in ((16, 3, False), (32, 1, True), (64, 3, True)):
        data = tiff_claiming(2, 2, bits, channels, floating, stored=96)
        with pytest.raises(FrameError, match="float32 TIFF of 3 channels"):
            decode_points(data, "p.tiff")


@pytest.mark.parametrize(
    "data",
    [
        png_claiming(60_000, 60_000),
        tiff_claiming(60_000, 60_000, 16, 1, False),
        tiff_claiming(60_000, 60_000, 32, 3, True),
        jpeg_claiming(60_000, 60_000),
        b"P5 60000 60000 65535\n" + bytes(100),
        png_claiming(7_900, 7_900),
        tiff_claiming(7_900, 7_900, 16, 1, False),
        jpeg_claiming(7_900, 7_900),
        b"P5 7900 7900 65535\n" + bytes(100),
    ],
    ids=lambda data: f"{data[:4]!r}-{len(data)}",
)
@pytest.mark.parametrize("decode", [decode_color, decode_depth, decode_points, decode_mask])
def test_bombs_are_refused_fast_and_small(data: bytes, decode: Callable[[bytes, str], object]) -> None:
    """A header of 60000 x 60000, or just under the limit without the bytes for it, costs under 0.1 s and 32 MiB."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(FrameError):
        decode(data, "bomb")
    assert time.process_time() - start < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".ppm"])
def test_every_cut_is_an_error_and_never_stale_pixels(suffix: str) -> None:
    """After a good file is decoded, the same file cut at any of 60 places raises FrameError."""
    data = encode(suffix, SMOOTH)
    decode_color(data, "whole")
    for end in np.unique(np.linspace(0, len(data) - 1, 60).astype(int)):
        with pytest.raises(FrameError, match=r"^cut: "):
            decode_color(data[:end], "cut")


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    """Every one of 200 single-bit flips in a PNG raises FrameError: each chunk has a checksum."""
    data = bytearray(encode(".png", DEPTH))
    for place in np.random.default_rng(0).integers(8, len(data), 200):
        data[place] ^= 4
        with pytest.raises(FrameError):
            decode_depth(bytes(data), "flipped")
        data[place] ^= 4
    np.testing.assert_array_equal(decode_depth(bytes(data), "restored"), DEPTH)


def test_exif_rotation_does_not_turn_the_colour_away_from_its_depth() -> None:
    """A JPEG that asks to be shown turned by 90 degrees keeps the size of its pixels."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = encode(".jpg", SMOOTH)
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    assert decode_color(turned, "turned").shape == SMOOTH.shape


def test_a_thumbnail_does_not_end_a_cut_jpeg() -> None:
    """The end marker of a thumbnail inside a segment is not taken for that of the picture."""
    jpeg = encode(".jpg", SMOOTH)
    segment = b"\xff\xe1" + (2 + len(jpeg)).to_bytes(2, "big") + jpeg
    with pytest.raises(FrameError, match="no end marker"):
        decode_color(jpeg[:2] + segment + jpeg[2:-40], "cut")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(50), "not PNG, JPEG"),
        (png_claiming(0, 5), "0x5"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", bytes(13)), "IHDR"),
        (b"\xff\xd8\xff\xd9", "no frame header"),
        (b"II*\0\x08\0\0\0\x00\x00", "0x0"),
        (b"P5 3 x", "damaged"),
    ],
)
def test_other_faults_are_named(data: bytes, words: str) -> None:
    """Empty, foreign, empty-sized and headless files say so."""
    with pytest.raises(FrameError, match=words):
        decode_color(data, "f")


def test_missing_file_and_folder_are_frame_errors(tmp_path: Path) -> None:
    """A file that vanished, or a folder in its place, costs one frame and not the run."""
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(FrameError, match="cannot be read"):
            read_bytes(path)


MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"P5 ", b"P6 ", b"")


@given(st.sampled_from(MAGIC), st.binary(max_size=300))
def test_random_bytes_only_ever_raise_value_error(magic: bytes, rest: bytes) -> None:
    """Whatever follows a magic number, the header is read within the limits or ValueError is raised."""
    try:
        header = read_header(magic + rest)
    except ValueError:
        return
    assert 0 < header.width * header.height <= MAX_PIXELS


@given(st.sampled_from([".png", ".jpg", ".tiff", ".ppm"]), st.integers(0, 10**6), st.integers(0, 255))
def test_one_wrong_byte_gives_the_declared_size_or_a_frame_error(suffix: str, place: int, value: int) -> None:
    """A changed byte anywhere in a file never gives another exception or another shape than its header declares."""
    data = bytearray(encode(suffix, SMOOTH))
    data[place % len(data)] = value
    try:
        pixels = decode_color(bytes(data), "wrong")
    except FrameError:
        return
    header = read_header(bytes(data))
    assert pixels.shape == (header.height, header.width, 3)
