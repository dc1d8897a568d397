# SPDX-License-Identifier: Apache-2.0
"""The pictures that a projector shows for one scan, and the file that says which ones and in what order.

    {"width": 1024, "height": 768, "axes": ["columns"], "stripe": 4, "bits": null, "steps": 8, "period": 16.0,
     "white": false}

For each axis Gray code stripes, the coarsest bit first, each followed by its inverse; then for each axis `steps` of a
sinusoid, step k ahead of the first by k / steps of a period; then all white, where asked for. Without `steps` and
`white` that is the order of OpenCV's GrayCodePattern, whose recordings can be read as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from rasant.bundle.schema import Strict
from rasant.config_file import read_config
from rasant.errors import SourceError
from rasant.recording.image_file import encode_png

__all__ = ["Axis", "PatternSequence", "read_sequence", "write_sequence"]

SEQUENCE_FILE = "patterns.json"
MAX_BITS = 15

Axis = Literal["columns", "rows"]
ByteImage = npt.NDArray[np.uint8]


class PatternSequence(Strict):
    """Which patterns, in what order. Lengths are projector pixels.

    width, height: of the projector. axes: what is coded: "columns" where projector and camera stand side by side,
    "rows" where they stand one above the other, both to tell false decodings by the line on which they must lie.
    stripe: columns (rows) with one code; 1 for Gray code alone, up to a third of `period` with a sinusoid, which
    brings the precision back with fewer pictures. bits: of the code; None is as many as it takes.
    steps: shifts of the sinusoid, 3..32, 0 for none; its harmonics up to steps - 2 cancel. period: of the sinusoid.
    white: whether a white picture comes last, for colour; without it colour is the brighter of the first pair.
    """

    width: Annotated[int, Field(ge=1, le=16384)]
    height: Annotated[int, Field(ge=1, le=16384)]
    axes: Annotated[tuple[Axis, ...], Field(strict=False, min_length=1, max_length=2)] = ("columns",)
    stripe: Annotated[int, Field(ge=1, le=256)] = 1
    bits: Annotated[int, Field(ge=1, le=MAX_BITS)] | None = None
    steps: Annotated[int, Field(ge=0, le=32)] = 0
    period: Annotated[float, Field(ge=2, le=4096)] = 16.0
    white: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> PatternSequence:
        if len(set(self.axes)) != len(self.axes):
            raise ValueError("axes names one axis twice")
        if self.steps in (1, 2):
            raise ValueError("steps must be 0 for no sinusoid, or 3 and more: two unknowns and the mean need three")
        if self.steps and self.stripe > self.period / 3:
            raise ValueError(
                f"stripe {self.stripe} is too wide to tell periods of {self.period} apart; at most a third of a period"
            )
        for axis in self.axes:
            if self.size(axis) > self.stripe << self.bits_of(axis):
                raise ValueError(f"bits {self.bits} are too few for {self.size(axis)} {axis}; leave it out")
            if self.bits_of(axis) > MAX_BITS:
                raise ValueError(f"{self.size(axis)} {axis} take more than {MAX_BITS} bits; use a wider stripe")
        return self

    def size(self, axis: Axis) -> int:
        """The projector's width for columns, its height for rows."""
        return self.width if axis == "columns" else self.height

    def bits_of(self, axis: Axis) -> int:
        """Bits of the code of an axis."""
        return self.bits or max(1, (-(-self.size(axis) // self.stripe) - 1).bit_length())

    def gray(self, axis: Axis) -> slice:
        """Where the Gray code captures of an axis stand in the sequence."""
        first = sum(2 * self.bits_of(other) for other in self.axes[: self.axes.index(axis)])
        return slice(first, first + 2 * self.bits_of(axis))

    def phase(self, axis: Axis) -> slice:
        """Where the captures of the sinusoid of an axis stand; empty where there are none."""
        first = self.gray(self.axes[-1]).stop + self.axes.index(axis) * self.steps
        return slice(first, first + self.steps)

    def __len__(self) -> int:
        return int(self.phase(self.axes[-1]).stop) + int(self.white)

    @property
    def names(self) -> list[str]:
        """What each picture is, for file names: `00-columns-gray-9`, `01-columns-gray-9-inverse`, ..."""
        names = []
        for axis in self.axes:
            for bit in reversed(range(self.bits_of(axis))):
                names += [f"{axis}-gray-{bit}", f"{axis}-gray-{bit}-inverse"]
        names += [f"{axis}-phase-{step}" for axis in self.axes for step in range(self.steps)]
        names += ["white"] * self.white
        return [f"{k:02d}-{name}" for k, name in enumerate(names)]

    def pictures(self) -> Iterator[ByteImage]:
        """The pictures in order, (height, width) uint8."""
        for axis in self.axes:
            code = np.arange(self.size(axis)) // self.stripe
            gray = code ^ (code >> 1)
            for bit in reversed(range(self.bits_of(axis))):
                line = np.where(gray >> bit & 1, 255, 0)
                yield self._spread(line, axis)
                yield self._spread(255 - line, axis)
        for axis in self.axes:
            turns = np.arange(self.size(axis)) / self.period
            for step in range(self.steps):
                yield self._spread(127.5 + 127.5 * np.cos(2 * np.pi * (turns + step / self.steps)), axis)
        if self.white:
            yield self._spread(np.full(self.width, 255), "columns")

    def _spread(self, line: npt.NDArray[Any], axis: Axis) -> ByteImage:
        levels = np.round(line).astype(np.uint8)
        across = levels[None, :] if axis == "columns" else levels[:, None]
        return np.ascontiguousarray(np.broadcast_to(across, (self.height, self.width)))


def read_sequence(path: Path) -> PatternSequence:
    """Read and check a sequence file. Raises ConfigError that names the file and the key."""
    return read_config(path, PatternSequence)


def write_sequence(folder: Path, sequence: PatternSequence) -> list[Path]:
    """Write the pictures as PNG and `patterns.json` into a folder; returns the files in order.

    Raises SourceError where the disk refuses.
    """
    files = [folder / f"{name}.png" for name in sequence.names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, picture in zip(files, sequence.pictures(), strict=True):
            file.write_bytes(encode_png(picture))
        text = json.dumps(sequence.model_dump(mode="json"), indent=1)
        (folder / SEQUENCE_FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return files
