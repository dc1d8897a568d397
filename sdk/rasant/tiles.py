# SPDX-License-Identifier: Apache-2.0
"""Where the tiles of a large image lie, and which pixels of the merged map each of them decides.

Along each axis tiles start every `size - overlap` pixels, and the last one is shifted inwards so that it ends with the
image. Neighbours are cut hard in the middle of what they share: every pixel of the map comes from one run of the
network, the one that sees most around it. A pixel is then at least overlap // 2 away from an edge that only its tile
has, so a network whose receptive field has a radius of at most overlap // 2 gives exactly the map of one pass over the
whole image. A cross-fade would mix in values from nearer to an edge, where a network with a larger field is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError

__all__ = ["MAX_TILES", "TileParams", "Window", "copy_tile", "lay_tiles"]

MAX_TILES = 1024  # of one image: more would take minutes


@dataclass(frozen=True, slots=True)
class TileParams:
    """How a network that is smaller than the prepared image is run over it. Raises ConfigError for what cannot be.

    size: (rows, cols) of the network's input. overlap: least number of pixels that neighbours share.
    """

    size: tuple[int, int]
    overlap: int

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not 0 <= self.overlap < min(self.size):
            raise ConfigError(
                f"tiles must have positive sides and share less than the shorter one, got sides {self.size} and "
                f"overlap {self.overlap}; correct tiles.size or tiles.overlap"
            )


class Window(NamedTuple):
    """A tile's first pixel in the image; it decides rows top..bottom - 1 and columns left..right - 1 of the map."""

    y: int
    x: int
    top: int
    bottom: int
    left: int
    right: int


def lay_tiles(image_size: tuple[int, int], tiles: TileParams) -> tuple[Window, ...]:
    """The tiles over an image of (rows, cols), row by row; what they decide covers it once.

    A side shorter than the tile's has one tile, which reaches beyond the image.

    Raises ConfigError for more than MAX_TILES.
    """
    rows, cols = (
        _axis(length, side, tiles.overlap) for length, side in zip(image_size, tiles.size, strict=True)
    )
    if len(rows) * len(cols) > MAX_TILES:
        raise ConfigError(
            f"an image of {image_size} takes {len(rows) * len(cols)} tiles of {tiles.size} with overlap "
            f"{tiles.overlap}, at most {MAX_TILES} are allowed; use larger tiles, less overlap or a smaller region"
        )
    return tuple(Window(y, x, top, bottom, left, right) for (y, top, bottom), (x, left, right) in product(rows, cols))


def copy_tile(image: npt.NDArray[np.float32], window: Window, out: npt.NDArray[np.float32]) -> None:
    """One (C, h, w) tile out of a (C, H, W) image; where the image ends first, its last column and row are repeated."""
    part = image[:, window.y : window.y + out.shape[1], window.x : window.x + out.shape[2]]
    rows, cols = part.shape[1:]
    out[:, :rows, :cols] = part
    out[:, :rows, cols:] = part[:, :, -1:]
    out[:, rows:] = out[:, rows - 1 : rows]


def _axis(length: int, side: int, overlap: int) -> list[tuple[int, int, int]]:
    """(first pixel, first decided, behind the last decided) of each tile."""
    origins = [*range(0, length - side, side - overlap), max(0, length - side)]
    cuts = [0, *((left + side + right) // 2 for left, right in pairwise(origins)), length]
    return list(zip(origins, cuts[:-1], cuts[1:], strict=True))
