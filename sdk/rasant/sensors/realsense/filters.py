# SPDX-License-Identifier: Apache-2.0
"""librealsense's depth filters, by name, with what each does to the mask of valid pixels.

None runs unless it is named. They run in the vendor's order, whatever the order of the names; the two that smooth do so
in disparity, and never fill holes here: only `hole_filling` does, and it says so in `source.note`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rasant.errors import ConfigError

__all__ = ["FILTERS", "DepthFilters"]


@dataclass(frozen=True, slots=True)
class _Filter:
    mask: str
    make: Callable[..., Any]  # of the library and the numbers after the name
    defaults: tuple[float, ...] = ()
    smooths: bool = False
    fills: bool = False


FILTERS: dict[str, _Filter] = {
    "decimation": _Filter(
        "smaller image; a pixel is valid where any of its block is", lambda rs, n: rs.decimation_filter(n), (2.0,)
    ),
    "threshold": _Filter(
        "shrinks: nearer than the first number or farther than the second (metres) is invalid",
        lambda rs, near, far: rs.threshold_filter(near, far), (0.15, 4.0),
    ),
    "spatial": _Filter(
        "as it was; values are smoothed along edges (alpha, delta, passes)",
        lambda rs, alpha, delta, passes: rs.spatial_filter(alpha, delta, passes, 0.0), (0.5, 20.0, 2.0), smooths=True,
    ),
    "temporal": _Filter(
        "as it was; values are averaged over time (alpha, delta): for parts that stand still",
        lambda rs, alpha, delta: rs.temporal_filter(alpha, delta, 0), (0.4, 20.0), smooths=True,
    ),
    "hole_filling": _Filter(
        "GROWS: invalid pixels get the depth of a neighbour (0 left, 1 farthest, 2 nearest); defects may vanish",
        lambda rs, mode: rs.hole_filling_filter(int(mode)), (1.0,), fills=True,
    ),
}  # fmt: skip
"""Name -> what it does to the mask, and how it is made."""


class DepthFilters:
    """The filters of a text like "decimation:2,threshold:0.2:0.9,spatial". Raises ConfigError for anything else."""

    def __init__(self, library: Any, text: str) -> None:
        asked = dict(_parse(part) for part in text.split(",") if part)
        self.text = text
        self._steps: list[Any] = []
        self.note = "; ".join(f"{name}: {FILTERS[name].mask}" for name in asked if FILTERS[name].fills)
        to_disparity, to_depth = library.disparity_transform(True), library.disparity_transform(False)
        for name in FILTERS:
            if name in asked:
                step = FILTERS[name].make(library, *asked[name])
                self._steps += [to_disparity, step, to_depth] if FILTERS[name].smooths else [step]

    def __call__(self, depth: Any) -> Any:
        """A depth frame of the library after all filters."""
        for step in self._steps:
            depth = step.process(depth)
        return depth.as_depth_frame()


def _parse(text: str) -> tuple[str, tuple[float, ...]]:
    name, *numbers = text.split(":")
    if name not in FILTERS:
        raise ConfigError(f"filter {name!r} is not one of {', '.join(FILTERS)}")
    try:
        values = tuple(float(number) for number in numbers)
    except ValueError:
        raise ConfigError(f"filter {text!r}: after the name come numbers, each after a colon") from None
    defaults = FILTERS[name].defaults
    if len(values) > len(defaults):
        raise ConfigError(f"filter {name} takes at most {len(defaults)} numbers, got {len(values)}")
    return name, values + defaults[len(values) :]
