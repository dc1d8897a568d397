# SPDX-License-Identifier: Apache-2.0
"""Skew-Gaussian depth defects (DAS3D, arXiv 2410.09821, eq. 1 to 6): smooth dents and bumps that lean to one side."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from rasant.errors import ConfigError, ShapeError

__all__ = ["depth_defect", "skew_gaussian_kernel"]

_PHI_STEPS = 4096  # table of the normal distribution function: linear interpolation is exact to 3e-8


@cache
def _normal_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x = np.linspace(-6.0, 6.0, _PHI_STEPS)
    return x, np.array([0.5 * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x])


def skew_gaussian_kernel(sigma: float, skew: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Sampled bivariate skew-normal density 2 phi(x; 0, sigma^2 I) Phi(skew . x), divided by its sum (eq. 2, 3).

    sigma: pixels, > 0. skew: (y, x) in 1/pixel. Returns (k, k) float32 with k = 2 ceil(3 sigma) + 1, so that a plateau
    convolved with it keeps its height.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise ConfigError(f"sigma must be a positive number of pixels, got {sigma!r}; 0.7 to 10 is usual")
    radius = math.ceil(3 * sigma)
    axis = np.arange(-radius, radius + 1, dtype=np.float64)
    y, x = axis[:, None], axis[None, :]
    gauss = np.exp(-(axis**2) / (2 * sigma * sigma))
    kernel = gauss[:, None] * gauss[None, :] * np.interp(skew[0] * y + skew[1] * x, *_normal_table())
    return np.asarray(kernel / kernel.sum(), np.float32)


def depth_defect(
    signs: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.float32],
    kernel: npt.NDArray[np.float32],
    *,
    amplitude: float,
    visible: float,
    clip_to_foreground: bool = True,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What to add to a height map, and the mask where that can be seen (eq. 4 to 6).

    signs: (H, W) float32 ternary mask M_p in {-1, 0, 1}. foreground: (H, W) float32 in {0, 1}. kernel: of
    `skew_gaussian_kernel`. amplitude p_z and visible t_h: in the unit of the height map, > 0. Overlapping signs cancel,
    by formula. Correlation instead of convolution: a skew drawn from a symmetric law makes them equal in distribution.
    Returns (delta, mask), both (H, W) float32; the mask may be empty.
    """
    if signs.shape != foreground.shape or signs.ndim != 2:
        raise ShapeError(f"signs and foreground must be (H, W) of one size, got {signs.shape} and {foreground.shape}")
    spread = cv2.filter2D(signs * foreground, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    delta = np.asarray(spread, np.float32)
    if clip_to_foreground:
        delta *= foreground
    delta *= np.float32(amplitude)
    return delta, (np.abs(delta) >= visible).astype(np.float32)
