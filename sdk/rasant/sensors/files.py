# SPDX-License-Identifier: Apache-2.0
"""Image files of a folder: which belong together, and how a colour and a depth file become one frame."""

from __future__ import annotations

import re
from pathlib import Path

from rasant.errors import ConfigError, FrameError, SourceError
from rasant.recording.camera_file import CameraFile
from rasant.recording.image_file import decode_color, decode_depth, read_bytes
from rasant.types import Frame

__all__ = ["COLOR_SUFFIXES", "DEPTH_SUFFIXES", "child_folders", "images_by_stem", "load_frame", "paired"]

COLOR_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".ppm", ".pgm"})
DEPTH_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".pgm"})


def images_by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """Image files of a folder by stem, in natural order (2 before 10); empty where the folder is absent.

    Hidden files are passed over. Raises ConfigError for two images of one stem, SourceError where it cannot be read.
    """
    found: dict[str, Path] = {}
    try:
        entries = sorted(folder.iterdir(), key=_natural) if folder.is_dir() else []
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from error
    for path in entries:
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ConfigError(f"{folder}: {found[path.stem].name} and {path.name} are the same frame; remove one")
        found[path.stem] = path
    return found


def child_folders(folder: Path) -> list[Path]:
    """The folders inside a folder, in natural order, hidden ones left out."""
    return sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_natural)


def paired(color: dict[str, Path], depth: dict[str, Path], where: Path) -> list[str]:
    """The stems of the frames. Where both kinds exist each stem must have both; raises ConfigError that names some."""
    if color and depth and color.keys() != depth.keys():
        lonely = [f"{stem} (no depth)" for stem in color if stem not in depth]
        lonely += [f"{stem} (no colour)" for stem in depth if stem not in color]
        rest = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
        raise ConfigError(f"{where}: colour and depth files do not pair up: {', '.join(lonely[:3])}{rest}")
    return list(color or depth)


def load_frame(color: Path | None, depth: Path | None, camera: CameraFile, *, index: int, source: str) -> Frame:
    """Decode a colour and a depth file (either may be None) into a frame. Raises FrameError, with both sizes in it."""
    rgb = None if color is None else decode_color(read_bytes(color), str(color))
    counts = None if depth is None else decode_depth(read_bytes(depth), str(depth))
    if rgb is not None and counts is not None and rgb.shape[:2] != counts.shape:
        raise FrameError(f"{depth}: depth is {_size(counts.shape)}, colour is {_size(rgb.shape)}; they must be aligned")
    shape = rgb.shape if rgb is not None else counts.shape if counts is not None else (camera.height, camera.width)
    if shape[:2] != (camera.height, camera.width):
        raise FrameError(f"{color or depth}: image is {_size(shape)}, camera.json says {camera.width}x{camera.height}")
    return Frame(
        color=rgb,
        depth=counts,
        depth_scale=camera.depth_scale,
        intrinsics=camera.intrinsics,
        index=index,
        source=source,
        arrival_ns=0,
        name=(color or depth or Path()).stem,
        serial=camera.serial,
        calibration_id=camera.calibration_id,
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name) if part]
