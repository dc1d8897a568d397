# SPDX-License-Identifier: Apache-2.0
"""Operations beside torch and open3d, which the runtime does not know: a row for each that is installed.

`python docs/benchmarks/elsewhere.py` prints JSON lines as `rasant bench --ops --json` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rasant.bench.case import Case, Peer, Row, measure
from rasant.bench.peers_background import BORDER, INLIER_M, border_points, rays_of
from rasant.bench.peers_post import KERNEL, logits
from rasant.bench.scene import camera_of, domed_part
from rasant.ops.background import fit_plane_ransac
from rasant.ops.score import score_map


def score_row(torch: Any) -> Iterator[Row]:
    """softmax + avg_pool2d(21) + max, as DRAEM's program has them."""
    values = logits()
    batch = torch.from_numpy(values)[None]
    raw, pooled = np.empty((2, 256, 256), np.float32)

    def peer() -> float:
        probability = torch.softmax(batch, dim=1)[:, 1:]
        return float(torch.nn.functional.avg_pool2d(probability, KERNEL, stride=1, padding=KERNEL // 2).max())

    torch.set_num_threads(1)
    assert abs(peer() - score_map(values, kernel=KERNEL).score) < 1e-6
    case = Case(
        lambda: score_map(values, kernel=KERNEL, out_raw=raw, out_pooled=pooled),
        (Peer(f"torch {torch.__version__}: softmax, avg_pool2d, max", peer, 150.0),), 4 << 18, 0.2,
    )  # fmt: skip
    yield from measure("score", "256x256, kernel 21", case, seconds=3.0)


def plane_rows(open3d: Any) -> Iterator[Row]:
    """segment_plane as BTF and M3DM call it, on the points of the border; making its cloud is not counted.

    It stops early where nearly every point lies on the plane, so a border with a box on 20 % of it is timed as well.
    """
    size = (800, 800)
    boxed = domed_part(size).copy()
    boxed[: size[0] * 8 // 10, -2 * BORDER :] -= np.float32(0.03)
    yield from plane_row(open3d, domed_part(size), "clean border")
    yield from plane_row(open3d, np.maximum(boxed, 0.0), "20 % off the plane")


def plane_row(open3d: Any, depth: npt.NDArray[np.float32], note: str) -> Iterator[Row]:
    """One row for a depth image; both planes must agree within 1 mm."""
    camera = camera_of(depth.shape[:2])
    points = border_points(depth, rays_of(camera)).T.astype(np.float64)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))

    def peer() -> Any:
        return cloud.segment_plane(distance_threshold=INLIER_M, ransac_n=50, num_iterations=1000)

    (*normal, offset), _ = peer()
    plane = fit_plane_ransac(depth, camera, border_px=BORDER, inlier_m=INLIER_M)
    sign = 1.0 if offset > 0 else -1.0
    assert np.abs(sign * np.array(normal) - plane.normal).max() < 1e-3 and abs(sign * offset - plane.offset) < 1e-3
    case = Case(
        lambda: fit_plane_ransac(depth, camera, border_px=BORDER, inlier_m=INLIER_M),
        (Peer(f"open3d {open3d.__version__}: segment_plane, 1000 of 50", peer, 250.0),),
        2 * BORDER * sum(depth.shape) * depth.itemsize, 0.3,
    )  # fmt: skip
    yield from measure("plane fit", f"800x800, {note}", case, seconds=3.0)


def elsewhere_rows() -> Iterator[Row]:
    """The rows of all that is installed."""
    for name, rows in (("torch", score_row), ("open3d", plane_rows)):
        if importlib.util.find_spec(name) is not None:
            yield from rows(importlib.import_module(name))


if __name__ == "__main__":
    for row in elsewhere_rows():
        print(json.dumps(asdict(row)))
