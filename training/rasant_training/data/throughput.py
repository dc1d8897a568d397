# SPDX-License-Identifier: Apache-2.0
"""How many DAS3D samples a second, ours beside two pipelines of numpy and OpenCV calls that draw the same.

    python -m rasant_training.data.throughput            # a table
    python -m rasant_training.data.throughput --json     # one object a line

All run in one thread and in turns, timed by that thread's own clock, so what else the machine does hardly counts.
`share` is the part of a training step's time that one thread needs to make the step's samples: below 1, the network
never waits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.peers_defect import numpy_kernel
from rasant.bench.peers_perlin import matmul_perlin, naive_perlin
from rasant.ops.defect import DefectParams
from rasant.preprocess import PreprocessParams
from rasant.synthesis.noise import FIELDS, RandomFields
from rasant.types import Intrinsics
from rasant_training.data.batches import Sample
from rasant_training.data.parts import PreparedParts
from rasant_training.data.stages import stage_of
from rasant_training.methods.das3d.presets import PRESETS
from rasant_training.methods.das3d.synthesis import Synthesiser

__all__ = ["PEERS", "NaiveSynthesiser", "PlainSynthesiser", "Row", "made_parts", "measure"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
STEP_S = 0.45  # of the edge preset with 8 crops of 128 x 128, on the 2 cores of the reference machine


class PlainFields(RandomFields):
    """Perlin fields by a matrix product, turned by OpenCV. Square lattices: as good, and simpler."""

    def __call__(self, k: int, count: int = 1, *, device: str = "cpu", stream: object = None) -> Image:
        """(count, h, w) float32."""
        fields = np.empty((count, *self.size), np.float32)
        (h, w), random = self.size, np.random.default_rng((self.seed, self.first + k))
        for field, cells, angle in zip(fields, self.cells[k:], self.angle[k:], strict=False):
            matmul_perlin(self.size, int(cells[0]), random, field)
            if angle:
                turn = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), math.degrees(angle), 1.0)
                cv2.warpAffine(field.copy(), turn, (w, h), dst=field, flags=cv2.INTER_LINEAR)
        return fields


class NaiveFields(RandomFields):
    """Perlin fields as DRAEM's program has them, which its successors took over."""

    def __call__(self, k: int, count: int = 1, *, device: str = "cpu", stream: object = None) -> Image:
        """(count, h, w) float32."""
        random = np.random.default_rng((self.seed, self.first + k))
        fields = [naive_perlin(self.size, int(cells[0]), random) for cells in self.cells[k : k + count]]
        return np.stack(fields, dtype=np.float32)


class PlainSynthesiser(Synthesiser):
    """The same samples without native operations: the defect by filter2D in its bounding box."""

    def _fields(self, index: int, random: np.random.Generator) -> RandomFields:
        return PlainFields(self.size, random, seed=self.seed, first=index * FIELDS, lattice=self.recipe.lattice)

    def _draw(
        self, field: Image, params: DefectParams, support: Mask, foreground: Mask, seen: Sample, texture: Image | None
    ) -> Sample:
        p, (h, w) = params, self.size
        mask = np.zeros((h, w), np.float32)
        found = {"mask": mask} | {name: image.copy() for name, image in seen.items()}
        signs = (field > p.threshold).astype(np.float32)
        signs -= field < -p.threshold
        signs *= support
        x, y, width, height = cv2.boundingRect((signs != 0).view(np.uint8))
        if not width:
            return found
        kernel = numpy_kernel(p.sigma, p.skew)
        reach = len(kernel) // 2
        box = np.s_[max(y - reach, 0) : y + height + reach, max(x - reach, 0) : x + width + reach]
        border = cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED
        spread = cv2.filter2D(np.ascontiguousarray(signs[box]), cv2.CV_32F, kernel, borderType=border)
        delta = np.asarray(spread, np.float32)
        delta *= foreground[box]
        delta *= np.float32(p.amplitude)
        mask[box] = np.abs(delta) >= np.float32(p.visible)
        if "depth" in found:
            found["depth"][(0, *box)] += delta * np.float32(p.gain)
        if texture is not None:
            color, foreign = found["color"][(slice(None), *box)], texture[(slice(None), *box)]
            color += mask[box] * np.float32(1 - p.kept_color) * (foreign - color)
        return found


class NaiveSynthesiser(PlainSynthesiser):
    """The formulas step by step over whole images; a turn of the noise is left out."""

    def _fields(self, index: int, random: np.random.Generator) -> RandomFields:
        return NaiveFields(self.size, random, seed=self.seed, first=index * FIELDS, lattice=self.recipe.lattice)

    def _draw(
        self, field: Image, params: DefectParams, support: Mask, foreground: Mask, seen: Sample, texture: Image | None
    ) -> Sample:
        p, found = params, dict(seen)
        signs = ((field > p.threshold).astype(np.float32) - (field < -p.threshold).astype(np.float32)) * support
        kernel = numpy_kernel(p.sigma, p.skew)
        delta = cv2.filter2D(signs, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT) * foreground * p.amplitude
        mask = found["mask"] = (np.abs(delta) >= p.visible).astype(np.float32)
        if "depth" in seen:
            found["depth"] = (seen["depth"] + delta * p.gain).astype(np.float32)
        if texture is not None:
            kept = np.float32(p.kept_color)
            color = seen["color"]
            found["color"] = (1 - mask) * color + mask * ((1 - kept) * texture + kept * color)
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of the edge preset, ours beside one pipeline. Rates are samples/s of one thread, ratio rate / peer."""

    stage: str
    batch: int
    rate: float
    share: float  # of a training step that one thread needs for its samples
    peer: str
    peer_rate: float
    peer_share: float
    ratio: float


PEERS: dict[str, type[Synthesiser]] = {
    "numpy and OpenCV, rewritten with care": PlainSynthesiser,
    "numpy and OpenCV, as papers' programs have it": NaiveSynthesiser,
}


def made_parts(count: int = 8, side: int = 256) -> PreparedParts:
    """Squares of random colour and relief on a table: what the timing needs of a data set."""
    random = np.random.default_rng(0)
    depth = np.full((count, side, side), 0.1, np.float32)
    inner = np.s_[:, side // 5 : -side // 5, side // 5 : -side // 5]
    depth[inner] = 0.5 + 0.02 * random.standard_normal(depth[inner].shape, dtype=np.float32)
    foreground = depth > 0.2
    return PreparedParts(
        color=random.random((count, 3, side, side), dtype=np.float32), depth=depth, foreground=foreground,
        valid=np.ones_like(foreground), params=PreprocessParams(size=(side, side), depth_low=0.0, depth_high=0.02),
        names=tuple(map(str, range(count))), category="square", serial="", sha256="", limits={},
        intrinsics=Intrinsics(side, side, side, side, (side - 1) / 2, (side - 1) / 2),
    )  # fmt: skip


def measure(*, seconds: float = 5.0, step_s: float = STEP_S, side: int = 256) -> Iterator[Row]:
    """The two stages of the edge preset, crops and whole frames, for about `seconds` each.

    step_s: seconds of a training step, which has about as many pixels in both stages.
    """
    parts = made_parts(side=side)
    for stage, done in (("crops", 0.0), ("whole frames", 1.0)):
        recipe = stage_of(PRESETS["edge"], (side, side), done)
        batch = recipe.data.batch
        makers: list[Synthesiser] = [Synthesiser(parts, recipe, 1)]
        makers += [kind(parts, recipe, 1) for kind in PEERS.values()]
        ours, *peers = _rates(makers, seconds)
        for name, rate in zip(PEERS, peers, strict=True):
            yield Row(stage, batch, ours, batch / ours / step_s, name, rate, batch / rate / step_s, ours / rate)


def _rates(makers: list[Synthesiser], seconds: float, block: int = 16) -> list[float]:
    """Samples/s of each: the median over blocks of the same samples, in turns."""
    times: list[list[float]] = [[] for _ in makers]
    end, first = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or first < 3 * block:
        for maker, found in zip(makers, times, strict=True):
            found.append(_seconds(maker, range(first, first + block)))
        first += block
    return [block / float(np.median(found[1:])) for found in times]


def _seconds(make: Callable[[int], Sample], indices: range) -> float:
    begin = time.thread_time()
    for index in indices:
        make(index)
    return time.thread_time() - begin


def main() -> None:
    """Prints a row for each stage."""
    parser = argparse.ArgumentParser(description="DAS3D samples a second, native and with numpy and OpenCV alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each stage")
    parser.add_argument("--step", type=float, default=STEP_S, help="seconds of a training step")
    arguments = parser.parse_args()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for row in measure(seconds=arguments.seconds, step_s=arguments.step):
            text = (
                f"{row.stage:<13}{row.rate:6.0f} samples/s, {100 * row.share:4.1f} % of a step;"
                f"{row.peer_rate:6.0f} {row.peer} ({row.ratio:.1f} times)"
            )
            sys.stdout.write(f"{json.dumps(asdict(row)) if arguments.json else text}\n")
    finally:
        cv2.setNumThreads(threads)


if __name__ == "__main__":
    main()
