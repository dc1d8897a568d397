# SPDX-License-Identifier: Apache-2.0
"""`folder:PATH`: a folder of captures without labels.

    PATH/camera.json  PATH/color/STEM.{png,jpg,tiff,ppm}  PATH/depth/STEM.{png,tiff,pgm}

Depth is 16-bit counts of `camera.json: depth_scale` metres, 0 = invalid. One of the two image folders may be absent.
"""

from __future__ import annotations

from pathlib import Path

from rasant.errors import SourceError
from rasant.recording.camera_file import CameraFile, read_camera
from rasant.sensors.base import FiniteSource
from rasant.sensors.files import COLOR_SUFFIXES, DEPTH_SUFFIXES, images_by_stem, load_frame, paired
from rasant.sensors.uri import Uri
from rasant.types import Frame, Intrinsics

__all__ = ["FolderSource", "is_folder"]


class FolderSource(FiniteSource[str]):
    """Frames of a folder in the natural order of their file names."""

    def __init__(self, path: Path, *, uri: str = "", skip_damaged: bool = False) -> None:
        self._camera: CameraFile = read_camera(path / "camera.json")
        self._color = images_by_stem(path / "color", COLOR_SUFFIXES)
        self._depth = images_by_stem(path / "depth", DEPTH_SUFFIXES)
        stems = paired(self._color, self._depth, path)
        if not stems:
            raise SourceError(f"{path}: neither color/ nor depth/ holds an image")
        super().__init__(uri or f"folder:{path}", stems, skip_damaged=skip_damaged)

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> FolderSource:
        """Open by URI; there are no options."""
        uri.options()
        path = uri.existing("a folder with camera.json, color/ and depth/")
        return cls(path, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of `camera.json`."""
        return self._camera.intrinsics

    def _load(self, item: str, index: int) -> Frame:
        return load_frame(self._color.get(item), self._depth.get(item), self._camera, index=index, source=self.uri)

    def _item_name(self, item: str) -> str:
        return item


def is_folder(path: Path) -> bool:
    """Whether a path has the layout of this source."""
    return (path / "camera.json").is_file() and ((path / "color").is_dir() or (path / "depth").is_dir())
