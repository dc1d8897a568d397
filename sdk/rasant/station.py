# SPDX-License-Identifier: Apache-2.0
"""The station file: what one machine changes of a bundle. TOML or JSON; every key is optional.

    source = "folder:captures"            # used when `rasant inspect` is given none
    threshold = 0.61
    roi = [40, 30, 400, 300]              # x, y, width, height in frame pixels
    ignore_mask = "clamp.png"             # non-zero pixels are never scored; of frame or network size; beside this file
    engine = "onnxruntime"
    stand_in = "colour.rasant"            # decides while a modality is missing (`rasant.stand_in`); beside this file

    [validity]
    min_valid_depth = 0.8
    depth_range_m = [0.40, 0.55]
    max_age_ms = 200
    deadline_ms = 150

    [validity.exposure]
    min_mean = 20

    [patch]                               # a place whose look is known: swapped channels and bytes are seen
    box = [8, 8, 24, 24]                  # x, y, width, height in frame pixels
    color = [200, 60, 40]                 # mean RGB, each within `tolerance` (25)
    depth_m = 0.512
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rasant.bundle.schema import Strict
from rasant.config_file import read_config, validate
from rasant.verdict import Limits, Patch

__all__ = ["Exposure", "PatchTable", "Station", "Validity", "read_station", "station_from"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Level = Annotated[float, Field(ge=0.0, le=255.0)]
# JSON and TOML have no tuples, so the lists of a file are let through where a tuple of fixed length is meant.
Roi = Annotated[tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt], Field(strict=False)]
Range = Annotated[tuple[NonNegativeFloat, PositiveFloat], Field(strict=False)]


def _is_off(value: bool) -> bool:
    if value:
        raise ValueError("only false switches a limit off")
    return value


Off = Annotated[bool, AfterValidator(_is_off)]  # not Literal[False], which takes 0 for false


class Exposure(Strict):
    """Limits of the colour image, in 8-bit levels."""

    min_mean: Level | None = None
    max_mean: Level | None = None
    min_std: Level | None = None


class PatchTable(Strict):
    """A place of the picture whose look is known, see `rasant.verdict.Patch`."""

    box: Roi
    color: Annotated[tuple[Level, Level, Level], Field(strict=False)]
    tolerance: Level = 25.0
    depth_m: PositiveFloat | None = None

    @property
    def patch(self) -> Patch:
        """As the gate takes it."""
        return Patch(self.box, self.color, self.tolerance, self.depth_m)


class Validity(Strict):
    """Limits that replace the bundle's. False switches `max_age_ms`, `deadline_ms` or `max_skew` off."""

    min_valid_depth: Share | None = None
    depth_range_m: Range | None = None
    max_out_of_range: Share | None = None
    max_age_ms: PositiveFloat | Off | None = None
    deadline_ms: PositiveFloat | Off | None = None
    max_identical: Annotated[int, Field(ge=2)] | None = None
    max_skew: PositiveFloat | Off | None = None
    exposure: Exposure = Exposure()


class Station(Strict):
    """What one machine changes of a bundle; None keeps the bundle's value."""

    schema_version: Literal[1] = 1
    source: Annotated[str, Field(min_length=1)] | None = None
    engine: Annotated[str, Field(min_length=1)] | None = None
    threshold: PositiveFloat | None = None
    roi: Roi | None = None
    ignore_mask: Annotated[str, Field(min_length=1)] | None = None
    stand_in: Annotated[str, Field(min_length=1)] | None = None
    validity: Validity = Validity()
    patch: PatchTable | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Station:
        bounds = self.validity.depth_range_m
        if bounds is not None and bounds[0] >= bounds[1]:
            raise ValueError(f"validity.depth_range_m must be [near, far] and grow, got {list(bounds)}")
        return self

    def limits(self, base: Limits) -> Limits:
        """`base` with the limits that this file states. Raises ConfigError where the mixture makes no sense."""
        stated: dict[str, Any] = {}
        values = self.validity.model_dump(exclude_none=True)
        values.update(values.pop("exposure", {}))
        for name, value in values.items():
            stated[name] = None if value is False else value
        return replace(base, **stated)


def read_station(path: str | Path) -> Station:
    """Read a station file. Raises ConfigError that names the file and the exact key.

    A relative `ignore_mask` or `stand_in` is looked up beside the file.
    """
    station = read_config(path, Station)
    files = station.model_dump(include={"ignore_mask", "stand_in"}, exclude_none=True)
    return station.model_copy(update={key: str(Path(path).parent / file) for key, file in files.items()})


def station_from(overrides: dict[str, Any], base: Station | None = None) -> Station:
    """A station from keyword arguments, flat: `threshold=0.6, roi=(0, 0, 64, 64), max_age_ms=None, min_mean=10`.

    Raises ConfigError for an unknown name or a wrong value.
    """
    top: dict[str, Any] = {} if base is None else base.model_dump(exclude_none=True)
    validity: dict[str, Any] = top.setdefault("validity", {})
    exposure: dict[str, Any] = validity.setdefault("exposure", {})
    for name, value in overrides.items():
        if name in Exposure.model_fields:
            exposure[name] = value
        elif name in Validity.model_fields:
            switched_off = value is None and name in ("max_age_ms", "deadline_ms", "max_skew")
            validity[name] = False if switched_off else value
        else:
            top[name] = str(value) if isinstance(value, Path) else value
    return validate(top, Station, "overrides")
