# SPDX-License-Identifier: Apache-2.0
"""What stands around the network, in numpy and OpenCV: pack before it, score, regions and the picture after it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.scene import domed_part
from rasant.ops.pack import pack
from rasant.ops.regions import find_regions
from rasant.ops.score import score_map

__all__ = [
    "KERNEL", "OPERATIONS", "ScorePeer", "colour_image", "logits", "naive_regions", "naive_score", "regions_peer",
]  # fmt: skip

NETWORK: Size = (256, 256)
KERNEL, THRESHOLD = 21, 0.5
FloatImage = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]
Box = tuple[int, int, int, int, float]  # x, y, width, height, peak


def logits(size: Size = NETWORK, seed: int = 0) -> FloatImage:
    """(2, h, w): smooth noise with three bright blobs, as a network that found three defects."""
    random = np.random.default_rng(seed)
    values = random.normal(0.0, 1.5, (2, *size)).astype(np.float32)
    values[0] += 3.0
    for y, x in random.integers(20, min(size) - 40, (3, 2)):
        values[1, y : y + 18, x : x + 24] += 8.0
    return values


def naive_score(values: FloatImage, kernel: int = KERNEL) -> tuple[float, int]:
    """Softmax over the channels, box mean by an integral image in float64, maximum, non-finite count."""
    exponent = np.exp(values.astype(np.float64) - values.max(axis=0))
    probability = exponent[1] / exponent.sum(axis=0)
    half = kernel // 2
    table = np.pad(np.pad(probability, half).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = table[kernel:, kernel:] - table[:-kernel, kernel:] - table[kernel:, :-kernel] + table[:-kernel, :-kernel]
    return float(sums.max()) / kernel**2, int((~np.isfinite(values)).sum())


class ScorePeer:
    """Sigmoid of the logit difference in place, cv2.blur, maximum, and a sum that finds what is not finite."""

    def __init__(self, size: Size = NETWORK) -> None:
        self.raw, self.pooled = np.empty(size, np.float32), np.empty(size, np.float32)

    def __call__(self, values: FloatImage) -> tuple[float, int]:
        """(score, values that are not finite)."""
        np.subtract(values[0], values[1], out=self.raw)
        np.exp(self.raw, out=self.raw)
        np.add(self.raw, 1.0, out=self.raw)
        np.reciprocal(self.raw, out=self.raw)
        cv2.blur(self.raw, (KERNEL, KERNEL), dst=self.pooled, borderType=cv2.BORDER_CONSTANT)
        finite = bool(np.isfinite(values.sum()))
        bad = 0 if finite else values.size - int(np.count_nonzero(np.isfinite(values)))
        return cv2.minMaxLoc(self.pooled)[1], bad


def _score(size: Size, threads: int) -> Case:
    values, peer = logits(size), ScorePeer(size)
    raw, pooled = np.empty(size, np.float32), np.empty(size, np.float32)
    network = size == NETWORK
    return Case(
        lambda: score_map(values, kernel=KERNEL, out_raw=raw, out_pooled=pooled, threads=threads),
        (
            Peer("naive: numpy softmax, integral image", lambda: naive_score(values)),
            Peer("numpy sigmoid in place, cv2.blur", lambda: peer(values), 1.4 if network else None),
        ),
        values.nbytes + raw.nbytes + pooled.nbytes, 0.2 if network else None,
    )  # fmt: skip


def colour_image(size: Size) -> npt.NDArray[np.uint8]:
    """(h, w, 3) random colours."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def _pack(size: Size, threads: int) -> Case:
    color, depth = colour_image(size), domed_part(size)
    out_color, out_depth = np.empty((1, 3, *NETWORK), np.float32), np.empty((1, 1, *NETWORK), np.float32)
    peer_color, peer_depth = np.empty_like(out_color), np.empty_like(out_depth)
    small, to = np.empty((*NETWORK, 3), np.uint8), NETWORK[::-1]

    def naive() -> tuple[Floats, Floats]:
        planes = cv2.resize(color, to, interpolation=cv2.INTER_AREA).astype(np.float32).transpose(2, 0, 1) / 255
        one = cv2.resize(depth, to, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(planes)[None], one[None, None]

    def peer() -> None:
        cv2.resize(color, to, dst=small, interpolation=cv2.INTER_AREA)
        np.multiply(small.transpose(2, 0, 1), np.float32(1 / 255), out=peer_color[0])
        cv2.resize(depth, to, dst=peer_depth[0, 0], interpolation=cv2.INTER_AREA)

    return Case(
        lambda: pack(color, depth, size=NETWORK, out_color=out_color, out_depth=out_depth, threads=threads),
        (
            Peer("naive: cv2.resize, astype, transpose; blind to holes", naive),
            Peer("cv2.resize into buffers; blind to holes", peer),
        ),
        color.nbytes + depth.nbytes + out_color.nbytes + out_depth.nbytes,
    )


def naive_regions(pooled: FloatImage) -> list[Box]:
    """Connected parts, each then searched for in the whole image."""
    count, labels = cv2.connectedComponents((pooled >= THRESHOLD).astype(np.uint8), connectivity=8)
    boxes = []
    for label in range(1, count):
        y, x = np.nonzero(labels == label)
        peak = float(pooled[labels == label].max())
        boxes.append((int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1, peak))
    return boxes


def regions_peer(pooled: FloatImage) -> list[Box]:
    """OpenCV's statistics, and the peak inside each box only."""
    above = (pooled >= THRESHOLD).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    boxes = []
    for label in range(1, count):
        x, y, w, h = (int(value) for value in stats[label, :4])
        window = np.s_[y : y + h, x : x + w]
        boxes.append((x, y, w, h, cv2.minMaxLoc(pooled[window], (labels[window] == label).view(np.uint8))[1]))
    return boxes


def _regions(size: Size, _: int) -> Case:
    pooled, found = np.empty(size, np.float32), np.empty(size, np.int32)
    score_map(logits(size), kernel=KERNEL, out_pooled=pooled)
    matrix = np.array([[5.0, 0.0, 2.0], [0.0, 2.8125, 0.90625]])
    return Case(
        lambda: find_regions(pooled, THRESHOLD, frame_from_map=matrix, frame_size=(720, 1280), out_labels=found),
        (
            Peer("naive: numpy mask of every part", lambda: naive_regions(pooled)),
            Peer("cv2.connectedComponentsWithStats, minMaxLoc", lambda: regions_peer(pooled)),
        ),
        pooled.nbytes + found.nbytes,
    )


OPERATIONS = (
    Operation("pack", _pack, note="RGB-D to 256x256"),
    Operation("score", _score, sizes=(NETWORK, (512, 512)), note="kernel 21"),
    Operation("regions", _regions, sizes=(NETWORK, (512, 512)), note="3 regions", threaded=False),
)
