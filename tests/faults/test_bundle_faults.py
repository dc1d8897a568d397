# SPDX-License-Identifier: Apache-2.0
"""Hostile and damaged archives and checkpoints: each is refused in memory, before a byte is written (M7, M8, M12)."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostile_bundle import bundle_bytes, entry, good_model, manifest_json, zip_bytes
from rasant.bundle.archive import Limits
from rasant.bundle.reader import read_bundle, read_bundle_bytes
from rasant.bundle.tensors import write_tensors
from rasant.bundle.tensors_check import check_tensors
from rasant.errors import BundleError, CheckpointError, IntegrityError, UnsafeBundle

MEMORY_MAX = 32 << 20


@pytest.fixture(autouse=True)
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the archive says, reading it leaves no file."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    yield
    assert set(tmp_path.rglob("*")) == before


def refuse(data: bytes, match: str, kind: type[BundleError] = UnsafeBundle) -> None:
    """Reading `data` raises, and takes little memory on the way, whatever the archive claims."""
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=match):
            read_bundle_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX
    finally:
        tracemalloc.stop()


def with_entry(info: zipfile.ZipInfo, data: bytes = b"x", method: int = zipfile.ZIP_STORED) -> bytes:
    """A good bundle with one more entry."""
    buffer = io.BytesIO(bundle_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(info, data, compress_type=method)
    return buffer.getvalue()


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace a name of the same length in both headers, which zipfile itself would refuse or correct."""
    assert len(old) == len(new) and data.count(old) >= 2
    return data.replace(old, new)


def edit_directory(data: bytes, name: bytes, offset: int, layout: str, value: int) -> bytes:
    """Overwrite one field of an entry in the central directory."""
    position = data.rindex(name) - 46
    assert data[position : position + 4] == b"PK\x01\x02"
    changed = bytearray(data)
    struct.pack_into(layout, changed, position + offset, value)
    return bytes(changed)


# M7: the archive --------------------------------------------------------------------------------------------------

NAMES = {
    "../../owned": "leaves the bundle", "a/../../b/c": "leaves the bundle", "..": "leaves the bundle",
    "/etc/cron.d/owned": "absolute", "C:/owned.exe": "drive letter", "c:owned.exe": "drive letter",
    "..\\..\\owned": "backslash", "a\\owned.txt": "backslash", "folder/": "folder", "a//b.txt": "must be of",
    "./a.txt": "must be of", "a/./b.txt": "must be of", ".hidden": "must be of", "a b.txt": "must be of",
    "tab\there": "must be of", "new\nline": "must be of", "~/x": "must be of", "$HOME": "must be of",
    "con:txt": "must be of", "x" * 200: "at most 128", "a/" * 60 + "../../x": "at most 128|leaves",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_m7_names_that_could_leave_a_folder_are_refused(name: str) -> None:
    """Zip slip in every dress: the name itself is refused, so no later code can misuse it."""
    stand_in = "N" * len(name)
    refuse(patched(with_entry(zipfile.ZipInfo(stand_in)), stand_in.encode(), name.encode()), NAMES[name])


@pytest.mark.parametrize("name", ["na\u00efve.txt", "\u202etxt.exe", "\uff0e\uff0e/x"], ids=ascii)
def test_m7_names_that_are_not_ascii_are_refused(name: str) -> None:
    """Unicode look-alikes, direction marks and code pages have no place in a bundle."""
    refuse(with_entry(zipfile.ZipInfo(name)), "ASCII")


def test_m7_a_name_with_a_nul_is_refused() -> None:
    """A C library would end the name at the NUL, Python would not."""
    data = patched(with_entry(zipfile.ZipInfo("a.txtN.png")), b"a.txtN.png", b"a.txt\0.png")
    refuse(data, "must be of")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_m7_links_folders_and_devices_are_refused(kind: int) -> None:
    """Only regular files are allowed."""
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = (kind | 0o777) << 16
    refuse(with_entry(info, b"/etc/passwd"), "regular file")


def test_m7_duplicate_names_are_refused() -> None:
    """Two entries of one name: two readers would see two models."""
    with pytest.warns(UserWarning, match="Duplicate"):
        data = with_entry(zipfile.ZipInfo("detector.onnx"), b"evil")
    refuse(data, "occurs twice")


@pytest.mark.parametrize("name", ["Detector.onnx", "MANIFEST.JSON"])
def test_m7_names_that_differ_in_case_only_are_refused(name: str) -> None:
    """On a file system without case they would be one file."""
    refuse(with_entry(zipfile.ZipInfo(name)), "case only")


def test_m7_an_encrypted_entry_is_refused() -> None:
    """Encrypted entries cannot be scanned."""
    refuse(edit_directory(bundle_bytes(), b"detector.onnx", 8, "<H", 1), "encrypted")


@pytest.mark.parametrize(("flag", "match"), [(0x8, "after its data"), (0x20, "unknown flags"), (0x2000, "encrypted")])
def test_m7_entries_with_other_flags_are_refused(flag: int, match: str) -> None:
    """Data descriptors, patches and masked headers are refused."""
    refuse(edit_directory(bundle_bytes(), b"detector.onnx", 8, "<H", flag), match)


@pytest.mark.parametrize("inner", ["plain.txt", "model.onnx", "archive.txt"])
def test_m7_a_nested_archive_is_refused(inner: str) -> None:
    """A zip inside the bundle is refused whatever it is called."""
    refuse(with_entry(zipfile.ZipInfo(inner), zip_bytes({"a": b"b"})), "itself a zip")


def test_m7_an_honest_bomb_is_refused() -> None:
    """20 MB of zeros in 20 kB: the declared ratio is refused before inflating."""
    info = zipfile.ZipInfo("zeros.txt")
    refuse(with_entry(info, bytes(20_000_000), zipfile.ZIP_DEFLATED), "more than 100 times")


def test_m7_a_bomb_that_lies_about_its_size_is_refused() -> None:
    """An entry that inflates to more than it declares is stopped at the first byte too many."""
    data = with_entry(zipfile.ZipInfo("zeros.txt"), bytes(20_000_000), zipfile.ZIP_DEFLATED)
    changed = data.replace(struct.pack("<I", 20_000_000), struct.pack("<I", 1000))
    refuse(changed, "does not inflate")


@pytest.mark.parametrize("size", [4_000_000_000, 0xFFFFFFFF])
def test_m7_a_declared_size_of_gigabytes_is_refused(size: int) -> None:
    """The declared size is checked before it is used."""
    refuse(edit_directory(bundle_bytes(), b"detector.onnx", 24, "<I", size), "at most")


def test_m7_a_ten_gigabyte_zip64_bomb_is_refused() -> None:
    """zip64 exists for what a bundle never is."""
    info = zipfile.ZipInfo("big.txt")
    info.extra = struct.pack("<2H2Q", 1, 16, 10 << 30, 10 << 20)
    refuse(with_entry(info), "zip64")


def test_m7_entries_that_share_data_are_refused() -> None:
    """Overlapping entries (the quoted-overlap bomb) inflate one byte many times."""
    data = with_entry(zipfile.ZipInfo("second.txt"))
    refuse(edit_directory(data, b"second.txt", 42, "<I", 0), "gap or overlap|contradicts")


@pytest.mark.parametrize("count", [65, 60_000])
def test_m7_too_many_entries_are_refused_unread(count: int) -> None:
    """The end record's count is enough to refuse."""
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, 46 * count, 0, 0)
    refuse(bytes(46 * count) + end, "at most 64 entries")


def test_m7_a_million_entries_are_refused_unread() -> None:
    """46 MB of directory are not parsed."""
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    refuse(bytes(46) * 1_000_000 + end, "at most 64 entries|zip64")


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06", b"\0" * 22, b"not a zip at all, but longer than 22 bytes"])
def test_m7_what_is_no_zip_is_refused(data: bytes) -> None:
    """Other files are refused as such."""
    refuse(data, "not a bundle|directory", BundleError)


@pytest.mark.parametrize("extra", [b"#!/bin/sh\n", b"\0"])
def test_m7_bytes_around_the_archive_are_refused(extra: bytes) -> None:
    """A prefix (a script, another file) or a suffix is refused: the bundle is the whole file."""
    refuse(extra + bundle_bytes(), "directory|start at|header")
    refuse(bundle_bytes() + extra, "cut short, or bytes follow")


def test_m7_an_archive_comment_is_refused() -> None:
    """Comments are a place to hide things in."""
    buffer = io.BytesIO(bundle_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"x" * 30
    refuse(buffer.getvalue(), "cut short|comment")


def test_m7_headers_that_disagree_are_refused() -> None:
    """The local header and the directory must tell the same story."""
    data = bytearray(bundle_bytes())
    position = data.index(good_model()) - len("detector.onnx")
    data[position : position + 13] = b"detectoR.onnx"
    refuse(bytes(data), "contradicts")


@pytest.mark.parametrize("path", ["folder", "pipe", "missing", "/dev/zero", "nul\0name"])
def test_m7_what_is_no_regular_file_is_refused_without_waiting(path: str, tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, a device without end: refused at once, not read."""
    target = tmp_path / path
    if path == "folder":
        target.mkdir()
    elif path == "pipe":
        os.mkfifo(target)
    failure: list[BaseException] = []

    def read() -> None:
        try:
            read_bundle(target)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive() and isinstance(failure[0], BundleError)
    if path == "folder":
        target.rmdir()
    elif path == "pipe":
        target.unlink()


def test_m7_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    """A sparse file of 2 GB is refused by its size."""
    target = tmp_path / "large.rasant"
    with target.open("wb") as stream:
        stream.truncate(2 << 30)
    with pytest.raises(BundleError, match="at most"):
        read_bundle(target)
    target.unlink()


def test_m7_the_total_size_is_limited() -> None:
    """Many entries below the limit each, above it together."""
    files = {f"part{index}.txt": bytes(1000) for index in range(20)}
    with pytest.raises(UnsafeBundle, match="inflate to at most"):
        read_bundle_bytes(bundle_bytes(files=files), limits=Limits(total_bytes=16_000, entry_bytes=15_000))


# M8: sizes, hashes and lists --------------------------------------------------------------------------------------

INTEGRITY: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other hash": (lambda m: m["files"]["detector.onnx"].update(sha256="0" * 64), "SHA-256 differs"),
    "other size": (lambda m: m["files"]["detector.onnx"].update(size=5), "manifest says 5 bytes"),
    "missing file": (lambda m: m["files"].update({"more.txt": entry(b"")}), "missing .'more.txt'"),
    "file that escapes": (lambda m: m["files"].update({"../x.txt": entry(b"")}), "leaves the bundle"),
}


@pytest.mark.parametrize("case", INTEGRITY)
def test_m8_a_manifest_that_differs_from_the_files_is_refused(case: str) -> None:
    """Every listed file is there, with its size and hash."""
    edit, match = INTEGRITY[case]
    refuse(bundle_bytes(edit=edit), match, BundleError)


def test_m8_a_file_that_is_not_listed_is_refused() -> None:
    """Nothing rides along unseen."""
    refuse(with_entry(zipfile.ZipInfo("extra.txt")), "not listed .'extra.txt'", IntegrityError)


def test_m8_a_second_graph_that_no_one_checks_is_refused() -> None:
    """An .onnx file that the manifest does not name as a graph would never be checked."""
    refuse(bundle_bytes(files={"other.onnx": good_model()}), "must be listed in graphs", IntegrityError)


@pytest.mark.parametrize("place", ["detector.onnx", "manifest.json"])
def test_m8_one_flipped_bit_is_found(place: str) -> None:
    """A flipped bit anywhere in an entry is found by checksum or hash, even where the zip checksum was corrected."""
    files = {"manifest.json": json.dumps({**manifest_json()}).encode(), "detector.onnx": good_model()}
    data = bytearray(zip_bytes(files))
    start = data.index(files[place])
    for bit in np.random.default_rng(1).integers(0, 8 * len(files[place]), 20):
        changed = bytearray(data)
        changed[start + bit // 8] ^= 1 << (bit % 8)
        refuse(bytes(changed), "checksum", IntegrityError)
    model = bytearray(good_model())
    model[len(model) // 2] ^= 1
    fixed = zip_bytes({**files, "detector.onnx": bytes(model)})
    refuse(fixed, "SHA-256", IntegrityError)


def test_m8_damaged_deflate_data_is_refused() -> None:
    """A broken deflate stream is an error, never a crash or silence."""
    data = bytearray(bundle_bytes(method=zipfile.ZIP_DEFLATED))
    assert read_bundle_bytes(bytes(data)).manifest.method == "tiny"
    start = data.index(b"detector.onnx") + 13
    data[start : start + 40] = b"\xff" * 40
    refuse(bytes(data), "damaged|does not inflate", BundleError)


# M12: checkpoints -------------------------------------------------------------------------------------------------


def tensors(header: object, data: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8), **more: object) -> dict[str, object]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}


CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "at least 8 bytes"),
    "huge header": (tensors(one(), size=2**63), "header claims"),
    "largest header": (tensors(one(), size=2**64 - 1), "header claims"),
    "header longer than the file": (tensors(one(), size=1000), "cut short"),
    "header of spaces": (tensors(b"   {}"), "starts with"),
    "header that is a list": (tensors(b"[]"), "starts with"),
    "broken JSON": (tensors(b'{"w": '), "not valid JSON"),
    "not UTF-8": (tensors(b'{"\xff": 1}'), "not valid JSON"),
    "deep nesting": (tensors(b'{"w":' * 100_000), "nested too deep|not valid JSON"),
    "name given twice": (tensors(b'{"w": {}, "w": {}}'), "given twice"),
    "NaN": (tensors(b'{"w": NaN}'), "not a number"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "safetensors"),
    "cut short": (tensors(one(), bytes(7)), "cut short"),
    "trailing bytes": (tensors(one(), bytes(9)), "belong to no tensor"),
    "negative offset": (tensors(one(offsets=(-8, 0)), bytes(8)), "data_offsets"),
    "reversed offsets": (tensors(one(offsets=(8, 0)), bytes(8)), "needs 8 bytes"),
    "fractional offset": (tensors(one(offsets=(0, 8.0)), bytes(8)), "data_offsets"),
    "boolean offset": (tensors(one(offsets=(False, 8)), bytes(8)), "data_offsets"),
    "three offsets": (tensors(one(offsets=(0, 4, 8)), bytes(8)), "data_offsets"),
    "overflowing shape": (tensors(one(shape=(2**62, 2**62, 4)), bytes(8)), "needs"),
    "huge size": (tensors(one(shape=(2**64,)), bytes(8)), "shape"),
    "negative size": (tensors(one(shape=(-2,)), bytes(8)), "shape"),
    "text size": (tensors(one(shape=("2",)), bytes(8)), "shape"),
    "unknown dtype": (tensors(one(dtype="OBJECT"), bytes(8)), "dtype"),
    "dtype that is a list": (tensors(one(dtype=["F32"]), bytes(8)), "dtype"),
    "unknown key": (tensors(one(code="x"), bytes(8)), "must have dtype"),
    "tensor that is a number": (tensors({"w": 1}), "must have dtype"),
    "metadata that is no text": (tensors({"__metadata__": {"a": 1}}), "__metadata__"),
    "overlap": (tensors({**one(), "v": one()["w"]}, bytes(8)), "overlaps"),
    "gap": (tensors({**one(), "v": one(offsets=(12, 20))["w"]}, bytes(20)), "gap"),
    "gap at the start": (tensors(one(offsets=(4, 12)), bytes(12)), "gap"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_m12_damaged_and_hostile_checkpoints_are_refused(case: str) -> None:
    """Each lie of a safetensors header is found before a tensor is made."""
    data, match = CHECKPOINTS[case]
    with pytest.raises(CheckpointError, match=match):
        check_tensors(data)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_m12_weights_that_are_not_finite_are_found(dtype: str, value: float) -> None:
    """`finite=True` finds one bad number at the end of a long tensor; without it the file is accepted."""
    data = write_tensors({"a": np.ones(3, "i4"), "w": np.append(np.zeros(2_100_000, dtype), np.array(value, dtype))})
    check_tensors(data)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        check_tensors(data, finite=True)


def test_m12_bfloat16_is_looked_at_too() -> None:
    """numpy has no bfloat16, so its bits are checked."""
    for bits, good in ((0x3F80, True), (0x7F80, False), (0xFF80, False), (0x7FC0, False), (0x7F7F, True)):
        data = tensors(one("BF16", (1,), (0, 2)), struct.pack("<H", bits))
        if good:
            check_tensors(data, finite=True)
        else:
            with pytest.raises(CheckpointError, match="NaN"):
                check_tensors(data, finite=True)


def test_a_bundle_with_a_damaged_golden_file_is_refused() -> None:
    """Golden tensors pass the same checks when the bundle is read."""
    golden = write_tensors({"w": np.ones(4, np.float32)})[:-1]
    edit: Callable[[dict[str, Any]], object] = lambda m: m["parity"].update(golden="golden.safetensors")  # noqa: E731
    refuse(bundle_bytes(files={"golden.safetensors": golden}, edit=edit), "cut short", IntegrityError)  # type: ignore[arg-type]


def test_zlib_is_the_only_decompressor() -> None:
    """bzip2 and LZMA entries are refused by their method: fewer decoders, fewer faults."""
    assert zlib.ZLIB_VERSION
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refuse(bundle_bytes(method=method), "compression method|unknown flags")
