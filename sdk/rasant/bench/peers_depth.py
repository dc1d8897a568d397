# SPDX-License-Identifier: Apache-2.0
"""Depth preprocessing in numpy and OpenCV: metres, fill, normalise, and the whole chain to the network's input."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.peers_background import Heights, border_points, least_squares, naive_height, ransac, rays_of
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.background import Plane, close_mask, fit_plane_ransac, height_above
from rasant.ops.depth import to_metres
from rasant.ops.fill import fill_holes
from rasant.ops.normalize import normalize_depth
from rasant.ops.pack import pack

__all__ = ["OPERATIONS", "BoxFill", "GatherFill", "naive_chain", "naive_fill", "naive_normalize"]

NETWORK = (256, 256)
PASSES, HIGH_M = 3, 0.05
SQUARE = np.ones((3, 3), np.uint8)
FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[Any]


def naive_fill(depth: FloatImage, passes: int = PASSES) -> Floats:
    """The mean of the valid 3x3 neighbours at every pixel, by nine shifted copies of value and validity."""
    rows, columns = depth.shape
    for _ in range(passes):
        padded = np.pad(depth, 1)
        windows = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
        count = sum((window > 0).astype(np.float32) for window in windows)
        depth = np.where(depth > 0, depth, sum(windows) / np.maximum(count, 1))
    return depth


class BoxFill:
    """Fill by box filters of value and validity, in buffers that are kept."""

    def __init__(self, size: Size) -> None:
        self.out, self.total, self.count = (np.empty(size, np.float32) for _ in range(3))
        self.valid, self.near, self.holes = (np.empty(size, np.uint8) for _ in range(3))

    def __call__(self, depth: FloatImage, passes: int = PASSES) -> FloatImage:
        """(h, w), valid until the next call."""
        np.copyto(self.out, depth)
        for _ in range(passes):
            cv2.threshold(self.out, 0.0, 1.0, cv2.THRESH_BINARY, dst=self.count)
            np.equal(self.out, 0.0, out=self.holes.view(np.bool_))
            for image, sums in ((self.out, self.total), (self.count, self.count)):
                cv2.boxFilter(image, -1, (3, 3), dst=sums, normalize=False, borderType=cv2.BORDER_CONSTANT)
            np.maximum(self.count, 1.0, out=self.count)
            cv2.divide(self.total, self.count, dst=self.total)
            cv2.copyTo(self.total, self.holes, dst=self.out)
        return self.out


class GatherFill:
    """Fill that looks at the neighbours of holes only: the fewer holes, the better. Keeps its padded image."""

    def __init__(self, size: Size) -> None:
        self.padded = np.zeros((size[0] + 2, size[1] + 2), np.float32)
        width = size[1] + 2
        self.around = np.array([y * width + x for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x])[:, None]

    def __call__(self, depth: FloatImage, passes: int = PASSES) -> FloatImage:
        """(h, w), a view that is valid until the next call."""
        inner = self.padded[1:-1, 1:-1]
        inner[...] = depth
        y, x = np.nonzero(depth == 0.0)
        flat, at = self.padded.ravel(), (y + 1) * self.padded.shape[1] + x + 1
        for _ in range(passes):
            values = flat[at + self.around]
            count = np.count_nonzero(values, axis=0)
            found = count > 0
            flat[at[found]] = values.sum(axis=0)[found] / count[found]
            at = at[~found]
        return inner


def _fill(size: Size, threads: int) -> Case:
    depth, out = domed_part(size), np.empty(size, np.float32)
    box, gather = BoxFill(size), GatherFill(size)
    peers = (
        Peer("naive: numpy, nine shifted copies", lambda: naive_fill(depth)),
        Peer("cv2.boxFilter of value and validity", lambda: box(depth)),
        Peer("numpy gather at the holes only", lambda: gather(depth)),
    )
    return Case(lambda: fill_holes(depth, passes=PASSES, out=out, threads=threads), peers, 2 * depth.nbytes)


def _metres(size: Size, threads: int) -> Case:
    counts = (domed_part(size) * 10000).astype(np.uint16)
    out, other, scale = np.empty(size, np.float32), np.empty(size, np.float32), np.float32(1e-4)
    peers = (
        Peer("naive: numpy astype, multiply", lambda: counts.astype(np.float32) * 1e-4),
        Peer("numpy multiply into a buffer", lambda: np.multiply(counts, scale, out=other, dtype=np.float32)),
    )
    return Case(lambda: to_metres(counts, 1e-4, out=out, threads=threads), peers, counts.nbytes + out.nbytes)


def naive_normalize(values: FloatImage, mask: Mask, rule: str) -> Floats:
    """0.1 to 0.9 between the ends that the rule names; missing 0."""
    used = values[mask & (values != 0)]
    low, high = 0.0, HIGH_M
    if rule == "threedsr":
        low, high = float(used.min()), float(used.max())
    elif rule == "percentile":
        low, high = (float(value) for value in np.percentile(used, [0.5, 99.5], method="lower"))
    normal = (values - low) / (high - low) * 0.8 + 0.1
    if rule == "percentile":
        normal = np.clip(normal, 0.0, 1.0)
    return np.where(mask & (values != 0), normal, 0.0)


def numpy_normalize(values: FloatImage, mask: Mask, rule: str, out: FloatImage) -> FloatImage:
    """The same in place, with OpenCV's masked extremes and a partition for percentiles."""
    low, high = 0.0, HIGH_M
    if rule == "threedsr":
        low, high, _, _ = cv2.minMaxLoc(values, mask.view(np.uint8))
    elif rule == "percentile":
        used = values[mask]
        ranks = [int(percent / 100 * (used.size - 1)) for percent in (0.5, 99.5)]
        low, high = (float(value) for value in np.partition(used, ranks)[ranks])
    gain = 0.8 / (high - low)
    np.multiply(values, np.float32(gain), out=out)
    np.add(out, np.float32(0.1 - low * gain), out=out)
    if rule == "percentile":
        np.clip(out, 0.0, 1.0, out=out)
    return np.multiply(out, mask, out=out)


def _normalize(size: Size, threads: int, rule: str) -> Case:
    depth, camera = domed_part(size), camera_of(size)
    height, mask = height_above(depth, fit_plane_ransac(depth, camera), camera, threshold_m=0.005)
    values = height if rule == "height_range" else depth
    out, other = np.empty(size, np.float32), np.empty(size, np.float32)
    low, high = (0.5, 99.5) if rule == "percentile" else (0.0, HIGH_M)
    peers = (
        Peer("naive: numpy", lambda: naive_normalize(values, mask, rule)),
        Peer("numpy in place, cv2.minMaxLoc, partition", lambda: numpy_normalize(values, mask, rule, other)),
    )
    return Case(
        lambda: normalize_depth(values, mask, rule=rule, low=low, high=high, out=out, threads=threads), peers,
        2 * depth.nbytes + mask.nbytes,
    )  # fmt: skip


def naive_chain(depth: FloatImage, size: Size) -> Floats:
    """Every stage in its naive form, but for the plane, which is not searched a thousand times."""
    camera = camera_of(size)
    filled = naive_fill(depth)
    plane = least_squares(border_points(filled, rays_of(camera)))
    normal = tuple(float(n) for n in plane[0])
    height, mask = naive_height(filled, Plane((normal[0], normal[1], normal[2]), plane[1], 0.0, 0, 0), camera)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, SQUARE, iterations=3).astype(np.bool_)
    return cv2.resize(naive_normalize(height, closed, "height_range"), NETWORK, interpolation=cv2.INTER_AREA)


def _chain(size: Size, threads: int) -> Case:
    depth, camera = domed_part(size), camera_of(size)
    filled, height, normal, other = (np.empty(size, np.float32) for _ in range(4))
    mask, closed, other_closed = (np.empty(size, np.bool_) for _ in range(3))
    out, small = np.empty((1, 1, *NETWORK), np.float32), np.empty(NETWORK, np.float32)

    def ours() -> None:
        fill_holes(depth, passes=PASSES, out=filled, threads=threads)
        plane = fit_plane_ransac(filled, camera)
        height_above(filled, plane, camera, threshold_m=0.005, out_height=height, out_foreground=mask, threads=threads)
        close_mask(mask, iterations=3, out=closed)
        normalize_depth(height, closed, rule="height_range", low=0.0, high=HIGH_M, out=normal, threads=threads)
        pack(None, normal, size=NETWORK, out_depth=out, threads=threads)

    box, gather, heights = BoxFill(size), GatherFill(size), Heights.of(camera)
    rays, random = rays_of(camera), np.random.default_rng(0)

    def assembly(fill: BoxFill | GatherFill) -> None:
        full = fill(depth)
        found, part = heights(full, *ransac(border_points(full, rays), random))
        cv2.morphologyEx(
            part.view(np.uint8), cv2.MORPH_CLOSE, SQUARE, dst=other_closed.view(np.uint8), iterations=3
        )
        numpy_normalize(found, other_closed, "height_range", other)
        cv2.resize(other, NETWORK, dst=small, interpolation=cv2.INTER_AREA)

    peers = (
        Peer("naive: numpy and a point cloud", lambda: naive_chain(depth, size)),
        Peer("numpy + OpenCV, fill by box filters", lambda: assembly(box), 5.0 if size == (800, 800) else None),
        Peer("numpy + OpenCV, fill by gathering", lambda: assembly(gather)),
    )
    return Case(ours, peers, depth.nbytes + out.nbytes, 4.0 if size == (800, 800) else None)


OPERATIONS = (
    Operation("metres", _metres, note="uint16"),
    Operation("fill", _fill, note="3 passes"),
    Operation("normalize", lambda size, threads: _normalize(size, threads, "height_range"), note="height_range"),
    Operation("normalize", lambda size, threads: _normalize(size, threads, "threedsr"), note="threedsr"),
    Operation("normalize", lambda size, threads: _normalize(size, threads, "percentile"), note="percentile"),
    Operation("depth chain", _chain, note="to 256x256"),
)
