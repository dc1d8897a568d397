# SPDX-License-Identifier: Apache-2.0
"""A zip reader that accepts only what a bundle needs, and refuses everything else before it inflates a byte.

`zipfile` trusts the central directory and believes in comments, prefixes, zip64, data descriptors and duplicate names;
each of them lets two readers see two different archives. Here an archive is: local entries one after the other from
byte 0, stored or deflated, then the central directory in the same order, then the end record as the last 22 bytes
(PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4). Nothing is ever written to disk.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from dataclasses import dataclass

from rasant.errors import BundleError, IntegrityError, UnsafeBundle

__all__ = ["DEFAULT_LIMITS", "Limits", "check_name", "read_archive"]

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_STREAMED = 0x0008
_UTF8 = 0x0800
_KNOWN_FLAGS = 0x0006 | _UTF8  # deflate's speed bits mean nothing to a reader
_REFUSED_EXTRAS = {0x0001: "zip64 sizes", 0x7075: "a second name", 0x9901: "encryption"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_NESTED = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x01\x02")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may cost."""

    archive_bytes: int = 1 << 30
    entries: int = 64
    entry_bytes: int = 1 << 30
    total_bytes: int = 1 << 30
    ratio: int = 100  # inflated / compressed, for entries above `ratio_from`
    ratio_from: int = 1 << 16
    name_length: int = 128


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int  # of the local header


def read_archive(data: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """Every file of an archive, by name, in archive order.

    Raises UnsafeBundle for hostile or ambiguous archives, IntegrityError for damaged contents, BundleError for data
    that is no zip at all. All names, sizes and kinds are checked before anything is inflated.
    """
    if len(data) > limits.archive_bytes:
        raise UnsafeBundle(f"a bundle must be at most {limits.archive_bytes} bytes, got {len(data)}")
    count, directory = _end_record(data)
    if count > limits.entries:
        raise UnsafeBundle(f"a bundle must have at most {limits.entries} entries, got {count}")
    entries = _directory(data, directory, count, limits)
    _check_together(entries, limits)
    contents: dict[str, bytes] = {}
    position = 0
    for entry in entries:
        if entry.start != position:
            raise UnsafeBundle(f"entry {entry.name!r} must start at byte {position}, got {entry.start}: gap or overlap")
        body = _body(data, entry, directory)
        position = body + entry.packed
        contents[entry.name] = _content(data[body:position], entry)
    if position != directory:
        raise UnsafeBundle(f"{directory - position} bytes stand between the last entry and the directory")
    return contents


def check_name(name: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a name that could leave a folder or mean different things on different systems.

    Raises UnsafeBundle. Allowed: ASCII letters, digits, `_ - .`, in parts joined by `/`, no part starting with a dot.
    """
    if len(name) > limits.name_length:
        raise UnsafeBundle(f"an entry's name must have at most {limits.name_length} characters, got {len(name)}")
    if name.startswith("/"):
        raise UnsafeBundle(f"entry {name!r} has an absolute path; names must be relative")
    if ".." in name.split("/"):
        raise UnsafeBundle(f"entry {name!r} leaves the bundle through '..'")
    if "\\" in name:
        raise UnsafeBundle(f"entry {name!r} has a backslash; parts are joined by '/'")
    if re.match(r"[A-Za-z]:", name):
        raise UnsafeBundle(f"entry {name!r} has a drive letter; names must be relative")
    if name.endswith("/"):
        raise UnsafeBundle(f"entry {name!r} is a folder; a bundle holds files only (`zip -D`)")
    if not _NAME.fullmatch(name):
        raise UnsafeBundle(f"entry {name!r} must be of A-Z a-z 0-9 _ - . / with no part that starts with a dot")


def _end_record(data: bytes) -> tuple[int, int]:
    """Number of entries, and where the directory starts."""
    if len(data) < _END.size:
        raise BundleError(f"not a bundle: expected a zip archive, got {len(data)} bytes")
    signature, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, len(data) - _END.size)
    if signature != b"PK\x05\x06":
        if data[:4] == b"PK\x03\x04":
            raise UnsafeBundle("the archive is cut short, or bytes follow its end record; copy the bundle again")
        raise BundleError(f"not a bundle: expected a zip archive, got data that starts with {data[:8]!r}")
    if disk or first_disk or here != count or comment:
        raise UnsafeBundle("the archive has several volumes or a comment; a bundle has neither")
    if start == 0xFFFFFFFF or count == 0xFFFF or start + size != len(data) - _END.size:
        raise UnsafeBundle("the archive's directory does not end where the end record starts, or it is zip64")
    return count, start


def _directory(data: bytes, start: int, count: int, limits: Limits) -> list[_Entry]:
    entries = []
    position, end = start, len(data) - _END.size
    for _ in range(count):
        if position + _CENTRAL.size > end or data[position : position + 4] != b"PK\x01\x02":
            raise UnsafeBundle("the archive's directory is damaged")
        fields = _CENTRAL.unpack_from(data, position)
        _, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, disk, _, attributes, local = fields
        position += _CENTRAL.size
        name = _decode_name(data[position : position + n_name])
        check_name(name, limits)
        _check_kind(name, flags, method, attributes, disk)
        _check_extra(name, data[position + n_name : position + n_name + n_extra])
        _check_size(name, method, packed, size, limits)
        position += n_name + n_extra + n_comment
        entries.append(_Entry(name, method, crc, packed, size, local))
    if position != end:
        raise UnsafeBundle("the archive's directory has bytes that belong to no entry")
    return entries


def _decode_name(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise UnsafeBundle(f"an entry's name must be ASCII, got {raw!r:.200}") from None


def _check_kind(name: str, flags: int, method: int, attributes: int, disk: int) -> None:
    if flags & _ENCRYPTED:
        raise UnsafeBundle(f"entry {name!r} is encrypted; a bundle is signed, not hidden")
    if flags & _STREAMED:
        raise UnsafeBundle(f"entry {name!r} has its size after its data; write the archive to a file, not to a pipe")
    if flags & ~_KNOWN_FLAGS or disk:
        raise UnsafeBundle(f"entry {name!r} has unknown flags {flags:#06x} or lies on another volume")
    if method not in (0, 8):
        raise UnsafeBundle(f"entry {name!r} must be stored or deflated, got compression method {method}")
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG) or attributes & 0x10:
        raise UnsafeBundle(f"entry {name!r} must be a regular file, got a link, folder or device (mode {kind:#o})")


def _check_extra(name: str, extra: bytes) -> None:
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        if kind in _REFUSED_EXTRAS:
            raise UnsafeBundle(f"entry {name!r} has an extra field with {_REFUSED_EXTRAS[kind]}")
        position += 4 + size
    if position != len(extra):
        raise UnsafeBundle(f"entry {name!r} has a damaged extra field")


def _check_size(name: str, method: int, packed: int, size: int, limits: Limits) -> None:
    if size > limits.entry_bytes:
        raise UnsafeBundle(f"entry {name!r} must have at most {limits.entry_bytes} bytes, got {size}")
    if method == 0 and packed != size:
        raise UnsafeBundle(f"entry {name!r} is stored, yet {packed} bytes are said to hold {size}")
    if size > limits.ratio_from and size > limits.ratio * packed:
        raise UnsafeBundle(f"entry {name!r} would inflate {packed} bytes to {size}, more than {limits.ratio} times")


def _check_together(entries: list[_Entry], limits: Limits) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.setdefault(entry.name.casefold(), entry.name)
        if other == entry.name and sum(e.name == entry.name for e in entries) > 1:
            raise UnsafeBundle(f"entry {entry.name!r} occurs twice")
        if other != entry.name:
            raise UnsafeBundle(f"entries {other!r} and {entry.name!r} differ in case only")
    total = sum(entry.size for entry in entries)
    if total > limits.total_bytes:
        raise UnsafeBundle(f"a bundle must inflate to at most {limits.total_bytes} bytes, got {total}")


def _body(data: bytes, entry: _Entry, directory: int) -> int:
    """Where an entry's data starts; its local header must say what the directory says."""
    end = entry.start + _LOCAL.size
    if end > directory or data[entry.start : entry.start + 4] != b"PK\x03\x04":
        raise UnsafeBundle(f"entry {entry.name!r} has no header at byte {entry.start}")
    _, _, flags, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL.unpack_from(data, entry.start)
    name = data[end : end + n_name]
    same = (method, crc, packed, size) == (entry.method, entry.crc, entry.packed, entry.size)
    if name != entry.name.encode("ascii") or not same or flags & ~_KNOWN_FLAGS:
        raise UnsafeBundle(f"entry {entry.name!r} has a header that contradicts the directory")
    _check_extra(entry.name, data[end + n_name : end + n_name + n_extra])
    body: int = end + n_name + n_extra
    if body + entry.packed > directory:
        raise UnsafeBundle(f"entry {entry.name!r} reaches into the directory")
    return body


def _content(packed: bytes, entry: _Entry) -> bytes:
    content = packed
    if entry.method == 8:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise IntegrityError(f"entry {entry.name!r} is damaged: {error}") from error
        if len(content) != entry.size or not inflater.eof or inflater.unused_data:
            raise UnsafeBundle(f"entry {entry.name!r} does not inflate to the {entry.size} bytes that it declares")
    if zlib.crc32(content) != entry.crc:
        raise IntegrityError(f"entry {entry.name!r} is damaged: its checksum differs; copy the bundle again")
    if content.startswith(_NESTED):
        raise UnsafeBundle(f"entry {entry.name!r} is itself a zip archive; nested archives are refused")
    return content
