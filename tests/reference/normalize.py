# SPDX-License-Identifier: Apache-2.0
"""Every normalisation rule by its definition, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def two_means(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """1-D 2-means from minimum and maximum, at most 20 rounds."""
    near, far = float(values.min()), float(values.max())
    last = -1
    for _ in range(20):
        close = values <= np.float32((near + far) / 2)
        count = int(close.sum())
        if count in (0, len(values), last):
            break
        near, far, last = float(values[close].mean()), float(values[~close].mean()), count
    return near, far


def normalize_depth(
    depth: npt.NDArray[np.float32],
    foreground: npt.NDArray[np.bool_] | None,
    rule: str,
    low: float | None = None,
    high: float | None = None,
) -> npt.NDArray[np.float64]:
    """(H, W) float64 of the named rule."""
    used = np.isfinite(depth) & (depth != 0)
    if foreground is not None:
        used &= foreground
    z = np.where(used, depth, 0).astype(np.float64)
    values = z[used]
    some = len(values) > 0
    smallest, largest = (values.min(), values.max()) if some else (0.0, 0.0)

    def scaled(low: float, high: float, gain: float, base: float, missing: float) -> npt.NDArray[np.float64]:
        return np.where(used, (z - low) / ((high - low) or 1.0) * gain + base, missing)

    if rule == "threedsr":
        return scaled(smallest, largest, 0.8, 0.1, 0.0)
    if rule == "easynet_legacy_u8":
        span = (z.max() - z.min()) or 1.0
        return np.floor((z - z.min()) / span * 255) / 255
    if rule == "easynet_foreground":
        return scaled(smallest, largest, 1.0, 0.0, 0.0)
    if rule == "das3d":
        return scaled(smallest, largest, 1.0, 0.0, 1.0)
    if rule == "dbrn":
        if not some:
            return np.full(depth.shape, 0.8)
        background = two_means(depth[(depth > 0) & np.isfinite(depth)].astype(np.float64))[1]
        z = np.where(used, z, background)
        span = z.max() - z.min()
        return (z - z.min()) / (span if span > 2e-6 else 1.0) * 0.6 + 0.2
    if rule == "ast":
        return np.where(used, (z - values.mean()) * 100, 0.0) if some else z
    if rule == "transfusion":
        assert low is not None and high is not None
        return np.where(used, (z - 1.1 * high) / (1.1 * high - 0.9 * low), 0.0)
    if rule == "metric":
        return z
    if rule == "percentile":
        if not some:
            return z
        ends = np.percentile(values, [0.5 if low is None else low, 99.5 if high is None else high], method="lower")
        return np.where(used, np.clip(scaled(ends[0], ends[1], 0.8, 0.1, 0.0), 0, 1), 0.0)
    assert low is not None and high is not None
    if rule == "class_range":
        return np.where(used, np.clip(scaled(low, high, 0.8, 0.1, 0.0), 0, 1), 0.0)
    assert rule == "height_range"
    return scaled(low, high, 0.8, 0.1, 0.0)


def examples() -> dict[str, tuple]:
    """A valid call of each native entry."""
    value = np.linspace(0.0, 0.02, 63, dtype=np.float32).reshape(7, 9)
    foreground = value > 0.004
    return {
        "measure": (value, foreground, 2),
        "percentiles": (value, foreground, 0.5, 99.5),
        "two_means": (value, 2),
        "normalize": (value, foreground, 0.0, 0.02, 0.8, 0.1, 0.0, 0.0, 1.0, 255, np.empty_like(value), 2),
    }
