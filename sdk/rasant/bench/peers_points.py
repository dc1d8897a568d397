# SPDX-License-Identifier: Apache-2.0
"""Points and memory banks: numpy loops over the definition, a k-d tree, and a matrix product with a minimum."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Operation, Peer, Size
from rasant.ops.bank import nearest_rows
from rasant.ops.sample import farthest_points, nearest_neighbours

__all__ = ["OPERATIONS", "numpy_farthest", "numpy_neighbours", "product_nearest", "shell"]

CENTRES = 1024  # of M3DM
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[Any]


def shell(size: Size, seed: int = 0) -> Floats:
    """(rows * columns, 3) metres: a dome 10 cm wide at 0.5 m, 0.2 mm noise, in the order of pixels."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[: size[0], : size[1]] - np.array(size)[:, None, None] / 2) / max(size) * 0.1
    z = 0.5 - 0.02 * (1 - (x * x + y * y) / 0.0025) + random.normal(0, 2e-4, x.shape)
    return np.stack([x, y, z], axis=-1, dtype=np.float32).reshape(-1, 3)


def numpy_farthest(points: Floats, count: int) -> Indices:
    """The definition, with coordinates apart and buffers kept."""
    axes = np.ascontiguousarray(points.T)
    nearest, squared, part = np.full(len(points), np.inf, np.float32), np.empty_like(axes[0]), np.empty_like(axes[0])
    picked = np.zeros(count, np.int64)
    for n in range(1, count):
        last = points[picked[n - 1]]
        np.square(np.subtract(axes[0], last[0], out=squared), out=squared)
        for axis in (1, 2):
            squared += np.square(np.subtract(axes[axis], last[axis], out=part), out=part)
        picked[n] = np.minimum(nearest, squared, out=nearest).argmax()
    return picked


def numpy_neighbours(queries: Floats, points: Floats, k: int) -> Indices:
    """All distances of a query, a partition, and a sort of its k smallest."""
    axes = np.ascontiguousarray(points.T)
    found = np.empty((len(queries), k), np.int64)
    for row, query in zip(found, queries, strict=True):
        squared = np.square(axes - query[:, None]).sum(axis=0)
        nearest = np.argpartition(squared, k - 1)[:k]
        row[:] = nearest[np.argsort(squared[nearest])]
    return found


def product_nearest(queries: Floats, bank: Floats, block: int = 2048) -> tuple[Indices, Floats]:
    """|q|^2 - 2 q.m + |m|^2 in blocks of the bank by BLAS, and a running minimum: cancellation included."""
    squares = np.einsum("ij,ij->i", bank, bank)
    best, index = np.full(len(queries), np.inf, np.float32), np.zeros(len(queries), np.int64)
    twice, product = -2 * queries, np.empty((len(queries), block), np.float32)
    for first in range(0, len(bank), block):
        rows = bank[first : first + block]
        values = np.matmul(twice, rows.T, out=product[:, : len(rows)])
        values += squares[first : first + block]
        nearest = values.argmin(axis=1)
        least = values[np.arange(len(queries)), nearest]
        nearer = least < best
        best[nearer], index[nearer] = least[nearer], first + nearest[nearer]
    return index, best + np.einsum("ij,ij->i", queries, queries)


def _optional(module: str, peer: Callable[[Any], Peer]) -> tuple[Peer, ...]:
    """The peer, where the module that it needs is installed."""
    return () if importlib.util.find_spec("scipy") is None else (peer(importlib.import_module(module)),)


def _farthest(size: Size, _: int) -> Case:
    points, out = shell(size), np.empty(CENTRES, np.int32)
    peer = Peer("numpy, one pass a centre", lambda: numpy_farthest(points, CENTRES))
    return Case(lambda: farthest_points(points, CENTRES, out=out), (peer,), points.nbytes + out.nbytes)


def _neighbours(queries: Floats, points: Floats, k: int, threads: int) -> Case:
    indices, squared = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.float32)

    def ours() -> None:
        nearest_neighbours(queries, points, k, out_indices=indices, out_squared=squared, threads=threads)

    peers = (
        Peer("naive: numpy, all distances", lambda: numpy_neighbours(queries, points, k)),
        *_optional(
            "scipy.spatial",
            lambda spatial: Peer("scipy cKDTree", lambda: spatial.cKDTree(points).query(queries, k, workers=threads)),
        ),
    )
    return Case(ours, peers, queries.nbytes + points.nbytes + indices.nbytes + squared.nbytes)


def _groups(size: Size, threads: int) -> Case:
    points = shell(size)
    return _neighbours(points[farthest_points(points, CENTRES)], points, 128, threads)


def _interpolation(size: Size, threads: int) -> Case:
    points = shell(size)
    return _neighbours(points, points[farthest_points(points, CENTRES)], 3, threads)


def _bank(rows: int, depth: int) -> Callable[[Size, int], Case]:
    def make(size: Size, threads: int) -> Case:
        random = np.random.default_rng(0)
        bank = random.standard_normal((rows, depth), np.float32)
        queries = bank[random.integers(0, rows, size[0] * size[1])]
        queries += np.float32(0.7) * random.standard_normal(queries.shape, np.float32)
        indices, squared = np.empty((len(queries), 1), np.int32), np.empty((len(queries), 1), np.float32)
        peers = (
            *_optional(
                "scipy.spatial.distance",
                lambda distance: Peer(
                    "naive: scipy cdist", lambda: distance.cdist(queries, bank, "sqeuclidean").argmin(axis=1)
                ),
            ),
            Peer("numpy matmul and argmin in blocks, inexact", lambda: product_nearest(queries, bank)),
        )
        return Case(
            lambda: nearest_rows(queries, bank, out_indices=indices, out_squared=squared, threads=threads),
            peers, queries.nbytes + bank.nbytes + indices.nbytes + squared.nbytes,
        )  # fmt: skip

    return make


OPERATIONS: tuple[Operation, ...] = (
    Operation("farthest", _farthest, ((128, 128), (224, 224)), f"{CENTRES} centres", threaded=False),
    Operation("neighbours", _groups, ((128, 128), (224, 224)), f"{CENTRES} groups of 128"),
    Operation("neighbours", _interpolation, ((128, 128), (224, 224)), f"3 of {CENTRES} centres"),
    Operation("bank", _bank(10_000, 448), ((28, 28),), "10000 rows of 448"),
    Operation("bank", _bank(10_000, 1536), ((28, 28),), "10000 rows of 1536"),
    Operation("bank", _bank(10_000, 1152), ((56, 56),), "10000 rows of 1152"),
)
