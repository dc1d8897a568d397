# SPDX-License-Identifier: Apache-2.0
"""`mvtec3d:PATH[/CATEGORY][?split=test&label=cut]`: the folder layout of MVTec 3D-AD (Bergmann et al., 2022).

    PATH/CATEGORY/{train,validation,test}/{good,DEFECT}/{rgb/NNN.png,xyz/NNN.tiff,gt/NNN.png}
    PATH/CATEGORY/calibration/camera_parameters.json        (optional)

xyz is an organised cloud, float32 (H, W, 3) in metres, (0, 0, 0) where nothing was measured; its z becomes the depth.
It may be missing, as in RGB-only copies: then `frame.depth` is None. The pinhole camera is fitted to the first cloud of
a category; without clouds it comes from the calibration file (lens distortion left out), without that it is nominal;
`source.note` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameError, SourceError
from rasant.recording.camera_file import read_json
from rasant.recording.image_file import decode_color, decode_points, read_bytes
from rasant.sensors.base import FiniteSource
from rasant.sensors.dataset import SPLITS, chosen_splits, read_truth
from rasant.sensors.files import COLOR_SUFFIXES, DEPTH_SUFFIXES, child_folders, images_by_stem
from rasant.sensors.uri import Uri
from rasant.types import Frame, Intrinsics, Sample

__all__ = ["Mvtec3dSource", "fit_intrinsics", "is_mvtec3d"]

_MINIMUM_POINTS = 100  # fewer valid points cannot fix a camera
_NOMINAL_FOCAL = 1.2  # focal length in units of the longer side, where nothing better is known


@dataclass(frozen=True, slots=True)
class _Item:
    root: Path
    split: str
    label: str
    stem: str
    color: Path
    points: Path | None
    truth: Path | None

    @property
    def name(self) -> str:
        return f"{self.root.name}/{self.split}/{self.label}/{self.stem}"


class Mvtec3dSource(FiniteSource[_Item]):
    """Frames of MVTec 3D-AD: float32 metres (scale 1), with `frame.sample` and its truth mask."""

    def __init__(
        self, path: Path, *, split: str = "test", label: str | None = None, uri: str = "", skip_damaged: bool = False
    ) -> None:
        roots = [path] if _is_category(path) else [p for p in child_folders(path) if _is_category(p)]
        if not roots:
            raise SourceError(f"{path}: no category (a folder with SPLIT/LABEL/rgb) is here or below")
        items = [item for root in roots for part in chosen_splits(split) for item in _items(root, part, label)]
        if not items:
            raise SourceError(f"{path}: split {split!r}{f', label {label!r}' if label else ''} holds no frame")
        super().__init__(uri or f"mvtec3d:{path}", items, skip_damaged=skip_damaged)
        self._cameras: dict[tuple[Path, int, int], Intrinsics] = {}
        self._last: Intrinsics | None = None

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> Mvtec3dSource:
        """Open by URI; options `split` and `label`."""
        options = uri.options(split="test", label=None)
        return cls(uri.existing("an MVTec 3D-AD folder"), **options, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the last frame; before the first one, of that. Raises FrameError where that one is damaged."""
        if self._last is None:
            self._last = self._load(self._coming, 0).intrinsics
        return self._last

    def _load(self, item: _Item, index: int) -> Frame:
        color = decode_color(read_bytes(item.color), str(item.color))
        points = None if item.points is None else decode_points(read_bytes(item.points), str(item.points))
        height, width = color.shape[:2]
        if points is not None and points.shape != color.shape:
            raise FrameError(
                f"{item.points}: points are {points.shape[1]}x{points.shape[0]}, colour is {width}x{height}"
            )
        self._last = self._camera(item.root, width, height, points)
        return Frame(
            color=color,
            depth=None if points is None else np.ascontiguousarray(points[..., 2]),
            depth_scale=1.0,
            intrinsics=self._last,
            index=index,
            source=self.uri,
            arrival_ns=0,
            name=item.name,
            sample=Sample(
                item.root.name, item.split, item.label, item.stem, read_truth(item.truth, item.label, (height, width))
            ),
        )

    def _item_name(self, item: _Item) -> str:
        return item.name

    def _camera(self, root: Path, width: int, height: int, points: npt.NDArray[np.float32] | None) -> Intrinsics:
        """One camera for all frames of a category and size, so that it does not seem to change from frame to frame."""
        key = root, width, height
        if key not in self._cameras:
            camera = None if points is None else fit_intrinsics(points)
            if camera is None:
                camera, self.note = _calibrated(root, width, height)
            self._cameras[key] = camera
        return self._cameras[key]


def fit_intrinsics(points: npt.NDArray[np.float32]) -> Intrinsics | None:
    """Pinhole camera of an organised cloud (H, W, 3): u = fx x/z + cx and v = fy y/z + cy by least squares.

    Uses at most about 20,000 of its valid points. None where there are too few, or they lie on one line of sight.
    """
    height, width = points.shape[:2]
    step = max(1, int(np.sqrt(height * width / 20_000)))
    v, u = np.mgrid[0:height:step, 0:width:step]
    part = points[::step, ::step].astype(np.float64)
    valid = np.isfinite(part).all(axis=2) & (part[..., 2] > 0)
    if valid.sum() < _MINIMUM_POINTS:
        return None
    x, y, z = part[valid].T
    fits = []
    for pixel, ray in ((u[valid], x / z), (v[valid], y / z)):
        spread = ray - ray.mean()
        power = float(spread @ spread)
        slope = float(spread @ pixel) / power if power > 0 else 0.0
        fits += [slope, float(pixel.mean() - slope * ray.mean())]
    fx, cx, fy, cy = fits
    return Intrinsics(width, height, fx, fy, cx, cy) if fx > 0 and fy > 0 else None


def is_mvtec3d(path: Path) -> bool:
    """Whether a path has this layout, as root or as one category."""
    return path.is_dir() and (_is_category(path) or any(_is_category(child) for child in child_folders(path)))


def _calibrated(root: Path, width: int, height: int) -> tuple[Intrinsics, str]:
    """The camera of the calibration file (HALCON area scan: metres, integer = pixel centre), else a nominal one."""
    path = root / "calibration" / "camera_parameters.json"
    if not path.is_file():
        focal = _NOMINAL_FOCAL * max(width, height)
        camera = Intrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        return camera, f"{root.name}: intrinsics are nominal: there is neither a point cloud nor a calibration file"
    values = read_json(path)
    try:
        focus, sx, sy, cx, cy = (float(values[key]) for key in ("focus", "sx", "sy", "cx", "cy"))
        size = int(values["image_width"]), int(values["image_height"])
    except (KeyError, TypeError, ValueError) as error:
        wanted = "focus, sx, sy, cx, cy, image_width and image_height"
        raise ConfigError(f"{path}: expected the numbers {wanted}: {error}") from error
    if not (focus > 0 and sx > 0 and sy > 0 and np.isfinite([focus, cx, cy]).all()):
        raise ConfigError(f"{path}: focus, sx and sy must be above 0, cx and cy finite")
    if size != (width, height):
        raise ConfigError(f"{path}: is for {size[0]}x{size[1]} pixels, the images are {width}x{height}")
    note = f"{root.name}: intrinsics come from camera_parameters.json without its lens distortion"
    return Intrinsics(width, height, focus / sx, focus / sy, cx, cy), note


def _is_category(path: Path) -> bool:
    splits = [path / split for split in SPLITS if (path / split).is_dir()]
    return any((label / "rgb").is_dir() for split in splits for label in child_folders(split))


def _items(root: Path, split: str, label: str | None) -> list[_Item]:
    items: list[_Item] = []
    for folder in child_folders(root / split) if (root / split).is_dir() else []:
        if label is not None and folder.name != label:
            continue
        points, truth = images_by_stem(folder / "xyz", DEPTH_SUFFIXES), images_by_stem(folder / "gt", COLOR_SUFFIXES)
        items += [
            _Item(root, split, folder.name, stem, color, points.get(stem), truth.get(stem))
            for stem, color in images_by_stem(folder / "rgb", COLOR_SUFFIXES).items()
        ]
    return items
