# SPDX-License-Identifier: Apache-2.0
# Signatures of the native operations. Arrays are C-contiguous and written in place; rasant.ops documents them.

from typing import Any

import numpy as np
import numpy.typing as npt

# perlin: N fields
def perlin_field(
    lattice: npt.NDArray[np.int32],
    angle: npt.NDArray[np.float32],
    seed: int,
    first: int,
    out: npt.NDArray[np.float32],
    threads: int,
) -> None: ...
def perlin_mask(
    field: npt.NDArray[np.float32],
    threshold: npt.NDArray[np.float32],
    mode: str,
    out: npt.NDArray[np.int8],
    threads: int,
) -> None: ...

# fill, and depth to metres
def fill_holes(
    depth: npt.NDArray[np.float32], passes: int, clamp: bool, out: npt.NDArray[np.float32], threads: int
) -> None: ...
def to_metres(
    depth: npt.NDArray[np.uint16] | npt.NDArray[np.float32], scale: float, out: npt.NDArray[np.float32], threads: int
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
) -> None: ...
def pack_depth(
    depth: npt.NDArray[np.float32], interpolation: str, out_depth: npt.NDArray[np.float32], threads: int
) -> None: ...

# score: (score, y, x, nonfinite, clipped)
def score_map(
    logits: npt.NDArray[np.float32],
    kernel: int,
    ignore: npt.NDArray[np.bool_] | None,
    out_raw: npt.NDArray[np.float32],
    out_pooled: npt.NDArray[np.float32],
    threads: int,
) -> tuple[float, int, int, int, int]: ...
def score_probability(
    probability: npt.NDArray[np.float32],
    kernel: int,
    ignore: npt.NDArray[np.bool_] | None,
    out_raw: npt.NDArray[np.float32],
    out_pooled: npt.NDArray[np.float32],
    threads: int,
) -> tuple[float, int, int, int, int]: ...

# regions: (map box, map area, peak, peak (y, x), centre (x, y), frame box, median depth); boxes are (x, y, width, height)
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

# ranking: the columns of the table, by name
def rank_maps(
    maps: list[npt.NDArray[np.float32]], truths: list[npt.NDArray[np.bool_]], samples: int
) -> dict[str, Any]: ...
