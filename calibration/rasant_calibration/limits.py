# SPDX-License-Identifier: Apache-2.0
"""What a calibration must satisfy: limits from a file or from options, and checks that compare with them.

    [camera]                    # camera and projector lenses         [depth]
    max_rms_px = 0.5                                                  min_fill_rate = 0.95
    min_coverage = 0.5                                                max_z_error = 0.02

Every key is optional, `false` in place of a number switches a check off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rasant.bundle.schema import Strict
from rasant.config_file import parse_mapping, read_config, validate
from rasant.errors import ConfigError

__all__ = ["CameraLimits", "Check", "DepthLimits", "DriftLimits", "Limits", "PairLimits", "passed", "read_limits"]

_Number = Annotated[float, Field(ge=0.0)] | Literal[False]


class CameraLimits(Strict):
    """Of the lens of a camera or a projector. coverage, focal_std: shares of the image and of the focal length."""

    max_rms_px: _Number = 0.5
    min_coverage: _Number = 0.4
    max_focal_std: _Number = 0.005


class PairLimits(Strict):
    """Of the motion between two devices: `rgbd` and `projector`."""

    max_rms_px: _Number = 0.7


class DepthLimits(Strict):
    """Of a depth camera that looks at a plane. Errors and noise are shares of the distance."""

    min_fill_rate: _Number = 0.9
    max_plane_rms: _Number = 0.005
    max_subpixel_rms_px: _Number = 0.2
    max_z_error: _Number = 0.02
    max_temporal_noise: _Number = 0.005
    max_tilt_deg: _Number = 10.0


class DriftLimits(Strict):
    """Of a station against its own reference. growth: a factor."""

    max_shift_px: _Number = 0.75
    max_fill_drop: _Number = 0.05
    max_noise_growth: _Number = 1.6
    max_tile_move: _Number = 0.005  # share of its distance
    max_tile_turn_deg: _Number = 0.5
    max_tile_rms_growth: _Number = 1.6


class Limits(Strict):
    """All of them."""

    camera: CameraLimits = CameraLimits()
    pair: PairLimits = PairLimits()
    depth: DepthLimits = DepthLimits()
    check: DriftLimits = DriftLimits()


@dataclass(frozen=True, slots=True)
class Check:
    """A figure beside its limit. limit None: for information; a value that is missing or NaN fails a limit."""

    name: str
    value: float | None
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the value keeps the limit."""
        if self.limit is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "limit": self.limit, "ok": self.ok}

    def __str__(self) -> str:
        shown = "-" if self.value is None else f"{self.value:.4g}"
        sign = ">=" if self.at_least else "<="
        limit = "" if self.limit is None else f"   {sign} {self.limit:g}"
        return f"{'ok  ' if self.ok else 'FAIL'} {self.name:<34} {shown:>10} {self.unit:<4}{limit}"


def within(name: str, value: float | None, limits: Strict, key: str, unit: str = "") -> Check:
    """A check against the limit `key`, which begins with max_ or min_; shares are shown in %."""
    limit: float | Literal[False] = getattr(limits, key)
    scale = 100.0 if unit == "%" else 1.0
    shown = None if value is None else scale * value
    return Check(name, shown, unit, None if limit is False else scale * limit, key.startswith("min_"))


def passed(checks: Iterable[Check]) -> bool:
    """All of them."""
    return all(check.ok for check in checks)


def read_limits(path: Path | None, section: str, options: Sequence[str] = ()) -> Limits:
    """Limits from a TOML or JSON file, over them `KEY=VALUE` options for one section. Raises ConfigError."""
    limits = Limits() if path is None else read_config(path, Limits)
    if not options:
        return limits
    wrong = [option for option in options if "=" not in option]
    if wrong:
        raise ConfigError(f"--limit takes KEY=VALUE, e.g. max_rms_px=0.3, got {wrong[0]!r}")
    stated: Mapping[str, Any] = parse_mapping("\n".join(options), Path("--limit.toml"))
    whole: dict[str, Any] = limits.model_dump()
    whole[section] = {**whole[section], **stated}
    return validate(whole, Limits, "--limit")
