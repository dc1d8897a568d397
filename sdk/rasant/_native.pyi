# SPDX-License-Identifier: Apache-2.0
# Signatures of the native operations. Arrays are C-contiguous and written in place; rasant.ops documents them.

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# device: memory and order of work on CUDA (in rasant._emu: the emulator); stream: None, a handle, an object with one.
# capture: what `work` gives to the stream is kept as a graph instead of done; addresses are kept with it
def device_status() -> dict[str, Any]: ...
def wait(stream: Any) -> None: ...

class DeviceArray:
    def __init__(self, shape: Sequence[int], dtype: npt.DTypeLike, memory: str = "device") -> None: ...
    @staticmethod
    def from_interface(source: Any) -> DeviceArray: ...
    @staticmethod
    def from_dlpack(source: Any) -> DeviceArray: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def writeable(self) -> bool: ...
    @property
    def memory(self) -> str: ...
    @property
    def pointer(self) -> int: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def copy_from(self, source: npt.NDArray[Any], stream: Any = None) -> None: ...
    def copy_to(self, target: npt.NDArray[Any], stream: Any = None) -> None: ...
    def host(self) -> npt.NDArray[Any]: ...
    def __dlpack__(self, stream: Any = None, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class Stream:
    @property
    def handle(self) -> int: ...
    def wait(self) -> None: ...
    def follow(self, event: Event) -> None: ...
    def capture(self, work: Callable[[], object]) -> DeviceGraph: ...

class DeviceGraph:
    def launch(self, stream: Any) -> None: ...

class Event:
    def __init__(self, timing: bool = True) -> None: ...
    def record(self, stream: Any = None) -> None: ...
    def wait(self) -> None: ...
    @property
    def done(self) -> bool: ...
    def ms_since(self, begin: Event) -> float: ...

# perlin: N fields
def perlin_field(
    lattice: npt.NDArray[np.int32],
    angle: npt.NDArray[np.float32],
    seed: int,
    first: int,
    out: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...
def perlin_mask(
    field: npt.NDArray[np.float32],
    threshold: npt.NDArray[np.float32],
    mode: str,
    out: npt.NDArray[np.int8],
    threads: int,
    stream: Any = None,
) -> None: ...

# defect: numbers are threshold, gain, offset, kept, kept_color, low, high, amplitude, visible, sigma, skew_y, skew_x
def apply_defect(
    field: npt.NDArray[np.float32],
    support: npt.NDArray[np.bool_] | None,
    foreground: npt.NDArray[np.bool_] | None,
    depth: npt.NDArray[np.float32] | None,
    relief: npt.NDArray[np.float32] | None,
    color: npt.NDArray[np.float32] | None,
    texture: npt.NDArray[np.float32] | None,
    out_depth: npt.NDArray[np.float32] | None,
    out_color: npt.NDArray[np.float32] | None,
    out_mask: npt.NDArray[np.bool_],
    source: str,
    rule: str,
    add: bool,
    numbers: tuple[float, ...],
    threads: int,
    stream: Any = None,
) -> None: ...
def skew_kernel(sigma: float, skew_y: float, skew_x: float) -> npt.NDArray[np.int32]: ...

# fill, and depth to metres
def fill_holes(
    depth: npt.NDArray[np.float32],
    passes: int,
    clamp: bool,
    out: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...
def to_metres(
    depth: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
    scale: float,
    out: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...

# background: camera is (fx, fy, cx, cy); a fit is (fault, normal, offset, rms, inliers, total)
def fit_plane_ransac(
    depth: npt.NDArray[np.float32],
    camera: tuple[float, float, float, float],
    border_px: int,
    inlier_m: float,
    sample: int,
    hypotheses: int,
    seed: int,
    stream: Any = None,
) -> tuple[str, tuple[float, float, float], float, float, int, int]: ...
def corner_points(
    depth: npt.NDArray[np.float32], camera: tuple[float, float, float, float], patch: int, stream: Any = None
) -> list[tuple[float, float, float, int]]: ...
def plane_through(
    points: list[tuple[float, float, float]], camera: tuple[float, float, float, float], height: int, width: int
) -> tuple[str, tuple[float, float, float], float, float, int, int]: ...
def height_above_plane(
    depth: npt.NDArray[np.float32],
    normal: tuple[float, float, float],
    offset: float,
    camera: tuple[float, float, float, float],
    threshold_m: float,
    out_height: npt.NDArray[np.float32],
    out_foreground: npt.NDArray[np.bool_],
    threads: int,
    stream: Any = None,
) -> None: ...
def height_above_corners(
    depth: npt.NDArray[np.float32],
    corners: tuple[float, float, float, float],
    threshold_m: float,
    out_height: npt.NDArray[np.float32],
    out_foreground: npt.NDArray[np.bool_],
    threads: int,
    stream: Any = None,
) -> None: ...
def keep_largest(
    foreground: npt.NDArray[np.bool_],
    depth: npt.NDArray[np.float32],
    step_m: float,
    out: npt.NDArray[np.bool_],
    stream: Any = None,
) -> None: ...

# normalize: foreground None is every pixel; measure gives (count, low, high, mean)
def measure(
    value: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_] | None, threads: int, stream: Any = None
) -> tuple[int, float, float, float]: ...
def percentiles(
    value: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.bool_] | None,
    low_percent: float,
    high_percent: float,
    stream: Any = None,
) -> tuple[float, float] | None: ...
def two_means(depth: npt.NDArray[np.float32], threads: int, stream: Any = None) -> tuple[float, float]: ...
def normalize(
    value: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.bool_] | None,
    low: float,
    unit: float,
    gain: float,
    base: float,
    fill: float,
    floor: float,
    ceiling: float,
    levels: int,
    out: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...

# pack: color (H, W, 3) -> (1, 3, h, w); depth (H, W) -> (1, 1, h, w)
def pack_color(
    color: npt.NDArray[np.uint8],
    channel: tuple[int, int, int],
    gain: tuple[float, float, float],
    offset: tuple[float, float, float],
    interpolation: str,
    out_color: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...
def pack_depth(
    depth: npt.NDArray[np.float32],
    interpolation: str,
    out_depth: npt.NDArray[np.float32],
    threads: int,
    stream: Any = None,
) -> None: ...

# score: (score, y, x, nonfinite, clipped), or None where `result` on the device takes them
def score_map(
    logits: npt.NDArray[np.float32],
    kernel: int,
    ignore: npt.NDArray[np.bool_] | None,
    out_raw: npt.NDArray[np.float32],
    out_pooled: npt.NDArray[np.float32],
    threads: int,
    result: Any = None,
    stream: Any = None,
) -> tuple[float, int, int, int, int] | None: ...
def score_probability(
    probability: npt.NDArray[np.float32],
    kernel: int,
    ignore: npt.NDArray[np.bool_] | None,
    out_raw: npt.NDArray[np.float32],
    out_pooled: npt.NDArray[np.float32],
    threads: int,
    result: Any = None,
    stream: Any = None,
) -> tuple[float, int, int, int, int] | None: ...

# regions: (map box, map area, peak, its (y, x), centre (x, y), frame box, median depth); a box is (x, y, width, height)
def find_regions(
    pooled: npt.NDArray[np.float32],
    threshold: float,
    frame_from_map: npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    depth: npt.NDArray[np.float32] | None,
    max_regions: int,
    out_labels: npt.NDArray[np.int32],
) -> list[
    tuple[
        tuple[int, int, int, int],
        int,
        float,
        tuple[int, int],
        tuple[float, float],
        tuple[int, int, int, int],
        float,
    ]
]: ...

# overlay: step and shift are (down, across)
def blend_map(
    picture: npt.NDArray[np.uint8],
    values: npt.NDArray[np.float32],
    step: tuple[float, float],
    shift: tuple[float, float],
    gain: float,
    colors: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
    threads: int,
    stream: Any = None,
) -> None: ...

# ranking: the columns of the table, by name
def rank_maps(
    maps: list[npt.NDArray[np.float32]], truths: list[npt.NDArray[np.bool_]], samples: int
) -> dict[str, Any]: ...

# align: a lens as 27 numbers, a pose as 12; tables (2, H, W) and (2, H, ceil(W / 16)) belong to the depth camera
def lens_numbers(
    model: str, camera: tuple[float, float, float, float], distortion: Sequence[float]
) -> list[float]: ...
def lens_rays(lens: Sequence[float], rays: npt.NDArray[np.float32], threads: int) -> None: ...
def align_footprint(
    lens: Sequence[float],
    pose: Sequence[float],
    rays: npt.NDArray[np.float32],
    footprint: npt.NDArray[np.float32],
) -> None: ...
def align_depth(
    depth: Any,
    rays: Any,
    footprint: Any,
    lens: Sequence[float],
    pose: Sequence[float],
    margin_px: float,
    out: Any,
    threads: int,
    stream: Any = None,
) -> None: ...
def align_color(
    color: Any,
    depth: Any,
    seen: Any,
    rays: Any,
    lens: Sequence[float],
    pose: Sequence[float],
    step: float,
    bilinear: bool,
    out: Any,
    out_valid: Any,
    threads: int,
    stream: Any = None,
) -> None: ...

# normals: camera is (fx, fy, cx, cy)
def surface_normals(
    depth: Any,
    camera: tuple[float, float, float, float],
    size: int,
    step_m: float,
    out: Any,
    threads: int,
    stream: Any = None,
) -> None: ...

# sample: valid None is every point
def farthest_points(points: Any, valid: Any, start: int, out: Any, stream: Any = None) -> None: ...
def nearest_neighbours(
    queries: Any, points: Any, valid: Any, out_indices: Any, out_squared: Any, threads: int, stream: Any = None
) -> None: ...

# bank
def nearest_rows(
    queries: Any, bank: Any, out_indices: Any, out_squared: Any, threads: int, stream: Any = None
) -> None: ...

# structured light: captures (N, H, W) uint8
def decode_gray(
    captures: Any,
    size: int,
    stripe: int,
    min_step: int,
    out: Any,
    out_confidence: Any,
    threads: int,
    stream: Any = None,
) -> None: ...
def decode_phase(
    captures: Any,
    coarse: Any,
    period: float,
    min_amplitude: float,
    max_level: int,
    max_gap: float,
    out: Any,
    out_confidence: Any,
    threads: int,
    stream: Any = None,
) -> None: ...
def triangulate(
    column: Any,
    row: Any,
    rays: Any,
    lens: Sequence[float],
    pose: Sequence[float],
    max_residual_px: float,
    depth_range_m: tuple[float, float],
    out: Any,
    out_residual: Any,
    threads: int,
    stream: Any = None,
) -> None: ...
