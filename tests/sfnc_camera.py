# SPDX-License-Identifier: Apache-2.0
"""A GenICam 3-D camera in words: its features as the SFNC has them, and deliveries that a test hands it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from rasant.errors import ConfigError, SourceDisconnected
from rasant.sensors.base import Option
from rasant.sensors.genicam.payload import Part, Scan3d, read_scan3d
from rasant.sensors.genicam.producer import Delivery
from rasant.types import Intrinsics

LENS = Intrinsics(64, 48, 70.0, 71.0, 30.0, 25.0)


class Features:
    """values: name -> value, or name -> {selected entry: value}. A selector is a feature like any other, with choices.

    What stands in `hidden` cannot be read until the component Range is selected.
    """

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = {"Scan3dCoordinateSelector": "CoordinateA", **values}
        self.hidden: tuple[str, ...] = ()
        self.executed: list[str] = []
        self.wrote: list[tuple[str, Any]] = []

    def get(self, name: str) -> Any:
        if name in self.hidden and self.values.get("ComponentSelector") != "Range":
            return None
        value = self.values.get(name)
        if not isinstance(value, dict):
            return value
        chosen = "ChunkScan3dCoordinateSelector" if name.startswith("Chunk") else "Scan3dCoordinateSelector"
        return value.get(self.values.get(chosen))

    def select(self, name: str, value: Any) -> bool:
        if name not in self.values or value not in self.values.get(f"{name}Choices", (value,)):
            return False
        self.values[name] = value
        self.wrote.append((name, value))
        return True

    def set(self, name: str, value: Any) -> None:
        if name not in self.values:
            raise ConfigError(f"genicam: the feature {name} does not take {value!r}")
        self.values[name] = value

    def execute(self, name: str) -> None:
        self.executed.append(name)

    def options(self) -> dict[str, Option]:
        plain = bool | int | float | str
        return {name: Option(value) for name, value in self.values.items() if isinstance(value, plain)}


class Camera:
    """What `GenICamSource` needs of a device. `deliveries`: what comes next; an exception there is raised."""

    def __init__(self, features: Features, *, gige: bool = False) -> None:
        self.serial, self.name, self.gige, self.incomplete = "SFNC01", "Maker Model", gige, 0
        self.features = features
        self.deliveries: deque[tuple[list[Part], int | None, int | None] | Exception] = deque()
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def fetch(self, timeout_s: float, stated: Scan3d) -> Delivery | None:
        if not self.deliveries:
            return None
        following = self.deliveries.popleft()
        if isinstance(following, Exception):
            raise SourceDisconnected(str(following))
        parts, number, time_ns = following
        return Delivery(tuple(parts), read_scan3d(self.features, stated), number, time_ns)


def part(form: str, pixels: np.ndarray, padding: int = 0) -> Part:
    """Pixels (H, W) or (H, W, channels), or (channels, H, W) of planar formats, as they come over the wire."""
    height, width = pixels.shape[1:] if form.endswith("_Planar") else pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[-1] if pixels.ndim < 3 else pixels[0].size)
    if form.endswith("_Planar"):
        rows = np.ascontiguousarray(pixels).reshape(-1, width)
    data = rows.view(np.uint8).reshape(rows.shape[0], -1)
    return Part(form, width, height, np.pad(data, ((0, 0), (0, padding))).reshape(-1), padding)


def scene(lens: Intrinsics = LENS, seed: int = 0) -> np.ndarray:
    """(H, W) float64 depth in metres between 0.4 and 0.6: a tilted, wavy surface."""
    v, u = np.mgrid[0 : lens.height, 0 : lens.width]
    return 0.5 + 0.05 * np.sin(u / 9 + seed) * np.cos(v / 7) + 0.0008 * (u - v)


def cloud(depth: np.ndarray, lens: Intrinsics = LENS) -> np.ndarray:
    """(H, W, 3) points in metres on the rays of a lens, by OpenCV's undistortion."""
    import cv2

    v, u = np.mgrid[0 : lens.height, 0 : lens.width].astype(np.float64)
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    exact = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    rays = cv2.undistortPoints(pixels, matrix, np.array(lens.distortion or (0.0,) * 5), criteria=exact)
    return np.dstack([rays.reshape(*depth.shape, 2) * depth[..., None], depth])


def sized(lens: Intrinsics, width: int, height: int) -> Intrinsics:
    """The same lens on another number of pixels."""
    return replace(lens, width=width, height=height)
