# SPDX-License-Identifier: Apache-2.0
"""Triangulation: what a projector lights comes back in metres, through both lenses; what cannot be is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.triangulate import TriangulationPlan, triangulate
from rasant.types import Intrinsics
from reference import triangulate as twin

LENSES: dict[str, tuple[float, ...]] = {
    "none": (),
    "brown_conrady": (-0.0486, 0.9, -0.0075, -0.002, -1.2),
    "modified_brown_conrady": (-0.0567, 0.0668, 0.0003, 0.0006, -0.0213),
    "rational": (0.1, 0.02, 0.0004, -0.0003, 0.001, 0.12, 0.01, 0.002),
    "kannala_brandt4": (0.05, -0.01, 0.002, 0.0),
    "ftheta": (0.8,),
}


def _plan(model: str, seed: int, shape: tuple[int, int], upright: bool = False) -> TriangulationPlan:
    """A distorted camera, a projector beside (above) it that turns towards it."""
    rng = np.random.default_rng(seed)
    height, width = shape
    f = 1.3 * max(shape)
    lens = "brown_conrady", (-0.1, 0.05, 0.0, 0.0)
    camera = Intrinsics(width, height, f, 1.02 * f, width / 2 - 0.3, height / 2 + 0.4, *lens)
    projector = Intrinsics(1024, 768, 1100.0, 1120.0, 511.5, 383.5, model, LENSES[model])
    turn, baseline = rng.uniform(0.2, 0.4), rng.uniform(0.1, 0.2)
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    centre = np.array([baseline, 0.01, 0.02])
    if upright:
        swap = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
        rotation, centre = swap @ rotation @ swap, swap @ centre
    return TriangulationPlan(camera, projector, np.hstack([rotation, (-rotation @ centre)[:, None]]))


def _seen(plan: TriangulationPlan, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the projector lights the camera's pixels at `depth`."""
    p = plan.projector
    numbers = {"fx": p.fx, "fy": p.fy, "cx": p.cx, "cy": p.cy, "model": p.distortion_model, "k": p.distortion}
    return twin.seen_at(plan.rays(), depth, np.reshape(plan.pose, (3, 4)), numbers)


def _depth(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.35, 0.6, shape)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 40), st.sampled_from(sorted(LENSES)),
    st.sampled_from(["column", "row", "both"]), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_depth_comes_back(seed: int, rows: int, cols: int, model: str, axes: str, threads: int) -> None:
    """Any lens, pose and axis: the depth that was projected comes back within 3 micrometres, with no residual."""
    plan, depth = _plan(model, seed, (rows, cols), upright=axes == "row"), _depth(seed, (rows, cols))
    column, row = (side.astype(np.float32) for side in _seen(plan, depth))
    residual = np.empty_like(column)
    found = triangulate(
        column if axes != "row" else None, row if axes != "column" else None, plan, out_residual=residual,
        threads=threads,
    )  # fmt: skip
    assert np.abs(found - depth).max() < 3e-6 and residual.max() < 5e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LENSES)))
def test_noise_is_cut_down_as_by_a_search(seed: int, model: str) -> None:
    """Column and row with noise of 0.5 px: the depth is that of a search for the nearest point, within 10 micrometres
    in the median and 0.3 mm anywhere (the direction of the curve is taken without the lens: a fisheye's bends most),
    and the residual is what is left across the line.
    """
    shape = (6, 20)
    plan, depth = _plan(model, seed, shape), _depth(seed, shape)
    rng = np.random.default_rng(seed)
    column, row = ((side + rng.normal(0, 0.5, shape)).astype(np.float32) for side in _seen(plan, depth))
    residual = np.empty(shape, np.float32)
    found = triangulate(column, row, plan, max_residual_px=10.0, out_residual=residual)
    p = plan.projector
    numbers = {"fx": p.fx, "fy": p.fy, "cx": p.cx, "cy": p.cy, "model": p.distortion_model, "k": p.distortion}
    wanted = twin.triangulate(column, row, plan.rays(), np.reshape(plan.pose, (3, 4)), numbers, 0.3, 0.7)
    u, v = _seen(plan, found.astype(np.float64))
    assert np.abs(found - wanted).max() < 3e-4 and np.median(np.abs(found - wanted)) < 1e-5
    assert np.abs(np.hypot(column - u, row - v) - residual).max() < 2e-3


def test_a_false_column_is_off_the_line() -> None:
    """With column and row, gross errors of either leave a residual, and the pixel has no depth."""
    shape = (20, 30)
    plan, depth = _plan("brown_conrady", 3, shape), _depth(3, shape)
    column, row = (side.astype(np.float32) for side in _seen(plan, depth))
    rng = np.random.default_rng(0)
    wrong = rng.random(shape) < 0.3
    row = np.where(wrong, row + rng.choice([-64, -16, 5, 32], shape), row).astype(np.float32)
    found = triangulate(column, row, plan)
    assert np.array_equal(found == 0, wrong)


def test_what_cannot_be_has_no_depth() -> None:
    """NaN, infinity, another side of the baseline, and what lies out of range: 0, and the residual is NaN."""
    shape = (4, 6)
    plan, depth = _plan("none", 1, shape), np.full((4, 6), 0.5)
    column, row = (side.astype(np.float32) for side in _seen(plan, depth))
    column[0, 0], row[0, 1], column[1, 2], column[2, 2], column[3, 3] = np.nan, np.nan, np.inf, -1e30, 5e3
    residual = np.empty(shape, np.float32)
    found = triangulate(column, row, plan, out_residual=residual)
    lost = [(0, 0), (0, 1), (1, 2), (2, 2), (3, 3)]
    assert all(found[at] == 0 and np.isnan(residual[at]) for at in lost) and (found > 0).sum() == 24 - len(lost)
    assert not triangulate(column, row, plan, depth_range_m=(0.51, 2.0)).any()
    assert not triangulate(column, row, plan, depth_range_m=(0.1, 0.49)).any()


def test_wrong_calls_are_refused() -> None:
    """Motion, axes, limits, shapes and dtypes: a typed error that names the argument."""
    shape = (4, 6)
    plan = _plan("none", 1, shape)
    column = np.zeros(shape, np.float32)
    with pytest.raises(ConfigError, match="baseline"):
        TriangulationPlan(plan.camera, plan.projector, np.eye(4))
    with pytest.raises(ConfigError, match="projector_from_camera"):
        TriangulationPlan(plan.camera, plan.projector, np.ones((3, 4)))
    with pytest.raises(ConfigError, match="both None"):
        triangulate(None, None, plan)
    for limit in (0.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="max_residual_px"):
            triangulate(column, None, plan, max_residual_px=limit)
    for bounds in ((1.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (0.0, float("nan"))):
        with pytest.raises(ConfigError, match="depth_range_m"):
            triangulate(column, None, plan, depth_range_m=bounds)
    with pytest.raises(ShapeError, match="column"):
        triangulate(column[:3], None, plan)
    with pytest.raises(DtypeError, match="row"):
        triangulate(None, column.astype(np.float64), plan)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares memory"):
        triangulate(column, None, plan, out_residual=column)


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (33, 65)])
def test_emulator_equals_cpu(shape: tuple[int, int], seed: int) -> None:
    """The kernel gives the same bits as the CPU for every lens and axis, in any order of threads."""
    for model in LENSES:
        plan = _plan(model, 5, shape)
        rng = np.random.default_rng(5)
        column, row = (
            (side + rng.normal(0, 2, shape)).astype(np.float32) for side in _seen(plan, _depth(5, shape))
        )  # fmt: skip
        for pair in ((column, None), (None, row), (column, row)):
            residual, device_residual = np.empty(shape, np.float32), put(np.empty(shape, np.float32))
            wanted = triangulate(*pair, plan, out_residual=residual)
            sent = [None if side is None else put(side) for side in pair]
            with order(seed):
                emulated = triangulate(*sent, plan, out_residual=device_residual, device="emu")
            assert get(emulated).tobytes() == wanted.tobytes()
            assert get(device_residual).tobytes() == residual.tobytes()
