# SPDX-License-Identifier: Apache-2.0
"""The benchmark of synthetic defects is honest: each peer draws what the operation draws."""

from __future__ import annotations

import numpy as np
import pytest

from rasant.bench import peers_defect
from rasant.ops.defect import Defective, DefectParams, apply_defect, skew_kernel

SIZE = (120, 160)


def ours(scene: peers_defect.Scene, params: DefectParams) -> Defective:
    """What the operation draws into the scene."""
    return apply_defect(
        scene.field, params, support=scene.support, foreground=scene.foreground, depth=scene.depth, color=scene.color,
        texture=scene.texture,
    )  # fmt: skip


def test_spread_peers_draw_the_defect() -> None:
    """The same mask, colour and depth as ours, by both peers; and a mask worth timing."""
    scene = peers_defect.Scene(SIZE)
    drawn = ours(scene, peers_defect.SPREAD)
    assert drawn.color is not None and drawn.depth is not None and 0.01 < drawn.mask.mean() < 0.3
    best = peers_defect.SpreadPeer(scene)()
    kept = best["out_color"], best["out_depth"], best["out_mask"]
    for color, depth, mask in (peers_defect.naive_spread(scene), kept):
        assert np.array_equal(np.asarray(mask, bool), drawn.mask)
        assert np.abs(color - drawn.color).max() < 1e-6 and np.abs(depth - drawn.depth).max() < 1e-6


def test_noise_peers_draw_the_defect() -> None:
    """Both peers give ours within rounding."""
    scene = peers_defect.Scene(SIZE)
    drawn = ours(scene, peers_defect.NOISE)
    color, depth, mask = peers_defect.naive_noise(scene)
    assert np.array_equal(mask > 0, drawn.mask) and np.abs(depth - drawn.depth).max() < 1e-6
    assert np.abs(color - drawn.color).max() < 1e-6
    out = scene.outputs()
    peers_defect.noise_peer(scene, out)
    assert np.abs(out["out_depth"] - drawn.depth).max() < 1e-6
    assert np.abs(out["out_color"] - drawn.color).max() < 1e-6


@pytest.mark.parametrize("sigma", [0.7, 3.0, 9.0])
def test_the_peers_kernel_is_ours(sigma: float) -> None:
    """A table of the normal law gives the kernel within 1e-7."""
    kernel = peers_defect.numpy_kernel(sigma, (0.4, -0.3))
    assert np.abs(kernel - skew_kernel(sigma, (0.4, -0.3)) * 2.0**-30).max() < 1e-7
