# SPDX-License-Identifier: Apache-2.0
"""The manifest's copies of `PreprocessParams` and `TileParams`: the same fields, checked as data from a file are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rasant.bundle.schema import Strict

if TYPE_CHECKING:
    from rasant.preprocess import PreprocessParams
    from rasant.tiles import TileParams

__all__ = ["Preprocess", "Tiles"]

NetworkSide = Annotated[int, Field(ge=1, le=4096)]
PerChannel = tuple[float, float, float]


class Preprocess(Strict):
    """How a frame becomes the network's inputs.

    Fields and defaults are those of `rasant.preprocess.PreprocessParams`.
    """

    size: tuple[NetworkSide, NetworkSide] = (256, 256)
    modalities: Literal["rgbd", "rgb", "depth"] = "rgbd"
    roi: tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt] | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    color_scale: PositiveFloat = 1.0 / 255.0
    color_mean: PerChannel | None = None
    color_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    interpolation: Literal["area", "bilinear", "nearest"] = "area"
    background: Literal["none", "plane_ransac", "plane_corners", "bilinear_corners"] = "plane_ransac"
    inlier_m: PositiveFloat = 0.004
    border_px: PositiveInt = 10
    foreground_m: PositiveFloat = 0.005
    fill_passes: Annotated[int, Field(ge=0, le=100)] = 3
    depth_rule: Literal[
        "threedsr", "easynet_legacy_u8", "easynet_foreground", "das3d", "dbrn", "ast", "transfusion", "metric",
        "percentile", "class_range", "height_range",
    ] = "height_range"
    depth_low: float = 0.0
    depth_high: float = 0.05
    close_iterations: Annotated[int, Field(ge=0, le=100)] = 0
    keep_largest: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Preprocess:
        if "depth" in self.input_channels:
            if self.depth_low >= self.depth_high:
                raise ValueError(f"depth_low must be below depth_high, got {self.depth_low} and {self.depth_high}")
            if self.depth_rule == "height_range" and self.background == "none":
                raise ValueError('depth_rule "height_range" measures from a background surface, got background "none"')
        return self

    @property
    def input_channels(self) -> dict[str, int]:
        """Channels of each network input, in the order of the graph: color 3, depth 1."""
        channels = {"rgbd": {"color": 3, "depth": 1}, "rgb": {"color": 3}, "depth": {"depth": 1}}
        return channels[self.modalities]

    def to_params(self) -> PreprocessParams:
        """The runtime's own parameters."""
        from rasant.preprocess import PreprocessParams

        return PreprocessParams(**self.model_dump())

    @classmethod
    def from_params(cls, params: PreprocessParams) -> Preprocess:
        """The schema's copy of the runtime's parameters."""
        return cls(**dataclasses.asdict(params))


class Tiles(Strict):
    """The network is smaller than the prepared image of `preprocess.size` and is run on tiles of it.

    Fields are those of `rasant.tiles.TileParams`.
    """

    size: tuple[NetworkSide, NetworkSide]
    overlap: NonNegativeInt

    @model_validator(mode="after")
    def _consistent(self) -> Tiles:
        self.to_params()
        return self

    def to_params(self) -> TileParams:
        """The runtime's own parameters."""
        from rasant.tiles import TileParams

        return TileParams(self.size, self.overlap)
