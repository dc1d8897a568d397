# SPDX-License-Identifier: Apache-2.0
"""Smooth dents and bumps that lean to one side: DAS3D (arXiv 2410.09821), eq. 1 to 6."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.ops.defect import Defective, DefectParams, apply_defect, skew_kernel
from rasant.synthesis.noise import FIELDS, RandomFields, random_texture

__all__ = ["skew_gauss", "skew_gauss_params", "skew_gaussian_kernel"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def skew_gaussian_kernel(sigma: float, skew: tuple[float, float]) -> Image:
    """Sampled bivariate skew-normal density 2 phi(x; 0, sigma^2 I) Phi(skew . x), divided by its sum (eq. 2, 3).

    sigma: pixels, > 0 and at most 32. skew: (y, x) in 1/pixel. Returns (k, k) float32 with k = 2 ceil(3 sigma) + 1, so
    that a plateau smoothed by it keeps its height.
    """
    return skew_kernel(sigma, skew).astype(np.float32) * np.float32(2.0**-30)


def skew_gauss_params(
    *, threshold: float, sigma: float, skew: tuple[float, float], amplitude: float, visible: float, unit: float = 1.0,
    kept_color: float = 0.0, low: float = -math.inf, high: float = math.inf,
) -> DefectParams:
    """The parameters of `rasant.ops.defect` that are DAS3D.

    amplitude p_z (signed) and visible t_h: in one unit, e.g. millimetres. unit: depth units for one of it.
    """
    return DefectParams(
        source="spread", rule="absolute", add=True, threshold=threshold, gain=unit, kept_color=kept_color, low=low,
        high=high, amplitude=amplitude, visible=visible, sigma=sigma, skew=skew,
    )  # fmt: skip


def skew_gauss(
    color: Image | None, depth: Image | None, foreground: Mask, *, seed: int, index: int = 0,
    texture: Image | None = None, threshold: float = 0.5, sigma_px: tuple[float, float] = (2.0, 10.0),
    skew: float = 0.5, amplitude: tuple[float, float] = (0.02, 0.3), visible: float = 0.01, opacity: float = 0.8,
    lattice: tuple[int, int] = (0, 5), device: str = "cpu", stream: Any = None,
) -> Defective:
    """Sample `index` of the seed: depth raised and lowered by smoothed Perlin blobs, a texture where that can be seen.

    color (3, h, w), depth (h, w), foreground (h, w): arrays of `device`; depth normalised to [0, 1], where it stays.
    texture: (3, h, w); None: a procedural one. sigma_px, skew, amplitude: s, a (within +-skew) and p_z, all uniform.
    threshold t_p, visible t_h. opacity: largest share of the normal colour that stays. The mask may be empty.
    """
    random = np.random.default_rng((seed, index))
    size = (foreground.shape[0], foreground.shape[1])
    fields = RandomFields(size, random, seed=seed, first=index * FIELDS, lattice=lattice)
    field = fields(0, device=device, stream=stream)
    lean = random.uniform(-skew, skew, 2)
    params = skew_gauss_params(
        threshold=threshold, sigma=random.uniform(*sigma_px), skew=(float(lean[0]), float(lean[1])),
        amplitude=random.uniform(*amplitude), visible=visible, kept_color=random.uniform(0.0, opacity), low=0.0,
        high=1.0,
    )  # fmt: skip
    if texture is None and color is not None:
        texture = random_texture(fields, random, device=device, stream=stream)
    return apply_defect(
        field, params, support=foreground, foreground=foreground, depth=depth, color=color, texture=texture,
        device=device, stream=stream,
    )  # fmt: skip
