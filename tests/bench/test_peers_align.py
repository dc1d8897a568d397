# SPDX-License-Identifier: Apache-2.0
"""The peers of alignment and normals compute what ours do, so that the benchmark compares like with like."""

from __future__ import annotations

import numpy as np

from rasant.bench.peers_align import COLOR_LENS, POSE, Warp, color_camera, cross_normals, filter_normals
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.align import AlignPlan, align_color, align_depth
from rasant.ops.normals import surface_normals

SIZE = (96, 128)


def test_the_warps_agree() -> None:
    """Both numpy warps and ours see the same depth within the step between neighbours, and the same colours."""
    depth, warp = domed_part(SIZE), Warp(SIZE)
    plan = AlignPlan(camera_of(SIZE), color_camera(SIZE), POSE)
    ours, fast, slow = align_depth(depth, plan), warp.depth(depth), warp.slow_depth(depth)
    both = (ours > 0) & (fast > 0)
    assert both.mean() > 0.85 and np.quantile(np.abs(ours - fast)[both], 0.95) < 2e-3
    assert (fast == slow).mean() > 0.99 and len(COLOR_LENS) == 5
    ramp = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])).astype(np.uint8)
    color = np.dstack([ramp, 255 - ramp, ramp // 2])
    taken, valid = align_color(color, depth, plan, seen=ours)
    assert np.abs(taken.astype(int) - warp.color(color, depth))[valid].max() <= 2


def test_the_normals_agree() -> None:
    """The filter's normals are ours; the cross product's are the same surface, with more noise."""
    depth, camera = domed_part(SIZE), camera_of(SIZE)
    ours, filtered, crossed = (
        surface_normals(depth, camera),
        filter_normals(depth, camera),
        cross_normals(depth, camera),
    )
    both = ours.any(axis=-1) & filtered.any(axis=-1)
    assert both.mean() > 0.5 and np.abs(ours - filtered)[both].max() < 1e-3
    assert np.median((ours * crossed).sum(axis=-1)[both]) > 0.9
