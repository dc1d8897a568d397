# SPDX-License-Identifier: Apache-2.0
"""What data a run has seen, as one SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from rasant.sensors.uri import parse_uri
from rasant.types import Frame

__all__ = ["data_sha256", "frame_digest"]


def frame_digest(frame: Frame) -> str:
    """SHA-256 of a frame's pixels (not of its name), so that copies are found."""
    digest = hashlib.sha256()
    for image in (frame.color, frame.depth):
        if image is not None:
            digest.update(f"{image.dtype}{image.shape}".encode())
            digest.update(np.ascontiguousarray(image).data)
    digest.update(repr(float(frame.depth_scale)).encode())
    return digest.hexdigest()


def data_sha256(uri: str, split: str, frames: list[str]) -> str:
    """SHA-256 of the training data: of every file's relative name and bytes where `uri` names files on disk.

    For a labelled folder those are the files below `split/good` and the ones beside the splits that describe the
    camera; for other folders all files; for sources that are not files (`synthetic:`) the frames' own digests.
    """
    digest = hashlib.sha256()
    root = Path(parse_uri(uri).path).expanduser()
    files = _files(root, split)
    for path in files:
        digest.update(f"{path.relative_to(root.parent).as_posix()}\n{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    if not files:
        digest.update("\n".join(frames).encode())
    return digest.hexdigest()


def _files(root: Path, split: str) -> list[Path]:
    if root.is_file():
        return [root]
    if not str(root).strip("./") or not root.is_dir():
        return []
    good = root / split / "good"
    if good.is_dir():
        return sorted(p for p in [*good.rglob("*"), *root.glob("camera*.json")] if p.is_file())
    return sorted(p for p in root.rglob("*") if p.is_file())
