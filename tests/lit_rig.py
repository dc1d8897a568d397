# SPDX-License-Identifier: Apache-2.0
"""A rendered scanner: a scene under a projector, the camera that sees what the projector shows, and its calibration."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from rasant.calibration_file import Calibration, FittedLens, Motion
from rasant.errors import SourceTimeout
from rasant.sensors.base import Source
from rasant.sensors.structured_light import PatternSequence
from rasant.synthesis.lit_scene import LitScene, lit_scene
from rasant.types import Drops, Frame, Intrinsics


@cache
def scene(scale: int = 4) -> LitScene:
    """The scene of all tests, 160 x 120 pixels; at scale 1 it is 640 x 480."""
    return lit_scene(scale)


def fitted(lens: Intrinsics) -> FittedLens:
    """A lens as a calibration file holds it."""
    names = ("width", "height", "fx", "fy", "cx", "cy", "distortion_model", "distortion")
    return FittedLens(**{name: getattr(lens, name) for name in names})


def calibration(serial: str = "", scale: int = 4) -> Calibration:
    """What `rasant calibrate projector` would find."""
    rig = scene(scale)
    return Calibration(
        created="2026-01-02T03:04:05Z", serial=serial, color=fitted(rig.camera), projector=fitted(rig.projector),
        projector_from_color=Motion.from_matrix(rig.projector_from_camera),
    )  # fmt: skip


def sequence(**options: object) -> PatternSequence:
    """Patterns for the scene's projector."""
    return PatternSequence(width=scene().projector.width, height=scene().projector.height, **options)


def captures(patterns: PatternSequence, seed: int = 0, scale: int = 4) -> np.ndarray:
    """(N, H, W, 3) uint8: the scene under each pattern."""
    random = np.random.default_rng(seed)
    return np.stack([scene(scale).capture(picture, random) for picture in patterns.pictures()])


class Rig:
    """A projector that lights the scene: what it shows is what a RenderedCamera sees, `delay` frames later."""

    paced = True

    def __init__(self, paced: bool = True) -> None:
        self.paced, self.closed = paced, False
        self.shown: list[np.ndarray] = [np.zeros((scene().projector.height, scene().projector.width), np.uint8)]

    def show(self, index: int, picture: np.ndarray) -> None:
        self.shown.append(picture)

    def close(self) -> None:
        self.closed = True


class RenderedCamera(Source):
    """A camera in front of the scene. `lose`: numbers of frames that it drops; `late`: frames that a picture takes to
    be seen; `blind`: frames after which it times out; `triggered`: gives one frame for each trigger; `shots`: captures
    of a projector that steps by itself.
    """

    def __init__(
        self, rig: Rig, *, late: int = 0, blind: int | None = None, triggered: bool = False, serial: str = "",
        shots: np.ndarray | None = None, lose: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__("rendered:")
        self.rig, self.late, self.blind, self.triggered, self.serial = rig, late, blind, triggered, serial
        self.shots, self.lose, self.taken, self.pending = shots, lose, 0, 0
        self.random = np.random.default_rng(0)

    @property
    def intrinsics(self) -> Intrinsics:
        return scene().camera

    def trigger(self) -> None:
        self.pending += 1

    def read(self, timeout_s: float | None = None) -> Frame:
        if self.blind is not None and self.taken >= self.blind:
            raise SourceTimeout("no frame")
        if self.triggered and not self.pending:
            raise SourceTimeout("no trigger")
        self.pending -= self.triggered
        while self.taken in self.lose:
            self.taken += 1
            self._drops = self._drops + Drops(device=1)
        if self.shots is None:
            picture = self.rig.shown[max(0, len(self.rig.shown) - 1 - self.late)]
            image = scene().capture(picture, self.random)
        else:
            image = self.shots[self.taken % len(self.shots)]
        frame = Frame(
            color=image, depth=None, depth_scale=1.0, intrinsics=self.intrinsics,
            index=self.taken, source=self.uri, arrival_ns=time.monotonic_ns(), drops=self._drops, settings="abc",
        )  # fmt: skip
        self.taken += 1
        return frame
