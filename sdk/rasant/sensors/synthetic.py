# SPDX-License-Identifier: Apache-2.0
"""`synthetic:NAME[?seed=0&frames=30&defects=0.5&size=256]`: procedural parts with exact defect masks.

NAME is a key of `rasant.synthesis.part.CATEGORIES` (plate, flange, bracket). `defects` is the share of defective parts.
Frame k of a seed is always the same picture, whichever frames were read before it.
"""

from __future__ import annotations

import numpy as np

from rasant.errors import ConfigError
from rasant.sensors.base import FiniteSource
from rasant.sensors.uri import Uri
from rasant.synthesis.defects import DEFECTS
from rasant.synthesis.part import DEPTH_SCALE, make_part, part_intrinsics
from rasant.types import Frame, Intrinsics, Sample

__all__ = ["SyntheticSource"]

_DRAW = 1  # key of the random stream that decides which parts are defective


class SyntheticSource(FiniteSource[int]):
    """Frames of `rasant.synthesis.part.make_part`, with `frame.sample`; depth is uint16 in counts of 0.02 mm."""

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        frames: int = 30,
        defects: float = 0.5,
        size: int = 256,
        uri: str = "",
        skip_damaged: bool = False,
    ) -> None:
        if frames < 1:
            raise ConfigError(f"frames must be at least 1, got {frames}")
        if not 0 <= defects <= 1:
            raise ConfigError(f"defects is a share between 0 and 1, got {defects}")
        make_part(name, seed, 0, size=size)  # refuses what it cannot make before the first read
        super().__init__(uri or f"synthetic:{name}?seed={seed}", range(frames), skip_damaged=skip_damaged)
        self._name, self._seed, self._defects, self._size = name, seed, defects, size

    @classmethod
    def open(cls, uri: Uri, *, skip_damaged: bool = False) -> SyntheticSource:
        """Open by URI; options `seed`, `frames`, `defects` and `size`."""
        options = uri.options(seed=0, frames=30, defects=0.5, size=256)
        return cls(uri.path, **options, uri=uri.text, skip_damaged=skip_damaged)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of all frames."""
        return part_intrinsics(self._size)

    def _load(self, item: int, index: int) -> Frame:
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, item, _DRAW])))
        defective, kind = rng.uniform() < self._defects, str(rng.choice(list(DEFECTS)))
        part = make_part(self._name, self._seed, item, defect=kind if defective else None, size=self._size)
        name = self._item_name(item)
        return Frame(
            color=part.color,
            depth=part.depth,
            depth_scale=DEPTH_SCALE,
            intrinsics=self.intrinsics,
            index=index,
            source=self.uri,
            arrival_ns=0,
            name=name,
            serial="synthetic",
            sample=Sample(self._name, "test", part.label, name, part.truth),
        )

    def _item_name(self, item: int) -> str:
        return f"{item:06d}"
