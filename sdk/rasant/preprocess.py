# SPDX-License-Identifier: Apache-2.0
"""From a frame to the network's input tensors. Training and inspection use this one class, so both see the same input.

    crop to the region of interest -> metres -> background fit -> fill -> height and foreground -> normalise -> pack

Every stage is one operation of `rasant.ops`; nothing is computed here but geometry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, FrameRefused, RasantError
from rasant.ops import background, depth, fill, normalize, pack
from rasant.ops.normalize import RULES
from rasant.types import Frame, Intrinsics, Reason

__all__ = ["BACKGROUNDS", "MODALITIES", "DepthGuard", "Prepared", "PreprocessParams", "Preprocessor", "frame_from_map"]

MODALITIES: dict[str, tuple[str, ...]] = {"rgbd": ("color", "depth"), "rgb": ("color",), "depth": ("depth",)}
BACKGROUNDS = ("none", "plane_ransac", "plane_corners", "bilinear_corners")
# Rules that take the height above the background; the others take the depth itself.
HEIGHT_RULES = frozenset({"height_range"})
# 3DSR fills its normalised image, where missing pixels are 0; the others fill the depth before anything uses it.
FILL_LAST_RULES = frozenset({"threedsr"})

COLOR_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.uint8),)
DEPTH_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.uint16), np.dtype(np.float32))  # in this machine's byte order

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PreprocessParams:
    """What a bundle says about its input. Lengths in metres; sizes as (rows, cols).

    Raises ConfigError where a value makes no sense.
    """

    size: tuple[int, int] = (256, 256)  # network input (rows, cols)
    modalities: str = "rgbd"  # "rgbd", "rgb" or "depth"
    roi: tuple[int, int, int, int] | None = None  # (x, y, width, height) in frame pixels; None is the whole frame
    channel_order: str = "rgb"  # what the network was trained on: "rgb" or "bgr"
    color_scale: float = 1.0 / 255.0  # multiplies the 8-bit value, before mean and std
    color_mean: tuple[float, float, float] | None = None  # in the network's channel order
    color_std: tuple[float, float, float] | None = None
    interpolation: str = "area"  # "area", "bilinear" or "nearest"
    background: str = "plane_ransac"  # one of BACKGROUNDS
    inlier_m: float = 0.004  # distance to the plane that still supports it
    border_px: int = 10  # width of the frame border that shows background
    foreground_m: float = 0.005  # a pixel farther than this from the background belongs to the part
    fill_passes: int = 3  # 3x3 hole filling passes; 0 leaves holes
    depth_rule: str = "height_range"  # one of rasant.ops.normalize.RULES
    depth_low: float = 0.0  # low end of the rule's range: metres; percent for "percentile"
    depth_high: float = 0.05  # high end
    close_iterations: int = 0  # 3x3 closing of the foreground
    keep_largest: bool = False  # keep only the largest connected part of the foreground

    def __post_init__(self) -> None:
        _require(len(self.size) == 2 and min(self.size) > 0, "size", "two positive numbers (rows, cols)", self.size)
        _require(self.modalities in MODALITIES, "modalities", f"one of {sorted(MODALITIES)}", self.modalities)
        _require(self.channel_order in ("rgb", "bgr"), "channel_order", "'rgb' or 'bgr'", self.channel_order)
        _require(self.background in BACKGROUNDS, "background", f"one of {BACKGROUNDS}", self.background)
        _require(self.depth_rule in RULES, "depth_rule", f"one of {sorted(RULES)}", self.depth_rule)
        interpolations = ("area", "bilinear", "nearest")
        _require(self.interpolation in interpolations, "interpolation", f"one of {interpolations}", self.interpolation)
        if self.roi is not None:
            x, y, width, height = self.roi
            inside = min(x, y) >= 0 and min(width, height) > 0
            _require(inside, "roi", "(x, y, width, height) inside the frame", self.roi)
        for name in ("inlier_m", "foreground_m", "color_scale"):
            value = getattr(self, name)
            _require(bool(np.isfinite(value)) and value > 0, name, "a positive number", value)
        for name in ("border_px", "fill_passes", "close_iterations"):
            _require(getattr(self, name) >= 0, name, "zero or more", getattr(self, name))
        paired = (self.color_mean is None) == (self.color_std is None)
        _require(paired, "color_mean", "given together with color_std", self.color_mean)
        ordered = -np.inf < self.depth_low < self.depth_high < np.inf
        _require(ordered, "depth_low", "finite and below depth_high", (self.depth_low, self.depth_high))
        if self.uses_depth and self.depth_rule == "percentile":
            percents = 0.0 <= self.depth_low and 50.0 < self.depth_high <= 100.0
            _require(percents, "depth_high", "a percent such as 99.5, with depth_low such as 0.5", self.depth_high)
        if self.uses_depth and self.depth_rule in HEIGHT_RULES:
            wanted = f"a surface, since {self.depth_rule} measures from it"
            _require(self.background != "none", "background", wanted, "none")

    @property
    def uses_color(self) -> bool:
        """True when the network has a `color` input."""
        return "color" in MODALITIES[self.modalities]

    @property
    def uses_depth(self) -> bool:
        """True when the network has a `depth` input."""
        return "depth" in MODALITIES[self.modalities]


def _require(holds: bool, name: str, wanted: str, got: object) -> None:
    if not holds:
        raise ConfigError(f"preprocess.{name} must be {wanted}, got {got!r}; correct it in the recipe or the manifest")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The input of the network and what was learnt on the way. Valid until the next call: copy what you keep.

    color_input: (1, 3, h, w) float32, or None without colour; depth_input: (1, 1, h, w) float32, or None without depth.
    size: (h, w) of the network.
    part: (H, W) bool, the foreground in the region of interest; None without depth.
    valid_ratio: share of measured depth pixels in the region of interest, before filling; NaN without depth.
    depth_m: (H, W) float32 metres in the region of interest, invalid 0, before filling; None without depth.
    surface: the background (`Plane` or `CornerSurface`), or None.
    intrinsics: of the region of interest.
    """

    color_input: FloatImage | None
    depth_input: FloatImage | None
    size: tuple[int, int]
    part: Mask | None
    valid_ratio: float
    depth_m: FloatImage | None
    surface: background.Plane | background.CornerSurface | None
    intrinsics: Intrinsics
    notes: tuple[str, ...] = ()

    @property
    def foreground(self) -> Mask:
        """(h, w) bool: the part at network resolution (nearest); all True without depth."""
        return _to_map(self.part, self.size)

    @property
    def valid(self) -> Mask:
        """(h, w) bool: where depth was measured, before filling, at network resolution (nearest); all True without."""
        return _to_map(None if self.depth_m is None else self.depth_m > 0.0, self.size)


def frame_from_map(
    map_size: tuple[int, int], frame_size: tuple[int, int], roi: tuple[int, int, int, int] | None = None
) -> npt.NDArray[np.float64]:
    """The (2, 3) affine that takes map (x, y, 1) to frame pixels; integer coordinates are pixel centres."""
    x, y, width, height = roi if roi is not None else (0, 0, frame_size[1], frame_size[0])
    step_x, step_y = width / map_size[1], height / map_size[0]
    return np.array([[step_x, 0.0, x + 0.5 * step_x - 0.5], [0.0, step_y, y + 0.5 * step_y - 0.5]])


class _Buffers:
    """Work images for one size of the region of interest."""

    def __init__(self, size: tuple[int, int]) -> None:
        rows, cols = size
        self.size = size
        self.color_crop = np.empty((rows, cols, 3), np.uint8)
        self.counts_crop = np.empty((rows, cols), np.uint16)
        self.metres_crop = np.empty((rows, cols), np.float32)
        self.depth_m = np.empty((rows, cols), np.float32)
        self.filled = np.empty((rows, cols), np.float32)
        self.height = np.empty((rows, cols), np.float32)
        self.normal = np.empty((rows, cols), np.float32)
        self.foreground = np.empty((rows, cols), np.bool_)
        self.spare = np.empty((rows, cols), np.bool_)


class DepthGuard(Protocol):
    """A check of the depth in the region of interest, before the background is fitted."""

    def __call__(self, raw: npt.NDArray[Any], scale: float, depth_m: FloatImage, valid_ratio: float) -> None:
        """raw: as the camera gave it, `scale` metres a count; depth_m: metres, invalid 0. Raises FrameRefused."""


class Preprocessor:
    """Turns frames into network inputs by the steps of `PreprocessParams`. Not thread-safe: it owns its buffers."""

    def __init__(self, params: PreprocessParams, *, threads: int = 1, guard: DepthGuard | None = None) -> None:
        """`guard` sees the depth before anything is made of it, and raises FrameRefused to refuse the frame."""
        self.params = params
        self.threads = threads
        self._guard = guard
        self._buffers: _Buffers | None = None
        h, w = params.size
        self._color_input = np.empty((1, 3, h, w), np.float32) if params.uses_color else None
        self._depth_input = np.empty((1, 1, h, w), np.float32) if params.uses_depth else None

    def __call__(
        self, frame: Frame, out_color: FloatImage | None = None, out_depth: FloatImage | None = None
    ) -> Prepared:
        """Prepare one frame, into the caller's (1, 3, h, w) and (1, 1, h, w) float32 buffers where they are given.

        Raises FrameRefused, with the reason a verdict would carry, when the frame cannot feed the network.
        """
        self.check(frame)
        size, intrinsics = self._region(frame)
        if self._buffers is None or self._buffers.size != size:
            self._buffers = _Buffers(size)
        b = self._buffers
        color = None
        if self.params.uses_color and frame.color is not None:
            color = self._crop(frame.color, b.color_crop)
        notes: list[str] = []
        surface = None
        valid_ratio = float("nan")
        if self.params.uses_depth and frame.depth is not None:
            valid_ratio = self._metres(frame.depth, frame.depth_scale, b)
            surface = self._depth_image(b, intrinsics, notes)
        color_input = out_color if out_color is not None else self._color_input
        depth_input = out_depth if out_depth is not None else self._depth_input
        self._pack(color, b, color_input, depth_input)
        return Prepared(
            color_input if self.params.uses_color else None,
            depth_input if self.params.uses_depth else None,
            self.params.size, b.foreground if self.params.uses_depth else None, valid_ratio,
            b.depth_m if self.params.uses_depth else None, surface, intrinsics, tuple(notes),
        )

    def frame_from_map(self, frame_size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """The (2, 3) affine from network pixels to frame pixels for frames of (rows, cols)."""
        return frame_from_map(self.params.size, frame_size, self.params.roi)

    def check(self, frame: Frame) -> None:
        """Refuse a frame whose images are missing, not what its intrinsics say, or too small: no pixel is read.

        Raises FrameRefused.
        """
        if self.params.uses_color:
            if frame.color is None:
                raise FrameRefused("the bundle needs colour and the frame has none", Reason.COLOR_MISSING.value)
            _check_format("color", frame.color, COLOR_DTYPES, (*frame.size, 3))
        if self.params.uses_depth:
            if frame.depth is None:
                raise FrameRefused("the bundle needs depth and the frame has none", Reason.DEPTH_MISSING.value)
            _check_format("depth", frame.depth, DEPTH_DTYPES, frame.size)
            if not 0.0 < frame.depth_scale < np.inf:
                raise FrameRefused(
                    f"depth_scale must be a positive number of metres per count, got {frame.depth_scale}",
                    Reason.UNITS.value,
                )
            if frame.depth.dtype == np.float32 and frame.depth_scale != 1.0:
                raise FrameRefused(
                    f"float depth is in metres, so depth_scale must be 1.0, got {frame.depth_scale}",
                    Reason.UNITS.value,
                )
        if self.params.roi is not None:
            (rows, cols), (x, y, width, height) = frame.size, self.params.roi
            if x + width > cols or y + height > rows:
                raise FrameRefused(
                    f"the region of interest {self.params.roi} must lie inside the frame, got {cols}x{rows} pixels; "
                    "set the camera to the bundle's resolution or correct roi", Reason.FORMAT.value,
                )

    def _region(self, frame: Frame) -> tuple[tuple[int, int], Intrinsics]:
        rows, cols = frame.size
        k = frame.intrinsics
        if self.params.roi is None:
            return (rows, cols), k
        x, y, width, height = self.params.roi
        moved = Intrinsics(width, height, k.fx, k.fy, k.cx - x, k.cy - y, k.distortion_model, k.distortion)
        return (height, width), moved

    def _crop(self, image: npt.NDArray[Any], buffer: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The region of interest, C-contiguous: a view where possible, else a copy in `buffer`."""
        if self.params.roi is not None:
            x, y, width, height = self.params.roi
            image = image[y : y + height, x : x + width]
        if image.flags.c_contiguous:
            return image
        np.copyto(buffer, image)
        return buffer

    def _metres(self, image: npt.NDArray[Any], scale: float, b: _Buffers) -> float:
        """Depth of the region of interest in metres, into the buffers; returns the share of valid pixels."""
        counts = self._crop(image, b.counts_crop if image.dtype == np.uint16 else b.metres_crop)
        depth.to_metres(counts, scale, out=b.depth_m)
        if counts.dtype == np.uint16:
            valid = cv2.countNonZero(counts)
        else:
            valid = int(np.count_nonzero(np.greater(b.depth_m, 0.0, out=b.spare)))
        if valid == 0:
            raise FrameRefused(f"none of {counts.size} depth pixels is valid", Reason.DEPTH_EMPTY.value)
        if self._guard is not None:
            self._guard(counts, scale, b.depth_m, valid / counts.size)
        return valid / counts.size

    def _depth_image(
        self, b: _Buffers, intrinsics: Intrinsics, notes: list[str]
    ) -> background.Plane | background.CornerSurface | None:
        """Normalised depth into `b.normal` and the part's mask into `b.foreground`; returns the background."""
        p = self.params
        fill_first = p.fill_passes > 0 and p.depth_rule not in FILL_LAST_RULES
        image = b.depth_m
        if fill_first:
            image = fill.fill_holes(b.depth_m, passes=p.fill_passes, out=b.filled, threads=self.threads)
        surface = self._fit(b.depth_m, image, intrinsics)
        if surface is None:
            np.greater(image, 0.0, out=b.foreground)
        else:
            if surface.note:
                notes.append(surface.note)
            background.height_above(
                image, surface, intrinsics, threshold_m=p.foreground_m, out_height=b.height,
                out_foreground=b.foreground, threads=self.threads,
            )
            self._clean_foreground(b, image)
        source = b.height if p.depth_rule in HEIGHT_RULES else image
        normalize.normalize_depth(
            source, b.foreground, rule=p.depth_rule, low=p.depth_low, high=p.depth_high, out=b.normal,
            threads=self.threads,
        )
        if p.fill_passes > 0 and not fill_first:
            fill.fill_holes(b.normal, passes=p.fill_passes, out=b.filled, threads=self.threads)
            b.normal, b.filled = b.filled, b.normal
        return surface

    def _fit(
        self, raw: FloatImage, filled: FloatImage, intrinsics: Intrinsics
    ) -> background.Plane | background.CornerSurface | None:
        p = self.params
        try:
            if p.background == "plane_ransac":
                return background.fit_plane_ransac(raw, intrinsics, border_px=p.border_px, inlier_m=p.inlier_m)
            if p.background == "plane_corners":
                return background.fit_plane_corners(raw, intrinsics)
            if p.background == "bilinear_corners":
                return background.fit_bilinear_corners(filled)
        except RasantError as error:
            raise FrameRefused(f"no background surface: {error}", Reason.BACKGROUND.value) from error
        return None

    def _clean_foreground(self, b: _Buffers, image: FloatImage) -> None:
        p = self.params
        if p.close_iterations > 0:
            background.close_mask(b.foreground, iterations=p.close_iterations, out=b.spare)
            b.foreground, b.spare = b.spare, b.foreground
        if p.keep_largest:
            background.keep_largest(b.foreground, image, out=b.spare)
            b.foreground, b.spare = b.spare, b.foreground
        if not b.foreground.any():
            raise FrameRefused(
                f"no pixel stands {p.foreground_m} m above the background; is a part in place?",
                Reason.BACKGROUND.value,
            )

    def _pack(
        self, color: npt.NDArray[np.uint8] | None, b: _Buffers, out_color: FloatImage | None,
        out_depth: FloatImage | None,
    ) -> None:
        p = self.params
        pack.pack(
            color, b.normal if p.uses_depth else None, size=p.size, channel_order=p.channel_order, scale=p.color_scale,
            mean=p.color_mean, std=p.color_std, interpolation=p.interpolation,
            out_color=out_color if p.uses_color else None, out_depth=out_depth if p.uses_depth else None,
            threads=self.threads,
        )


def _check_format(
    name: str, image: npt.NDArray[Any], dtypes: tuple[np.dtype[Any], ...], shape: tuple[int, ...]
) -> None:
    if not isinstance(image, np.ndarray) or image.dtype not in dtypes or image.shape != shape:
        wanted = " or ".join(dtype.name for dtype in dtypes)
        came = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise FrameRefused(
            f"{name} must be {wanted} {shape} as the intrinsics say, got {came}; check the source's format",
            Reason.FORMAT.value,
        )
    if 0 in image.shape:
        raise FrameRefused(f"{name} has no pixels: {image.shape}", Reason.FORMAT.value)


def _to_map(mask: Mask | None, size: tuple[int, int]) -> Mask:
    """Nearest resize of a frame mask to network resolution, as a new array; pixel centres map to pixel centres."""
    if mask is None:
        return np.ones(size, np.bool_)
    if mask.shape == size:
        return mask.copy()
    return cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(np.bool_)
