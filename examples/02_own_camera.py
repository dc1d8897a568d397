# SPDX-License-Identifier: Apache-2.0
"""Any camera works: a `rasant.Frame` is two arrays and a lens. Here the arrays come from a procedural part."""

from __future__ import annotations

import sys
import time

import numpy as np

import rasant

bundle = (sys.argv[1:] or ["examples/casting.rasant"])[0]


def grab() -> tuple[np.ndarray, np.ndarray, rasant.Intrinsics]:
    """Stands for your camera: colour (H, W, 3) uint8 RGB; depth (H, W) uint16 counts of 0.02 mm, 0 = not measured."""
    rows, cols = 256, 256
    y, x = np.mgrid[:rows, :cols]
    plate = (abs(y - 128) < 80) & (abs(x - 128) < 100)
    depth_m = np.where(plate, 0.450 - 0.008, 0.450) + np.random.default_rng(0).normal(0, 5e-5, (rows, cols))
    color = np.where(plate[..., None], (150, 152, 158), (70, 74, 82)) + np.random.default_rng(1).normal(
        0, 3, (rows, cols, 1)
    )
    lens = rasant.Intrinsics(width=cols, height=rows, fx=600.0, fy=600.0, cx=127.5, cy=127.5)
    return color.clip(0, 255).astype(np.uint8), np.round(depth_m / 2e-5).astype(np.uint16), lens


with rasant.load(bundle) as inspector:
    color, depth, lens = grab()
    frame = rasant.Frame(
        color=color, depth=depth, depth_scale=2e-5, intrinsics=lens, index=0, source="my camera",
        arrival_ns=time.monotonic_ns(),
    )  # fmt: skip
    inspection = inspector(frame)
    print(f"{inspection.verdict.name} ({inspection.reason.value}), score {inspection.score:.4f}")
    for region in inspection.regions:
        print(f"  {region.width}x{region.height} px at ({region.x}, {region.y}), peak {region.peak:.3f}")
    print(f"  {inspection.timings.total_ms:.1f} ms: {inspection.detail or 'the part may go on'}")
