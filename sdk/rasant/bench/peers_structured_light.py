# SPDX-License-Identifier: Apache-2.0
"""Structured light in numpy and OpenCV: whole stacks at once, as programs have it, and one image after the other.

OpenCV's own decoder (`cv2.structured_light`) is in its contrib build, which is no part of rasant; where it is there, a
peer runs it. It decodes a pixel a call, in C++.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.bench.scene import camera_of
from rasant.ops.graycode import decode_gray
from rasant.ops.phase import decode_phase
from rasant.ops.triangulate import TriangulationPlan, triangulate
from rasant.types import Intrinsics

__all__ = [
    "OPERATIONS", "SHAPES", "GrayPeer", "PhasePeer", "PointPeer", "captures_of", "numpy_gray", "numpy_phase",
    "phase_captures", "positions",
]  # fmt: skip

COLUMNS, ROWS, BITS = 1280, 800, 11
STEPS, PERIOD = 8, 16.0
MIN_STEP, MIN_AMPLITUDE = 8, 5.0
PROJECTOR = Intrinsics(COLUMNS, ROWS, 1650.0, 1650.0, 639.5, 399.5, "brown_conrady", (-0.05, 0.1, -0.002, 0.001, -0.05))
MOTION = np.hstack([cv2.Rodrigues(np.array([0.0, 0.35, 0.02]))[0], np.array([[-0.17], [-0.01], [0.02]])])
SHAPES: tuple[Size, ...] = ((480, 640), (1944, 2592))
Stack = npt.NDArray[np.uint8]
Floats = npt.NDArray[Any]


def positions(size: Size) -> tuple[Floats, Floats]:
    """Projector columns and rows of a camera's pixels, (H, W) float32: a plane, seen a little from the side."""
    y, x = (np.arange(side, dtype=np.float32) / side for side in size)
    column = 90 + 1000 * x[None, :] + 60 * y[:, None]
    return column, 40 + 700 * y[:, None] + 20 * x[None, :]


@lru_cache(maxsize=1)
def captures_of(size: Size) -> Stack:
    """(44, H, W): Gray code of columns, then rows, with noise; a fifth of the pixels is dark."""
    random = np.random.default_rng(0)
    stack = np.empty((4 * BITS, *size), np.uint8)
    noise = random.integers(-3, 4, size, dtype=np.int16)
    light = np.where(random.random(size, dtype=np.float32) < 0.2, 2, 150).astype(np.int16)
    for axis, at in enumerate(positions(size)):
        code = np.round(at).astype(np.int32)
        gray = code ^ (code >> 1)
        for bit in range(BITS):
            on = (gray >> (BITS - 1 - bit) & 1).astype(np.int16)
            stack[2 * (axis * BITS + bit)] = 20 + light * on + noise
            stack[2 * (axis * BITS + bit) + 1] = 20 + light * (1 - on) - noise
    stack.flags.writeable = False
    return stack


def phase_captures(size: Size) -> Stack:
    """(8, H, W): the sinusoid of the columns."""
    turns = 2 * np.pi / PERIOD * positions(size)[0]
    return np.stack([np.round(110 + 80 * np.cos(turns + 2 * np.pi * k / STEPS)).astype(np.uint8) for k in range(STEPS)])


def numpy_gray(pairs: Stack, size: int) -> tuple[Floats, Floats]:
    """(position, confidence) of one axis from whole stacks: differences, codes, and what the border bits say."""
    difference = pairs[0::2].astype(np.int16) - pairs[1::2]
    on, steps = difference > 0, np.abs(difference)
    code = np.zeros(pairs.shape[1:], np.int32)
    bit = np.zeros(pairs.shape[1:], bool)
    for k in range(len(on)):
        bit = bit ^ on[k]
        code = code * 2 + bit
    found, lowest, border = on[-1].copy(), on[-1].copy(), steps[-1].copy()
    margin = np.full(code.shape, 255, np.int16)
    for k in range(len(on) - 2, -1, -1):
        border = np.where(lowest, steps[k], border)
        margin = np.where(lowest, margin, np.minimum(margin, steps[k]))
        lowest = on[k] & ~found
        found = found | on[k]
    margin = np.minimum(margin, steps.max(axis=0))
    left, both = np.where(code & 1, steps[-1], border), steps[-1] + border
    position = code + np.where(both > 0, left / np.maximum(both, 1).astype(np.float32), np.float32(0.5)) - 0.5
    sure = (margin >= MIN_STEP) & (code < size)
    return np.where(sure, position, np.nan).astype(np.float32), np.where(sure, margin, 0).astype(np.uint8)


class GrayPeer:
    """The same, an image at a time, in bytes and by OpenCV where it has the operation; buffers are used again."""

    def __init__(self, size: Size) -> None:
        byte = [np.empty(size, np.uint8) for _ in range(9)]
        self.on, self.step, self.found, self.lowest, self.border, self.margin, self.top, self.finest, self.wide = byte
        self.gray, self.shifted = np.empty(size, np.uint16), np.empty(size, np.uint16)
        self.position, self.both = np.empty(size, np.float32), np.empty(size, np.float32)

    def __call__(self, pairs: Stack, size: int) -> tuple[Floats, Floats]:
        """(position, confidence) of one axis."""
        self.margin.fill(255)
        self.gray.fill(0)
        count = len(pairs) // 2
        for k in range(count):
            p, q = pairs[len(pairs) - 2 - 2 * k], pairs[len(pairs) - 1 - 2 * k]
            cv2.absdiff(p, q, dst=self.step)
            cv2.compare(p, q, cv2.CMP_GT, dst=self.on)
            self._see(k)
            np.bitwise_and(self.on, 1, out=self.wide)
            np.left_shift(self.wide, k, out=self.shifted, dtype=np.uint16)
            np.bitwise_or(self.gray, self.shifted, out=self.gray)
        for shift in (1, 2, 4, 8):
            np.bitwise_xor(self.gray, np.right_shift(self.gray, shift, out=self.shifted), out=self.gray)
        odd = (self.gray & 1).astype(bool)
        np.copyto(self.position, self.border)
        np.copyto(self.position, self.finest, where=odd)
        np.add(self.finest, self.border, out=self.both, dtype=np.float32)
        np.divide(self.position, self.both, out=self.position, where=self.both > 0)
        self.position[self.both == 0] = 0.5
        self.position += self.gray
        self.position -= np.float32(0.5)
        cv2.min(self.margin, self.top, dst=self.margin)
        lost = (self.margin < MIN_STEP) | (self.gray >= size)
        self.position[lost], self.margin[lost] = np.nan, 0
        return self.position, self.margin

    def _see(self, k: int) -> None:
        """Bit k, the finest first: whether it is a border bit, and else how sure it is."""
        if k == 0:
            for kept in (self.finest, self.border, self.top):
                np.copyto(kept, self.step)
            np.copyto(self.found, self.on)
            np.copyto(self.lowest, self.on)
            return
        cv2.copyTo(self.step, self.lowest, self.border)
        cv2.max(self.top, self.step, dst=self.top)
        cv2.bitwise_or(self.step, self.lowest, dst=self.step)
        cv2.min(self.margin, self.step, dst=self.margin)
        cv2.bitwise_not(self.found, dst=self.lowest)
        cv2.bitwise_and(self.lowest, self.on, dst=self.lowest)
        cv2.bitwise_or(self.found, self.on, dst=self.found)


def numpy_phase(captures: Stack, coarse: Floats) -> Floats:
    """Position by two sums over the whole stack and an arc tangent, brought near the coarse one."""
    angles = 2 * np.pi * np.arange(len(captures), dtype=np.float32) / len(captures)
    levels = captures.astype(np.float32)
    s, c = np.tensordot(np.sin(angles), levels, 1), np.tensordot(np.cos(angles), levels, 1)
    within = np.mod(np.arctan2(-s, c), 2 * np.pi) / (2 * np.pi) * PERIOD
    position = within + np.round((coarse - within) / PERIOD) * PERIOD
    amplitude = 2 / len(captures) * np.hypot(s, c)
    sure = (amplitude >= MIN_AMPLITUDE) & (captures.max(axis=0) < 255) & (np.abs(position - coarse) <= 2)
    return np.where(sure, position, np.nan).astype(np.float32)


class PhasePeer:
    """The same, one image after the other, by OpenCV; buffers are used again."""

    def __init__(self, size: Size) -> None:
        self.s, self.c, self.level, self.part = (np.empty(size, np.float32) for _ in range(4))
        self.brightest = np.empty(size, np.uint8)

    def __call__(self, captures: Stack, coarse: Floats) -> Floats:
        """Position, NaN where it is not known."""
        self.s.fill(0)
        self.c.fill(0)
        self.brightest.fill(0)
        for k, image in enumerate(captures):
            angle = 2 * np.pi * k / len(captures)
            np.copyto(self.level, image)
            cv2.scaleAdd(self.level, -np.sin(angle), self.s, dst=self.s)
            cv2.scaleAdd(self.level, np.cos(angle), self.c, dst=self.c)
            cv2.max(self.brightest, image, dst=self.brightest)
        length, turn = cv2.cartToPolar(self.c, self.s)
        turn *= np.float32(PERIOD / (2 * np.pi))
        np.subtract(coarse, turn, out=self.part)
        self.part *= np.float32(1 / PERIOD)
        np.rint(self.part, out=self.part)
        cv2.scaleAdd(self.part, PERIOD, turn, dst=turn)
        lost = (length < MIN_AMPLITUDE * len(captures) / 2) | (self.brightest > 254) | (np.abs(turn - coarse) > 2)
        turn[lost] = np.nan
        return turn


class PointPeer:
    """Depth from camera pixels and projector pixels, both lenses undone by OpenCV."""

    def __init__(self, size: Size) -> None:
        self.camera = camera_of(size)
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
        self.rays = np.stack([(x - self.camera.cx) / self.camera.fx, (y - self.camera.cy) / self.camera.fy])
        self.rays = np.ascontiguousarray(self.rays.reshape(2, -1), np.float32)
        p = PROJECTOR
        self.matrix, self.lens = np.array([[p.fx, 0, p.cx], [0, p.fy, p.cy], [0, 0, 1]]), np.array(p.distortion)

    def _undone(self, column: Floats, row: Floats) -> Floats:
        seen = np.stack([column.ravel(), row.ravel()], axis=1)[:, None]
        return np.ascontiguousarray(cv2.undistortPoints(seen, self.matrix, self.lens)[:, 0].T)

    def solved(self, column: Floats, row: Floats) -> Floats:
        """cv2.triangulatePoints: a singular value decomposition for each pixel."""
        points = cv2.triangulatePoints(np.eye(3, 4, dtype=np.float32), MOTION, self.rays, self._undone(column, row))
        return np.asarray((points[2] / points[3]).reshape(column.shape))

    def nearest(self, column: Floats, row: Floats) -> Floats:
        """The middle of the shortest line between both rays, in float32."""
        u, v = self._undone(column, row)
        turned = MOTION[:, :3].astype(np.float32) @ np.vstack([self.rays, np.ones_like(u)])
        t = MOTION[:, 3].astype(np.float32)
        other = np.vstack([u, v, np.ones_like(u)])
        aa, ab, bb = (turned * turned).sum(0), (turned * other).sum(0), (other * other).sum(0)
        at, bt = t @ turned, t @ other
        return np.asarray(((ab * bt - bb * at) / (aa * bb - ab * ab)).reshape(column.shape))


def make_gray(size: Size, threads: int) -> Case:
    """Both axes of one scan, 44 captures."""
    stack = captures_of(size)
    out, sure = np.empty(size, np.float32), np.empty(size, np.uint8)
    halves = ((stack[: 2 * BITS], COLUMNS), (stack[2 * BITS :], ROWS))
    reused = GrayPeer(size)

    def ours() -> None:
        for half, of in halves:
            decode_gray(half, size=of, min_step=MIN_STEP, out=out, out_confidence=sure, threads=threads)

    peers = [
        Peer("numpy, whole stacks", lambda: [numpy_gray(half, of) for half, of in halves], 10.0),
        Peer("OpenCV and numpy bytes, image by image", lambda: [reused(half, of) for half, of in halves]),
    ]
    if hasattr(cv2, "structured_light"):
        peers.append(Peer("cv2.structured_light, a pair of cameras", contrib_call(stack), 40.0))
    return Case(ours, tuple(peers), stack.nbytes + 2 * (out.nbytes + sure.nbytes))


def contrib_call(stack: Stack) -> Any:
    """GrayCodePattern.decode of two cameras with the same captures, which is the least that it takes."""
    pattern: Any = getattr(cv2, "structured_light").GrayCodePattern.create(COLUMNS, ROWS)  # noqa: B009
    bits = 2 * (BITS + (ROWS - 1).bit_length())
    views = list(stack[: 2 * BITS]) + list(stack[2 * BITS + 2 : 2 * BITS + 2 + bits - 2 * BITS])
    white, black = np.maximum(stack[0], stack[1]), np.minimum(stack[0], stack[1])
    pattern.setWhiteThreshold(MIN_STEP)
    pattern.setBlackThreshold(40)
    return lambda: pattern.decode([views, views], None, [black, black], [white, white], 0)


def make_phase(size: Size, threads: int) -> Case:
    """Eight steps, and the period by a coarse position."""
    captures, coarse = phase_captures(size), np.round(positions(size)[0]).astype(np.float32)
    out, sure, peer = np.empty(size, np.float32), np.empty(size, np.uint8), PhasePeer(size)
    return Case(
        lambda: decode_phase(captures, coarse, period=PERIOD, out=out, out_confidence=sure, threads=threads),
        (Peer("numpy, whole stacks", lambda: numpy_phase(captures, coarse)),
         Peer("cv2.scaleAdd, cartToPolar", lambda: peer(captures, coarse))),
        captures.nbytes + coarse.nbytes + out.nbytes + sure.nbytes,
    )  # fmt: skip


def make_triangulate(size: Size, threads: int) -> Case:
    """Column and row through the projector's lens."""
    column, row = (np.ascontiguousarray(side) for side in positions(size))
    plan, peer = TriangulationPlan(camera_of(size), PROJECTOR, MOTION), PointPeer(size)
    out = np.empty(size, np.float32)
    return Case(
        lambda: triangulate(column, row, plan, max_residual_px=1e3, out=out, threads=threads),
        (Peer("cv2.undistortPoints, triangulatePoints", lambda: peer.solved(column, row)),
         Peer("cv2.undistortPoints, numpy float32", lambda: peer.nearest(column, row))),
        column.nbytes + row.nbytes + plan.rays().nbytes + out.nbytes,
    )  # fmt: skip


OPERATIONS = (
    Operation("decode_gray", make_gray, SHAPES, note="44 captures"),
    Operation("decode_phase", make_phase, SHAPES, note="8 captures"),
    Operation("triangulate", make_triangulate, SHAPES, note="Brown-Conrady"),
)
