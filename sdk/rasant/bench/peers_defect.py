# SPDX-License-Identifier: Apache-2.0
"""Synthetic defects in numpy and OpenCV: as papers' programs draw them, and with buffers and a bounding box."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.ops.defect import DefectParams, apply_defect
from rasant.ops.perlin import perlin_field

__all__ = [
    "NOISE", "OPERATIONS", "SPREAD", "Scene", "SpreadPeer", "naive_noise", "naive_spread", "noise_peer",
    "numpy_kernel",
]  # fmt: skip

Image = npt.NDArray[np.float32]
SPREAD = DefectParams(
    source="spread", rule="absolute", add=True, threshold=0.3, low=-math.inf, high=math.inf, gain=0.02, amplitude=2.0,
    sigma=3.0, skew=(0.3, -0.2), kept_color=0.4,
)  # fmt: skip
NOISE = DefectParams(threshold=0.3, kept_color=0.4)


class Scene:
    """A part on a table, a noise field, a disc that lets a few of its blobs through, and a texture."""

    def __init__(self, size: Size) -> None:
        random = np.random.default_rng(0)
        h, w = size
        self.field = perlin_field(size, (8, 8), seed=1, angle=0.4)[0]
        self.foreground = np.zeros(size, np.bool_)
        self.foreground[h // 8 : h - h // 8, w // 8 : w - w // 8] = True
        disc = cv2.circle(np.zeros(size, np.uint8), (w // 2, h // 2), h // 5, 1, cv2.FILLED)
        self.support = self.foreground & (disc > 0)
        self.depth = random.random(size, dtype=np.float32)
        self.color = random.random((3, h, w), dtype=np.float32)
        self.texture = random.random((3, h, w), dtype=np.float32)

    def outputs(self) -> dict[str, Any]:
        """Buffers as ours and the best assembly reuse them."""
        return {
            "out_depth": np.empty_like(self.depth), "out_color": np.empty_like(self.color),
            "out_mask": np.empty_like(self.support),
        }  # fmt: skip

    @property
    def moved(self) -> int:
        """Bytes read and written at least once; of the texture only what the mask shows, which is little."""
        read = (self.field, self.support, self.foreground, self.depth, self.color)
        return sum(image.nbytes for image in (*read, self.support, self.depth, self.color))


@cache
def _normal_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x = np.linspace(-6.0, 6.0, 4096)
    return x, np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x])


def numpy_kernel(sigma: float, skew: tuple[float, float]) -> Image:
    """The skew-Gaussian kernel (k, k) by a table of the normal law."""
    axis = np.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, dtype=np.float64)
    gauss = np.exp(-(axis**2) / (2 * sigma * sigma))
    kernel = gauss[:, None] * gauss * np.interp(skew[0] * axis[:, None] + skew[1] * axis, *_normal_table())
    return np.asarray(kernel / kernel.sum(), np.float32)


def naive_spread(scene: Scene, p: DefectParams = SPREAD) -> tuple[Image, Image, Image]:
    """(color, depth, mask) of DAS3D, each step over the whole image into a fresh array."""
    signs = (scene.field > p.threshold).astype(np.float32) - (scene.field < -p.threshold).astype(np.float32)
    signs = signs * scene.support
    delta = cv2.filter2D(signs, cv2.CV_32F, numpy_kernel(p.sigma, p.skew), borderType=cv2.BORDER_CONSTANT)
    delta = delta * scene.foreground * np.float32(p.amplitude)
    mask = (np.abs(delta) >= p.visible).astype(np.float32)
    color = scene.color + mask * np.float32(1 - p.kept_color) * (scene.texture - scene.color)
    return color, scene.depth + delta * np.float32(p.gain), mask


class SpreadPeer:
    """The same result: everything happens in the mask's bounding box, in buffers that are kept."""

    def __init__(self, scene: Scene) -> None:
        self.scene, (h, w) = scene, scene.field.shape
        self.signs, self.share = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
        self.below, self.scratch = np.empty((h, w), np.bool_), np.empty((3, h, w), np.float32)
        self.out = scene.outputs()

    def __call__(self, p: DefectParams = SPREAD) -> dict[str, Any]:
        """Fills and returns the outputs."""
        scene, out = self.scene, self.out
        kernel = numpy_kernel(p.sigma, p.skew)
        radius = len(kernel) // 2
        np.greater(scene.field, p.threshold, out=out["out_mask"])
        np.less(scene.field, -p.threshold, out=self.below)
        np.subtract(out["out_mask"], self.below, out=self.signs, dtype=np.float32)
        np.multiply(self.signs, scene.support, out=self.signs)
        np.copyto(out["out_depth"], scene.depth)
        np.copyto(out["out_color"], scene.color)
        out["out_mask"][:] = False
        x, y, w, h = cv2.boundingRect(scene.support.view(np.uint8))
        top, left = max(y - radius, 0), max(x - radius, 0)
        box = np.s_[top : y + h + radius, left : x + w + radius]
        delta: Image = np.asarray(
            cv2.filter2D(self.signs[box], cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED),
            np.float32,
        )
        delta *= scene.foreground[box]
        delta *= np.float32(p.amplitude)
        share = self.share[box]
        np.abs(delta, out=share)
        mask = np.greater_equal(share, np.float32(p.visible), out=out["out_mask"][box])
        np.multiply(mask, np.float32(1 - p.kept_color), out=share)
        delta *= np.float32(p.gain)
        out["out_depth"][box] += delta
        scratch = self.scratch[(slice(None), *box)]
        np.subtract(scene.texture[(slice(None), *box)], scene.color[(slice(None), *box)], out=scratch)
        scratch *= share
        out["out_color"][(slice(None), *box)] += scratch
        return out


def naive_noise(scene: Scene, p: DefectParams = NOISE) -> tuple[Image, Image, Image]:
    """(color, depth, mask) of EasyNet, as its formula stands in the paper."""
    mask = ((scene.field > p.threshold) & scene.support).astype(np.float32)
    kept = np.float32(p.kept_color)
    color = (1 - mask) * scene.color + mask * ((1 - kept) * scene.texture + kept * scene.color)
    return color, (1 - mask) * scene.depth + mask * scene.field, mask


def noise_peer(scene: Scene, out: dict[str, Any], p: DefectParams = NOISE) -> None:
    """The same into `out`; colour is only touched at the mask's pixels."""
    mask = np.greater(scene.field, np.float32(p.threshold), out=out["out_mask"])
    mask &= scene.support
    np.copyto(out["out_depth"], scene.depth)
    np.copyto(out["out_depth"], scene.field, where=mask)
    np.copyto(out["out_color"], scene.color)
    y, x = np.nonzero(mask)
    normal = scene.color[:, y, x]
    out["out_color"][:, y, x] = normal + np.float32(1 - p.kept_color) * (scene.texture[:, y, x] - normal)


def _call(scene: Scene, p: DefectParams, threads: int) -> Any:
    out = scene.outputs()
    return lambda: apply_defect(
        scene.field, p, support=scene.support, foreground=scene.foreground, depth=scene.depth, color=scene.color,
        texture=scene.texture, threads=threads, **out,
    )  # fmt: skip


def _spread(size: Size, threads: int) -> Case:
    scene = Scene(size)
    peers = (
        Peer("naive: filter2D and fresh arrays", lambda: naive_spread(scene)),
        Peer("filter2D in the bounding box, kept buffers", SpreadPeer(scene)),
    )
    return Case(_call(scene, SPREAD, threads), peers, scene.moved)


def _noise(size: Size, threads: int) -> Case:
    scene, out = Scene(size), Scene(size).outputs()
    peers = (
        Peer("naive: the formula in numpy", lambda: naive_noise(scene)),
        Peer("numpy at the mask's pixels, kept buffers", lambda: noise_peer(scene, out)),
    )
    return Case(_call(scene, NOISE, threads), peers, scene.moved)


OPERATIONS = (
    Operation("defect spread", _spread, note="sigma 3"),
    Operation("defect noise", _noise),
)
