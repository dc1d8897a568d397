# SPDX-License-Identifier: Apache-2.0
"""`scanner:PATH?camera=URI`: scans with a projector and any 2-D camera that is a source.

    PATH/calibration.json  PATH/patterns.json

The camera's URI stands percent-encoded where it has options of its own: `camera=genicam:demo%3Fexposure_us=8000`.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rasant.calibration_file import Calibration, read_calibration
from rasant.errors import ConfigError, FrameError, SourceTimeout
from rasant.sensors.base import Source
from rasant.sensors.structured_light.decoder import ScanDecoder, ScanLimits
from rasant.sensors.structured_light.patterns import SEQUENCE_FILE, PatternSequence, read_sequence
from rasant.sensors.structured_light.projector import Projector, StoredPatterns, WindowProjector
from rasant.sensors.structured_light.recorded import CALIBRATION_FILE, ScanImages, limits_of
from rasant.sensors.uri import Uri, open_source
from rasant.types import Drops, Frame, Intrinsics

__all__ = ["ScannerSource"]


class ScannerSource(Source):
    """Each read() is a scan: every picture of the sequence is shown and captured once, then decoded.

    camera: gives 2-D frames, colour or grey in three channels. The scanner owns it and closes it.
    projector: see projector.py. triggered: whether the camera exposes when `camera.trigger()` is called; a camera that
        runs freely gives frames from before the picture was up, which are passed over by their time of arrival.
    settle_s: from showing a picture to the first exposure that sees nothing else: the projector's delay, and for a
        camera that runs freely its exposure and read-out as well.

    A scan needs every capture: a camera's time-out passes on, and a frame that it lost between two captures of a
    projector that steps by itself is a FrameError. The part must stand still meanwhile.
    """

    live = True

    def __init__(
        self,
        camera: Source,
        projector: Projector,
        sequence: PatternSequence,
        calibration: Calibration,
        *,
        triggered: bool = False,
        settle_s: float = 0.08,
        limits: ScanLimits | None = None,
        threads: int = 1,
        device: str = "cpu",
        uri: str = "scanner:",
        skip_damaged: bool = False,
    ) -> None:
        super().__init__(uri, skip_damaged=skip_damaged)
        if not 0.0 <= settle_s <= 10.0:
            raise ConfigError(f"settle must be 0..10 seconds, got {settle_s}; 0.08 is usual")
        self._camera, self._projector, self._sequence = camera, projector, sequence
        self._triggered, self._settle_s = triggered, settle_s
        self._decoder = ScanDecoder(sequence, calibration, limits, threads=threads, device=device)
        self._images = ScanImages(sequence, self._decoder.plan.size)
        self._pictures = list(sequence.pictures())
        self._calibration_id, self._index = calibration.id, 0
        self.serial = calibration.serial
        if camera.serial and calibration.serial and camera.serial != calibration.serial:
            raise ConfigError(
                f"the camera is {camera.serial}, the calibration is of {calibration.serial}; calibrate this camera"
            )

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> ScannerSource:
        """Open by URI. Options: `camera` (a source), `projector` ("window" or "stored"), `place` of the window,
        `trigger` (0 or 1), `settle_ms`, `threads`, `device`, and those of `limits_of`.
        """
        limits, rest = limits_of(
            uri, camera="", projector="window", place="+0+0", trigger=0, settle_ms=80.0, threads=1, device="cpu"
        )
        path = uri.existing("a folder with calibration.json and patterns.json")
        if not rest["camera"]:
            raise ConfigError(f"{uri.text}: needs the option camera, a source of 2-D frames")
        if rest["projector"] not in ("window", "stored"):
            raise ConfigError(f'{uri.text}: projector must be "window" or "stored", got {rest["projector"]!r}')
        sequence, calibration = read_sequence(path / SEQUENCE_FILE), read_calibration(path / CALIBRATION_FILE)
        camera = open_source(rest["camera"])
        try:
            window = rest["projector"] == "window"
            projector: Projector = (
                WindowProjector(sequence.width, sequence.height, rest["place"]) if window else StoredPatterns()
            )
            return cls(
                camera, projector, sequence, calibration, triggered=bool(rest["trigger"]),
                settle_s=rest["settle_ms"] / 1e3, limits=limits, threads=rest["threads"], device=rest["device"],
                uri=uri.text, skip_damaged=skip_damaged,
            )  # fmt: skip
        except BaseException:
            camera.close()
            raise

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the calibration."""
        return self._decoder.intrinsics

    def stats(self) -> Drops:
        """Scans that were refused, and what the camera lost."""
        return self._drops + self._camera.stats()

    def read(self, timeout_s: float | None = None) -> Frame:
        """Scan once. `timeout_s` is for the whole scan; SourceTimeout leaves the scanner open for another try."""
        self._check_open()
        end = None if timeout_s is None else time.monotonic() + timeout_s
        self._camera.start()
        index, self._index = self._index, self._index + 1
        try:
            frames = [self._capture(k, picture, end) for k, picture in enumerate(self._pictures)]
            self._check_order(frames)
            scan = self._decoder(self._images.grey)
        except SourceTimeout:
            self._index = index  # nothing was used up
            raise
        except FrameError as error:
            self._drops = replace(self._drops, damaged=self._drops.damaged + 1)
            error.index, error.name = index, f"scan {index}"
            raise
        first, last = frames[0], frames[-1]
        return Frame(
            color=self._images.color(), depth=scan.depth, depth_scale=1.0, intrinsics=self.intrinsics, index=index,
            source=self.uri, arrival_ns=last.arrival_ns, device_time_ns=first.device_time_ns, clock=first.clock,
            serial=self.serial or first.serial, calibration_id=self._calibration_id, drops=self.stats(),
            settings=first.settings,
        )  # fmt: skip

    def _capture(self, k: int, picture: npt.NDArray[np.uint8], end: float | None) -> Frame:
        """Show picture k and take it; returns the frame without its image."""
        self._projector.show(k, picture)
        earliest = time.monotonic_ns() + round(self._settle_s * 1e9) if self._projector.paced else 0
        if self._projector.paced and self._triggered:
            time.sleep(self._settle_s)
            self._camera.trigger()
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise SourceTimeout(f"{self.uri}: capture {k + 1} of {len(self._pictures)} did not come in time")
            frame = self._camera.read(left)
            if self._triggered or frame.arrival_ns >= earliest:
                break
        if frame.color is None:
            raise FrameError(f"{self._camera.uri} gave a frame without colour; a scanner needs a 2-D camera")
        self._images.put(k, frame.color, f"capture {k + 1}")
        return replace(frame, color=None, depth=None)

    def _check_order(self, frames: list[Frame]) -> None:
        """A projector that steps by itself has moved on for each frame that the camera lost."""
        lost = frames[-1].drops.total - frames[0].drops.total
        gaps = frames[-1].index - frames[0].index - len(frames) + 1
        if not self._projector.paced and (lost > 0 or gaps > 0):
            raise FrameError(f"the camera lost {max(lost, gaps)} frames during a scan; patterns and captures differ")

    def close(self) -> None:
        """Close the camera and the projector's window."""
        if not self._closed:
            self._camera.close()
            self._projector.close()
        super().close()
