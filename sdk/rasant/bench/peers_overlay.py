# SPDX-License-Identifier: Apache-2.0
"""The overlay alone, and all that follows the network, down to the picture: logits in; score, boxes and overlay out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.peers_post import (
    KERNEL,
    NETWORK,
    THRESHOLD,
    ScorePeer,
    colour_image,
    logits,
    naive_regions,
    naive_score,
    regions_peer,
)
from rasant.bench.scene import camera_of
from rasant.ops.overlay import blend_map, glow_colors
from rasant.ops.regions import find_regions
from rasant.ops.score import score_map
from rasant.overlay import draw_overlay
from rasant.preprocess import frame_from_map
from rasant.types import Frame, Inspection, Reason, Region, Timings, Verdict

__all__ = ["OPERATIONS", "Assembly", "StripBlend", "naive_blend", "naive_picture", "plain_picture"]

Picture = npt.NDArray[np.uint8]
RED = (255, 70, 50)


def naive_blend(frame: Picture, pooled: npt.NDArray[np.float32]) -> Picture:
    """The map at frame size, its colours, and a blend at each pixel's opacity in fresh floating-point arrays."""
    large = np.clip(cv2.resize(pooled, frame.shape[1::-1]), 0.0, 1.0)
    colors = cv2.applyColorMap((255 * large).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    alpha = np.clip(1.4 * large - 0.15, 0.0, 0.75)[..., None]
    return np.ascontiguousarray((frame * (1 - alpha) + colors * alpha).astype(np.uint8))


class StripBlend:
    """OpenCV alone, in bytes: tint and rest of each map pixel as four channels, enlarged, then blended in strips of 32
    rows that stay in the cache.
    """

    def __init__(self, size: Size) -> None:
        self.large, self.picture = np.empty((*size, 4), np.uint8), np.empty((*size, 3), np.uint8)
        self.table = glow_colors().copy().view(np.uint32)[:, 0]

    def __call__(self, frame: Picture, pooled: npt.NDArray[np.float32]) -> Picture:
        """The picture, valid until the next call."""
        levels = np.asarray(cv2.convertScaleAbs(pooled, alpha=255.0), np.uint8)
        glow = np.take(self.table, levels).view(np.uint8).reshape(*levels.shape, 4)
        cv2.resize(glow, frame.shape[1::-1], dst=self.large, interpolation=cv2.INTER_LINEAR)
        for y in range(0, len(frame), 32):
            strip = self.large[y : y + 32]
            rest = cv2.cvtColor(cv2.extractChannel(strip, 3), cv2.COLOR_GRAY2RGB)
            cv2.multiply(frame[y : y + 32], rest, dst=rest, scale=1.0 / 255.0)
            cv2.add(rest, cv2.cvtColor(strip, cv2.COLOR_RGBA2RGB), dst=self.picture[y : y + 32])
        return self.picture


def naive_picture(values: npt.NDArray[np.float32], frame: Picture) -> Picture:
    """Softmax, integral image, parts of the map at frame size, colours and blending in fresh floating-point arrays."""
    naive_score(values)
    exponent = np.exp(values - values.max(axis=0))
    pooled = cv2.blur(exponent[1] / exponent.sum(axis=0), (KERNEL, KERNEL), borderType=cv2.BORDER_CONSTANT)
    picture = naive_blend(frame, pooled)
    for x, y, width, height, _ in naive_regions(cv2.resize(pooled, frame.shape[1::-1])):
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), RED, 1)
    return picture


def plain_picture(values: npt.NDArray[np.float32], frame: Picture, score: ScorePeer) -> Picture:
    """OpenCV calls one after the other, each into a new array; one weight for the whole picture."""
    score(values)
    large = np.asarray(cv2.resize(score.pooled, frame.shape[1::-1]), np.float32)
    colors = cv2.applyColorMap(cv2.convertScaleAbs(large, alpha=255.0), cv2.COLORMAP_INFERNO)
    picture = cv2.addWeighted(frame, 0.6, cv2.cvtColor(colors, cv2.COLOR_BGR2RGB), 0.4, 0.0)
    for x, y, width, height, _ in regions_peer(large):
        cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), RED, 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


class Assembly:
    """OpenCV calls into kept buffers; parts are found on the small map. One weight for the whole picture."""

    def __init__(self, size: Size) -> None:
        self.score = ScorePeer(NETWORK)
        self.levels, self.large = np.empty(NETWORK, np.uint8), np.empty(size, np.uint8)
        self.colors, self.picture = np.empty((*size, 3), np.uint8), np.empty((*size, 3), np.uint8)

    def __call__(self, values: npt.NDArray[np.float32], frame: Picture) -> Picture:
        """The picture, valid until the next call."""
        self.score(values)
        cv2.convertScaleAbs(self.score.pooled, dst=self.levels, alpha=255.0)
        cv2.resize(self.levels, frame.shape[1::-1], dst=self.large, interpolation=cv2.INTER_LINEAR)
        cv2.applyColorMap(self.large, cv2.COLORMAP_INFERNO, dst=self.colors)
        cv2.addWeighted(frame, 0.6, self.colors, 0.4, 0.0, dst=self.picture)
        across, down = frame.shape[1] / NETWORK[1], frame.shape[0] / NETWORK[0]
        for x, y, width, height, _ in regions_peer(self.score.pooled):
            last = int((x + width) * across), int((y + height) * down)
            cv2.rectangle(self.picture, (int(x * across), int(y * down)), last, RED, 1, cv2.LINE_AA)
        return self.picture


def _blend(size: Size, threads: int) -> Case:
    frame, peer, out = colour_image(size), StripBlend(size), np.empty((*size, 3), np.uint8)
    pooled, matrix = np.empty(NETWORK, np.float32), frame_from_map(NETWORK, size)
    score_map(logits(NETWORK), kernel=KERNEL, out_pooled=pooled)
    return Case(
        lambda: blend_map(frame, pooled, picture_from_map=matrix, top=1.0, out=out, threads=threads),
        (
            Peer("naive: numpy and OpenCV, fresh float arrays", lambda: naive_blend(frame, pooled)),
            Peer("OpenCV in bytes, strips of 32 rows", lambda: peer(frame, pooled)),
        ),
        pooled.nbytes + 2 * frame.nbytes,
    )


def _picture(size: Size, threads: int) -> Case:
    values, color = logits(NETWORK), colour_image(size)
    raw, pooled = np.empty(NETWORK, np.float32), np.empty(NETWORK, np.float32)
    matrix, assembly, score = frame_from_map(NETWORK, size), Assembly(size), ScorePeer()
    canvas, labels = np.empty_like(color), np.empty(NETWORK, np.int32)
    frame = Frame(color, None, 0.001, camera_of(size), index=0, source="bench", arrival_ns=0)
    blank = Inspection(
        0, "bench", Verdict.REJECT, Reason.DEFECT, "", 1.0, THRESHOLD, (), raw, pooled, matrix, Timings(), "", ""
    )

    def ours() -> Picture:
        score_map(values, kernel=KERNEL, out_raw=raw, out_pooled=pooled, threads=threads)
        found = find_regions(pooled, THRESHOLD, frame_from_map=matrix, frame_size=size, out_labels=labels)
        boxes = ((r.frame_box, r) for r in found)
        regions = tuple(
            Region(box.x, box.y, box.width, box.height, r.area_px, r.peak, r.center_m, "unknown") for box, r in boxes
        )
        return draw_overlay(frame, replace(blank, regions=regions), out=canvas)

    target_ms = {(480, 640): 1.7, (720, 1280): 5.0}.get(size)
    peers = (
        Peer("naive: numpy and OpenCV, fresh float arrays", lambda: naive_picture(values, color)),
        Peer("OpenCV, parts at frame size, one weight", lambda: plain_picture(values, color, score), target_ms and 3.5),
        Peer("OpenCV into buffers, small parts, one weight", lambda: assembly(values, color)),
    )
    return Case(ours, peers, values.nbytes + 2 * color.nbytes, target_ms)


OPERATIONS = (
    Operation("overlay", _blend, note="a map of 256x256"),
    Operation("post+overlay", _picture, note="3 regions"),
)
