# SPDX-License-Identifier: Apache-2.0
"""Frames as folders that other programs read: the layouts of TUM RGB-D, MVTec 3D-AD and Eyecandies.

    tum         OUT/{rgb,depth}/SECONDS.png, rgb.txt, depth.txt, associations.txt; depth in counts of 1/5000 m
    mvtec3d     OUT/CATEGORY/SPLIT/LABEL/{rgb/NNN.png,xyz/NNN.tiff,gt/NNN.png}; xyz float32 metres, 0 0 0 invalid
    eyecandies  OUT/CATEGORY/{train,test_public}/data/NNN_{image_0..5,depth,mask}.png, NNN_{info_depth,metadata}.yaml,
                NNN_pose.txt; depth from 0 to the frame's maximum in 65535 steps, so that 0 stays invalid

Colour is exact. Depth is exact in mvtec3d; tum rounds it to 0.2 mm and leaves out what is beyond 13.1 m, eyecandies
rounds it to 1/65535 of the frame's maximum. Eyecandies has six lights: here all six are the one picture. `camera.json`
beside the frames keeps the lens, which these layouts do not. Frames without a label are "unlabelled" parts of "test".
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameError, SourceError
from rasant.ops.align import lens_rays
from rasant.recording.image_file import encode_png, encode_points
from rasant.types import Frame, Intrinsics, Sample

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LAYOUTS", "FolderWriter"]

LAYOUTS = ("tum", "mvtec3d", "eyecandies")
TUM_SCALE = 5000.0  # counts of a metre
STEPS = 65535
LIGHTS = 6
POSE = "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
FloatImage = npt.NDArray[np.float32]


class FolderWriter:
    """Appends frames to a new or empty folder. A context manager, as `RecordingWriter`.

    layout: one of LAYOUTS. category: the name of the part where a frame has none.
    Raises ConfigError for another layout or a folder that holds something, SourceError where the disk refuses, and
    FrameError for a frame without colour or depth, which these layouts cannot say.
    """

    def __init__(self, folder: Path, layout: str, *, category: str = "part") -> None:
        if layout not in LAYOUTS:
            raise ConfigError(f"layout must be mcap, {', '.join(LAYOUTS)}, got {layout!r}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; choose another folder")
        self.path, self.frames, self.bytes = folder, 0, 0
        self._write = {"tum": self._tum, "mvtec3d": self._mvtec3d, "eyecandies": self._eyecandies}[layout]
        self._category = category
        self._counts: Counter[Path] = Counter()  # frames of each folder
        self._rays: tuple[Intrinsics, FloatImage] | None = None
        self._lists: dict[str, list[str]] = {"rgb": [], "depth": [], "associations": []}

    def write(self, frame: Frame) -> None:
        """Append one frame."""
        if frame.color is None or frame.depth is None:
            raise FrameError(f"frame {frame.index} has no {'colour' if frame.color is None else 'depth'}")
        depth = np.asarray(frame.depth, np.float32) * np.float32(frame.depth_scale)
        depth[~np.isfinite(depth)] = 0.0
        self._write(frame, frame.color, depth)
        self.frames += 1

    def close(self) -> None:
        """Write the lists that a layout has; may be called again."""
        for name, lines in self._lists.items():
            if lines:
                self._put(self.path / f"{name}.txt", ("\n".join(lines) + "\n").encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tum(self, frame: Frame, color: npt.NDArray[np.uint8], depth: FloatImage) -> None:
        stamp = frame.device_time_ns if frame.device_time_ns is not None else frame.arrival_ns
        seconds = f"{stamp // 10**9}.{stamp % 10**9 // 1000:06d}"
        counts = np.rint(depth * TUM_SCALE)
        counts[counts > STEPS] = 0
        files = {"rgb": encode_png(color), "depth": encode_png(counts.astype(np.uint16))}
        for name, data in files.items():
            self._put(self.path / name / f"{seconds}.png", data)
            self._lists[name].append(f"{seconds} {name}/{seconds}.png")
        self._lists["associations"].append(f"{seconds} rgb/{seconds}.png {seconds} depth/{seconds}.png")
        self._camera(self.path, frame, 1.0 / TUM_SCALE)

    def _mvtec3d(self, frame: Frame, color: npt.NDArray[np.uint8], depth: FloatImage) -> None:
        sample = self._sample(frame)
        folder = self.path / sample.category / sample.split / sample.label
        stem = f"{self._number(folder):03d}"
        rays = self._rays_of(frame.intrinsics)
        points = np.stack([rays[0] * depth, rays[1] * depth, depth], axis=-1)
        points[~(depth > 0) | ~np.isfinite(points).all(axis=-1)] = 0.0
        self._put(folder / "rgb" / f"{stem}.png", encode_png(color))
        self._put(folder / "xyz" / f"{stem}.tiff", encode_points(points))
        if sample.split == "test":
            self._put(folder / "gt" / f"{stem}.png", encode_png(_mask(sample, frame.size)))
        self._camera(self.path / sample.category, frame, 1.0)

    def _eyecandies(self, frame: Frame, color: npt.NDArray[np.uint8], depth: FloatImage) -> None:
        sample = self._sample(frame)
        split = {"train": "train", "validation": "val"}.get(sample.split, "test_public")
        folder = self.path / sample.category / split / "data"
        stem = f"{self._number(folder):0{2 if split == 'test_public' else 3}d}"
        highest = float(depth.max()) or 1.0
        picture, mask = encode_png(color), encode_png(_mask(sample, frame.size))
        steps = np.rint(depth * (STEPS / highest)).astype(np.uint16)
        files = {f"image_{light}.png": picture for light in range(LIGHTS)} | {
            "depth.png": encode_png(steps), "mask.png": mask, "pose.txt": POSE.encode(),
            "info_depth.yaml": f"normalization:\n  max: {highest!r}\n  min: 0.0\n".encode(),
        }  # fmt: skip
        if frame.sample is not None:
            files["metadata.yaml"] = f"anomalous: {int(sample.defective)}\n".encode()
        for name, data in files.items():
            self._put(folder / f"{stem}_{name}", data)
        self._camera(self.path / sample.category, frame, 1.0)

    def _sample(self, frame: Frame) -> Sample:
        return frame.sample or Sample(self._category, "test", "unlabelled", frame.name)

    def _number(self, folder: Path) -> int:
        self._counts[folder] += 1
        return self._counts[folder] - 1

    def _rays_of(self, camera: Intrinsics) -> FloatImage:
        if self._rays is None or self._rays[0] != camera:
            self._rays = camera, lens_rays(camera)
        return self._rays[1]

    def _camera(self, folder: Path, frame: Frame, depth_scale: float) -> None:
        path = folder / "camera.json"
        if not path.exists():
            camera: dict[str, Any] = asdict(frame.intrinsics) | {"depth_scale": depth_scale, "serial": frame.serial}
            self._put(path, (json.dumps(camera | {"calibration_id": frame.calibration_id}, indent=1) + "\n").encode())

    def _put(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise SourceError(f"{path}: cannot be written: {error.strerror}") from error
        self.bytes += len(data)


def _mask(sample: Sample, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if sample.truth is None:
        return np.zeros(size, np.uint8)
    return sample.truth.astype(np.uint8) * np.uint8(255)
