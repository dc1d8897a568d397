# SPDX-License-Identifier: Apache-2.0
"""The peers of structured light compute what ours do, so that the benchmark compares like with like."""

from __future__ import annotations

import cv2
import numpy as np

from rasant.bench import peers_structured_light as peers
from rasant.bench.scene import camera_of
from rasant.ops.graycode import decode_gray
from rasant.ops.phase import decode_phase
from rasant.ops.triangulate import TriangulationPlan, triangulate

SIZE = (60, 80)


def test_the_gray_decoders_agree() -> None:
    """Both peers give our positions within a thousandth of a column, and our confidences; most pixels decode."""
    stack = peers.captures_of(SIZE)
    for half, of in ((stack[:22], peers.COLUMNS), (stack[22:], peers.ROWS)):
        position, confidence = decode_gray(half, size=of)
        assert 0.7 < (confidence > 0).mean() < 0.85
        for other in (peers.numpy_gray, peers.GrayPeer(SIZE)):
            theirs, sure = other(half, of)
            assert np.array_equal(sure, confidence) and np.allclose(theirs, position, atol=1e-3, equal_nan=True)


def test_the_phase_decoders_agree() -> None:
    """Both peers give our positions within a hundredth of a column, which is the precision of OpenCV's arc tangent."""
    captures, coarse = peers.phase_captures(SIZE), np.round(peers.positions(SIZE)[0])
    position = decode_phase(captures, coarse, period=peers.PERIOD)[0]
    for other in (peers.numpy_phase, peers.PhasePeer(SIZE)):
        assert np.nanmax(np.abs(other(captures, coarse) - position)) < 0.01
    assert np.isfinite(position).all()


def test_the_triangulations_agree() -> None:
    """On rays that meet, the decomposition, the middle and ours give one depth within 20 micrometres."""
    plan, peer = TriangulationPlan(camera_of(SIZE), peers.PROJECTOR, peers.MOTION), peers.PointPeer(SIZE)
    depth = triangulate(np.ascontiguousarray(peers.positions(SIZE)[0]), None, plan)
    assert (depth > 0).all()
    q = np.einsum("ij,jhw->ihw", peers.MOTION[:, :3], np.stack([*plan.rays(), np.ones(SIZE)]) * depth)
    q += peers.MOTION[:, 3, None, None]
    seen = cv2.projectPoints(q.reshape(3, -1).T, np.zeros(3), np.zeros(3), peer.matrix, peer.lens)[0]
    column, row = np.ascontiguousarray(seen[:, 0].T.astype(np.float32)).reshape(2, *SIZE)
    ours = triangulate(column, row, plan)
    for other in (peer.solved(column, row), peer.nearest(column, row)):
        assert np.abs(other - ours).max() < 2e-5
