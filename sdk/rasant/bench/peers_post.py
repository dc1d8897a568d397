# SPDX-License-Identifier: Apache-2.0
"""What a good programmer would write with numpy and OpenCV for pack, score and regions; buffers are reused."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case
from rasant.ops.pack import pack
from rasant.ops.regions import find_regions
from rasant.ops.score import score_map

__all__ = ["cases", "score_peer"]

KERNEL = 21
FloatImage = npt.NDArray[np.float32]


def cases(threads: int) -> list[Case]:
    """Comparisons of what follows and precedes the network."""
    return [_score(threads), _pack(threads, (720, 1280)), _pack(threads, (256, 256)), _regions()]


def logits(size: int = 256, seed: int = 0) -> FloatImage:
    """(2, size, size): smooth noise with three bright blobs, as a network that found three defects."""
    random = np.random.default_rng(seed)
    values = random.normal(0.0, 1.5, (2, size, size)).astype(np.float32)
    values[0] += 3.0
    for y, x in random.integers(20, size - 40, (3, 2)):
        values[1, y : y + 18, x : x + 24] += 8.0
    return values


def score_peer(values: FloatImage) -> tuple[float, int]:
    """Sigmoid of the logit difference, box mean with zero border, maximum, and the non-finite count."""
    np.subtract(values[0], values[1], out=_WORK[0])
    np.exp(_WORK[0], out=_WORK[0])
    np.add(_WORK[0], 1.0, out=_WORK[0])
    np.reciprocal(_WORK[0], out=_WORK[0])
    cv2.blur(_WORK[0], (KERNEL, KERNEL), dst=_WORK[1], borderType=cv2.BORDER_CONSTANT)
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    return cv2.minMaxLoc(_WORK[1])[1], bad


_WORK = np.empty((2, 256, 256), np.float32)


def _score(threads: int) -> Case:
    values = logits()
    raw, pooled = np.empty((256, 256), np.float32), np.empty((256, 256), np.float32)
    return Case(
        op="score", size="256x256 kernel 21", threads=threads,
        ours=lambda: score_map(values, kernel=KERNEL, out_raw=raw, out_pooled=pooled, threads=threads),
        peer="numpy sigmoid + cv2.blur", peer_call=lambda: score_peer(values),
        moved=values.nbytes + raw.nbytes + pooled.nbytes, target=1.4, target_ms=0.2,
    )  # fmt: skip


def _pack(threads: int, size: tuple[int, int]) -> Case:
    random = np.random.default_rng(0)
    color = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    depth = random.uniform(0.3, 0.6, size).astype(np.float32)
    out_color, out_depth = np.empty((1, 3, 256, 256), np.float32), np.empty((1, 1, 256, 256), np.float32)
    peer_color, peer_depth = np.empty_like(out_color), np.empty_like(out_depth)

    def peer() -> None:
        resized = cv2.resize(color, (256, 256), interpolation=cv2.INTER_AREA)
        np.multiply(resized.transpose(2, 0, 1), np.float32(1 / 255), out=peer_color[0])
        cv2.resize(depth, (256, 256), dst=peer_depth[0, 0], interpolation=cv2.INTER_AREA)

    return Case(
        op="pack", size=f"{size[1]}x{size[0]} RGB-D to 256x256", threads=threads,
        ours=lambda: pack(
            color, depth, size=(256, 256), out_color=out_color, out_depth=out_depth, threads=threads
        ),
        peer="cv2.resize area, holes not honoured", peer_call=peer,
        moved=color.nbytes + depth.nbytes + out_color.nbytes + out_depth.nbytes,
    )  # fmt: skip


def _regions() -> Case:
    pooled = np.empty((256, 256), np.float32)
    score_map(logits(), kernel=KERNEL, out_pooled=pooled)
    matrix = np.array([[5.0, 0.0, 2.0], [0.0, 2.8125, 0.90625]])
    labels = np.empty((256, 256), np.int32)

    def peer() -> list[tuple[float, ...]]:
        count, found, stats, _ = cv2.connectedComponentsWithStats((pooled >= 0.5).view(np.uint8), connectivity=8)
        peaks = [float(pooled[found == i].max()) for i in range(1, count)]
        return [(*stats[i], peaks[i - 1]) for i in range(1, count)]

    return Case(
        op="regions", size="256x256, 3 regions",
        ours=lambda: find_regions(pooled, 0.5, frame_from_map=matrix, frame_size=(720, 1280), out_labels=labels),
        peer="cv2.connectedComponentsWithStats", peer_call=peer, moved=pooled.nbytes + labels.nbytes,
    )  # fmt: skip
