# SPDX-License-Identifier: Apache-2.0
"""`graycode:PATH`: recorded structured-light captures.

    PATH/calibration.json  PATH/patterns.json  PATH/SCAN/CAPTURE.{png,jpg,tiff}

Each folder is a scan, its images in natural order of their names are the captures in the order of `patterns.json`
(`rasant patterns` writes it). Images that lie in PATH itself are one scan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration, read_calibration
from rasant.errors import FrameError, SourceError
from rasant.recording.image_file import decode_color, read_bytes
from rasant.sensors.base import FiniteSource
from rasant.sensors.files import COLOR_SUFFIXES, child_folders, images_by_stem
from rasant.sensors.structured_light.decoder import ScanDecoder, ScanLimits
from rasant.sensors.structured_light.patterns import SEQUENCE_FILE, PatternSequence, read_sequence
from rasant.sensors.uri import Uri
from rasant.types import Frame, Intrinsics

__all__ = ["CALIBRATION_FILE", "GraycodeSource", "ScanImages", "limits_of", "read_captures"]

CALIBRATION_FILE = "calibration.json"

ByteImage = npt.NDArray[np.uint8]


class GraycodeSource(FiniteSource[Path]):
    """Scans of a folder in natural order. Depth is float32 metres at the camera's pixels, colour is of the same."""

    def __init__(
        self,
        path: Path,
        *,
        calibration: Path | None = None,
        limits: ScanLimits | None = None,
        threads: int = 1,
        device: str = "cpu",
        uri: str = "",
        skip_damaged: bool = False,
    ) -> None:
        self._calibration: Calibration = read_calibration(calibration or path / CALIBRATION_FILE)
        self._sequence: PatternSequence = read_sequence(path / SEQUENCE_FILE)
        scans = [folder for folder in child_folders(path) if images_by_stem(folder, COLOR_SUFFIXES)]
        if images_by_stem(path, COLOR_SUFFIXES):
            scans.insert(0, path)
        if not scans:
            raise SourceError(f"{path}: neither it nor a folder in it holds captures")
        self._decoder = ScanDecoder(self._sequence, self._calibration, limits, threads=threads, device=device)
        self._images = ScanImages(self._sequence, self._decoder.plan.size)
        super().__init__(uri or f"graycode:{path}", scans, skip_damaged=skip_damaged)
        self.serial = self._calibration.serial

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> GraycodeSource:
        """Open by URI. Options: those of `limits_of`, `threads`, `device`, and `calibration`, a file elsewhere."""
        limits, rest = limits_of(uri, calibration=None, threads=1, device="cpu")
        path = uri.existing("a folder with calibration.json, patterns.json and captures")
        calibration = None if rest["calibration"] is None else Path(rest["calibration"]).expanduser()
        return cls(
            path, calibration=calibration, limits=limits, threads=rest["threads"], device=rest["device"], uri=uri.text,
            skip_damaged=skip_damaged,
        )  # fmt: skip

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the calibration."""
        return self._decoder.intrinsics

    def _load(self, item: Path, index: int) -> Frame:
        color, captures = read_captures(item, self._images)
        scan = self._decoder(captures)
        return Frame(
            color=color, depth=scan.depth, depth_scale=1.0, intrinsics=self.intrinsics, index=index, source=self.uri,
            arrival_ns=0, name=item.name, serial=self.serial, calibration_id=self._calibration.id,
        )  # fmt: skip

    def _item_name(self, item: Path) -> str:
        return item.name


class ScanImages:
    """Captures of one scan as they come: the grey stack that is decoded, and the colour of the scene.

    Colour is that of the white picture, or the brighter of the first pattern and its inverse at each pixel, which
    between them light everything.
    """

    def __init__(self, sequence: PatternSequence, size: tuple[int, int]) -> None:
        self.grey: ByteImage = np.empty((len(sequence), *size), np.uint8)
        self._lit = {len(sequence) - 1} if sequence.white else {0, 1}
        self._color: ByteImage | None = None

    def put(self, index: int, image: ByteImage, name: str) -> None:
        """Take capture `index`, (H, W, 3) RGB or (H, W) uint8. Raises FrameError for another size."""
        import cv2

        if image.shape[:2] != self.grey.shape[1:]:
            raise FrameError(
                f"{name}: the capture is {image.shape[1]}x{image.shape[0]}, the calibration is of a camera of "
                f"{self.grey.shape[2]}x{self.grey.shape[1]}"
            )
        if image.ndim == 3:
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY, dst=self.grey[index])
        else:
            self.grey[index] = image
        if index in self._lit:
            rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
            before = None if index == min(self._lit) else self._color
            self._color = rgb.copy() if before is None else np.maximum(before, rgb)

    def color(self) -> ByteImage | None:
        """(H, W, 3) uint8 RGB of the scan, to keep; None before the lit captures came."""
        color, self._color = self._color, None
        return color


def read_captures(folder: Path, images: ScanImages) -> tuple[ByteImage | None, ByteImage]:
    """(color (H, W, 3), captures (N, H, W)) of a folder; the captures are those of `images`, used again by the next.

    Raises FrameError for another number of images than the sequence has, and for damaged ones.
    """
    files = list(images_by_stem(folder, COLOR_SUFFIXES).values())
    if len(files) != len(images.grey):
        raise FrameError(f"{folder}: {len(files)} captures, but {SEQUENCE_FILE} has {len(images.grey)} patterns")
    for index, file in enumerate(files):
        images.put(index, decode_color(read_bytes(file), str(file)), str(file))
    return images.color(), images.grey


def limits_of(uri: Uri, **defaults: Any) -> tuple[ScanLimits, dict[str, Any]]:
    """(limits, the other options) of a URI: min_step, min_amplitude, max_level, max_residual, near, far, max_stray."""
    usual = ScanLimits()
    options = uri.options(
        min_step=usual.min_step, min_amplitude=usual.min_amplitude, max_level=usual.max_level,
        max_residual=usual.max_residual_px, near=usual.depth_range_m[0], far=usual.depth_range_m[1],
        max_stray=usual.max_stray, **defaults,
    )  # fmt: skip
    limits = ScanLimits(
        options["min_step"], options["min_amplitude"], options["max_level"], options["max_residual"],
        (options["near"], options["far"]), options["max_stray"],
    )  # fmt: skip
    return limits, {key: options[key] for key in defaults}
