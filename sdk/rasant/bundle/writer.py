# SPDX-License-Identifier: Apache-2.0
"""Write a bundle: the same content always gives the same bytes, and a crash leaves the old file or the new one."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rasant.bundle.manifest import MANIFEST_NAME, FileEntry, Manifest, dump_manifest, parse_manifest
from rasant.bundle.reader import read_bundle_bytes

__all__ = ["list_files", "write_atomically", "write_bundle"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def list_files(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Sizes and SHA-256 of files, as `Manifest.files` wants them."""
    return {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write `manifest` and `files` (every file of the bundle but the manifest) to `path`, and return it.

    `manifest.files` is replaced by the sizes and hashes of `files`. The bytes are read back with every check of
    `read_bundle` before the file appears, so what was written can be loaded. Entries are sorted, stored uncompressed
    and dated 1980, which makes the bytes, and so their hash, a function of the content.

    Raises BundleError (a subclass says why) if the content would be refused by the reader; OSError from the disk.
    """
    complete = parse_manifest(dump_manifest(manifest.model_copy(update={"files": list_files(files)})))
    content = _archive({MANIFEST_NAME: dump_manifest(complete), **files})
    target = Path(path)
    read_bundle_bytes(content, name=target.name)
    write_atomically(target, content)
    return target


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either the old one or complete, whatever happens: temporary file, fsync, rename, fsync."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(files, key=lambda name: (name != MANIFEST_NAME, name)):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()
