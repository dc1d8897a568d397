# SPDX-License-Identifier: Apache-2.0
"""Makes bundles that `write_bundle` would never write: hostile graphs, archives and manifests with matching hashes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import onnx

from rasant.bundle.manifest import dump_manifest
from tiny_bundle import tiny_manifest, tiny_model


@cache
def good_model() -> bytes:
    """A valid graph."""
    return tiny_model()


@cache
def _good_manifest() -> bytes:
    return dump_manifest(tiny_manifest(good_model()))


def manifest_json() -> dict[str, Any]:
    """A fresh copy of a valid manifest."""
    copy: dict[str, Any] = json.loads(_good_manifest())
    return copy


def edited_model(edit: Callable[[onnx.ModelProto], object]) -> bytes:
    """A valid graph after `edit`."""
    model = onnx.ModelProto.FromString(good_model())
    edit(model)
    return bytes(model.SerializeToString())


def entry(data: bytes) -> dict[str, Any]:
    """The manifest's entry of a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def zip_bytes(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A plain archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return buffer.getvalue()


def bundle_bytes(
    model: bytes | None = None,
    *,
    edit: Callable[[dict[str, Any]], None] = lambda manifest: None,
    files: Mapping[str, bytes] | None = None,
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    """A bundle whose manifest lists `model` and `files` with their true hashes, then edited by `edit`."""
    content = {"detector.onnx": good_model() if model is None else model, **(files or {})}
    manifest = manifest_json()
    manifest["files"] = {name: entry(data) for name, data in content.items()}
    edit(manifest)
    return zip_bytes({"manifest.json": json.dumps(manifest).encode(), **content}, method)
