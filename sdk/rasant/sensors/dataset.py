# SPDX-License-Identifier: Apache-2.0
"""`dataset:PATH[/CATEGORY][?split=test&label=dent]`: labelled frames in rasant's own layout.

    PATH/CATEGORY/camera.json
    PATH/CATEGORY/{train,validation,test}/{good,DEFECT}/{color,depth,gt}/NNN.png

`gt` is 8-bit, above 0 where defective; good parts need none and get an empty mask. PATH is the root, which gives all
categories one after the other, or one category. `split` is train, validation, test (the default) or all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameError, SourceError
from rasant.recording.camera_file import CameraFile, read_camera
from rasant.recording.image_file import decode_mask, read_bytes
from rasant.sensors.base import FiniteSource
from rasant.sensors.files import COLOR_SUFFIXES, DEPTH_SUFFIXES, child_folders, images_by_stem, load_frame, paired
from rasant.sensors.uri import Uri
from rasant.types import Frame, Intrinsics, Sample

__all__ = ["SPLITS", "DatasetSource", "chosen_splits", "is_dataset", "read_truth"]

SPLITS = ("train", "validation", "test")
GOOD = "good"


@dataclass(frozen=True, slots=True)
class _Item:
    category: str
    split: str
    label: str
    stem: str
    color: Path | None
    depth: Path | None
    truth: Path | None

    @property
    def name(self) -> str:
        return f"{self.category}/{self.split}/{self.label}/{self.stem}"


class DatasetSource(FiniteSource[_Item]):
    """Frames with `frame.sample`: category, split, label, name and the exact truth mask."""

    def __init__(
        self, path: Path, *, split: str = "test", label: str | None = None, uri: str = "", skip_damaged: bool = False
    ) -> None:
        roots = [path] if is_category(path) else [p for p in child_folders(path) if is_category(p)]
        if not roots:
            raise SourceError(f"{path}: neither this nor a folder in it has camera.json and {', '.join(SPLITS)}")
        self._cameras = {root.name: read_camera(root / "camera.json") for root in roots}
        items = [item for root in roots for part in chosen_splits(split) for item in _items(root, part, label)]
        if not items:
            raise SourceError(f"{path}: split {split!r}{f', label {label!r}' if label else ''} holds no frame")
        super().__init__(uri or f"dataset:{path}", items, skip_damaged=skip_damaged)

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> DatasetSource:
        """Open by URI; options `split` and `label`."""
        options = uri.options(split="test", label=None)
        return cls(uri.existing("a dataset folder"), **options, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the coming frame's category."""
        return self._cameras[self._coming.category].intrinsics

    @property
    def categories(self) -> Sequence[str]:
        """The categories that this source goes through."""
        return tuple(self._cameras)

    def _load(self, item: _Item, index: int) -> Frame:
        camera: CameraFile = self._cameras[item.category]
        frame = load_frame(item.color, item.depth, camera, index=index, source=self.uri)
        truth = read_truth(item.truth, item.label, frame.size)
        return replace(frame, name=item.name, sample=Sample(item.category, item.split, item.label, item.stem, truth))

    def _item_name(self, item: _Item) -> str:
        return item.name


def is_category(path: Path) -> bool:
    """Whether a folder is one category of this layout."""
    return (path / "camera.json").is_file() and any((path / split).is_dir() for split in SPLITS)


def is_dataset(path: Path) -> bool:
    """Whether a path has the layout of this source, as root or as one category."""
    return path.is_dir() and (is_category(path) or any(is_category(child) for child in child_folders(path)))


def chosen_splits(split: str) -> tuple[str, ...]:
    """The splits that the option names. Raises ConfigError for an unknown one."""
    if split != "all" and split not in SPLITS:
        raise ConfigError(f"split must be {', '.join(SPLITS)} or all, got {split!r}")
    return SPLITS if split == "all" else (split,)


def read_truth(path: Path | None, label: str, size: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """The truth mask of a frame, (H, W) bool: all false for a good part, None for a defective one without mask file."""
    if label == GOOD:
        return np.zeros(size, np.bool_)
    if path is None:
        return None
    truth = decode_mask(read_bytes(path), str(path))
    if truth.shape != size:
        raise FrameError(f"{path}: mask is {truth.shape[1]}x{truth.shape[0]}, the frame is {size[1]}x{size[0]}")
    return truth


def _items(root: Path, split: str, label: str | None) -> list[_Item]:
    items: list[_Item] = []
    for folder in child_folders(root / split) if (root / split).is_dir() else []:
        if label is not None and folder.name != label:
            continue
        color = images_by_stem(folder / "color", COLOR_SUFFIXES)
        depth = images_by_stem(folder / "depth", DEPTH_SUFFIXES)
        truth = images_by_stem(folder / "gt", COLOR_SUFFIXES)
        items += [
            _Item(root.name, split, folder.name, stem, color.get(stem), depth.get(stem), truth.get(stem))
            for stem in paired(color, depth, folder)
        ]
    return items
