# SPDX-License-Identifier: Apache-2.0
"""Pictures for a calibration: a folder of image files, or any source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError
from rasant.recording.image_file import decode_color, read_bytes
from rasant.sensors import open_source
from rasant.sensors.files import COLOR_SUFFIXES, images_by_stem
from rasant.types import Frame

__all__ = ["MAX_PICTURES", "frames_of", "pictures_of"]

MAX_PICTURES = 200


def pictures_of(where: str, limit: int = MAX_PICTURES) -> dict[str, npt.NDArray[np.uint8]]:
    """{name: (H, W, 3) uint8 RGB} of a folder's image files, by stem, or of the frames of a source.

    Raises ConfigError for no picture, or pictures of different sizes.
    """
    folder = Path(where)
    files = images_by_stem(folder, COLOR_SUFFIXES) if folder.is_dir() else {}
    found: dict[str, npt.NDArray[np.uint8]] = {}
    if files:
        for name, path in list(files.items())[:limit]:
            found[name] = decode_color(read_bytes(path), str(path))
    else:
        for frame in frames_of(where, limit):
            if frame.color is not None:
                found[frame.name or f"{frame.index:04d}"] = frame.color
    if not found:
        raise ConfigError(f"{where}: no picture was found; give a folder of image files, or a source with colour")
    sizes = {image.shape[:2] for image in found.values()}
    if len(sizes) > 1:
        raise ConfigError(f"{where}: pictures differ in size: {', '.join(f'{w}x{h}' for h, w in sorted(sizes))}")
    return found


def frames_of(where: str, limit: int) -> Iterator[Frame]:
    """At most so many frames of a source; damaged ones are passed over."""
    with open_source(where, skip_damaged=True) as source:
        for count, frame in enumerate(source, 1):
            yield frame
            if count >= limit:
                return
