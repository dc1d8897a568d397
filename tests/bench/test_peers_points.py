# SPDX-License-Identifier: Apache-2.0
"""Peers of the point and memory-bank operations compute what ours compute."""

from __future__ import annotations

import numpy as np

from rasant.bench.peers_points import numpy_farthest, numpy_neighbours, product_nearest, shell
from rasant.ops.bank import nearest_rows
from rasant.ops.sample import farthest_points, nearest_neighbours


def test_peers_pick_the_same_points() -> None:
    """The same centres, and the same neighbours where no two are equally far."""
    points = shell((24, 30))
    picked = farthest_points(points, 100)
    assert numpy_farthest(points, 100).tolist() == picked.tolist()
    indices, squared = nearest_neighbours(points[picked], points, 9)
    found = numpy_neighbours(points[picked], points, 9)
    distinct = np.diff(squared, axis=1).min(axis=1) > 0
    assert distinct.sum() > 50 and np.array_equal(found[distinct], indices[distinct])


def test_the_product_finds_the_same_rows() -> None:
    """Where nearest rows are far apart in distance, BLAS finds them too, to six digits."""
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((500, 64), np.float32)
    queries = bank[:40] + np.float32(0.3) * rng.standard_normal((40, 64), np.float32)
    indices, squared = nearest_rows(queries, bank)
    index, distance = product_nearest(queries, bank, block=128)
    assert np.array_equal(index, indices[:, 0])
    np.testing.assert_allclose(distance, squared[:, 0], rtol=1e-4)
