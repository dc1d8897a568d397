# SPDX-License-Identifier: Apache-2.0
"""Memory bank: exactly the nearest rows by the numpy twin, whatever cancels, overflows or is equal, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import ORDERS, get, order, put
from rasant.errors import ConfigError, DtypeError, ShapeError
from rasant.ops.bank import nearest_rows
from reference import bank as twin

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ["features", "offset", "equal", "integers", "huge", "tiny", "hostile"]


def features(kind: str, queries: int, rows: int, depth: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(queries, bank) float32. With an offset nearly all digits cancel; equal and integers are full of ties."""
    rng = np.random.default_rng(seed)
    bank = rng.normal(0, 1, (rows, depth))
    asked = bank[rng.integers(0, rows, queries)] + rng.normal(0, 0.3, (queries, depth))
    if kind == "offset":
        bank, asked = 1e-3 * bank + 50.0, 1e-3 * asked + 50.0
    elif kind == "equal":
        bank[:] = bank[0]
        bank[rows // 2 :] += 1e-4
        asked[::2] = bank[-1]
    elif kind == "integers":
        bank, asked = np.sign(bank), np.sign(asked)
    elif kind == "huge":
        bank, asked = (a * 10.0 ** rng.integers(-20, 38, (len(a), 1)) for a in (bank, asked))
    elif kind == "tiny":
        bank, asked = 1e-22 * bank, 1e-22 * asked
    elif kind == "hostile":
        for array in (bank, asked):
            array.flat[rng.random(array.size) < 0.5 / depth] = np.nan
            array.flat[rng.random(array.size) < 0.5 / depth] = -np.inf
    with np.errstate(over="ignore"):
        return asked.astype(np.float32), bank.astype(np.float32)


def assert_same(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    """Same indices, same bits of distance."""
    assert found[0].tolist() == expected[0].tolist()
    assert found[1].tobytes() == expected[1].tobytes()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(1, 30), st.integers(1, 400), st.sampled_from([1, 3, 31, 32, 100, 200, 450]),
    SEEDS, st.sampled_from([1, 2, 3, 9, 32]), st.sampled_from([1, 2, 5]),
)  # fmt: skip
def test_equals_the_twin(kind: str, queries: int, rows: int, depth: int, seed: int, k: int, threads: int) -> None:
    """Any features, sizes, k and threads: the same rows in the same order, and the same bits of distance."""
    asked, bank = features(kind, queries, rows, depth, seed)
    assert_same(nearest_rows(asked, bank, k, threads=threads), twin.nearest_rows(asked, bank, k))


@pytest.mark.parametrize(("queries", "rows", "depth"), [(300, 700, 448), (40, 3000, 1152), (5, 2000, 1537)])
def test_sizes_of_the_methods(queries: int, rows: int, depth: int) -> None:
    """Several blocks of queries, panels of the bank and chunks of a row, as in BTF, M3DM and PatchCore."""
    asked, bank = features("features", queries, rows, depth, 5)
    expected = twin.nearest_rows(asked, bank, 3)
    for threads in (1, 3):
        assert_same(nearest_rows(asked, bank, 3, threads=threads), expected)


def test_cancellation_never_decides() -> None:
    """|q|^2 - 2 q.m + |m|^2 in float32 takes a wrong row here; the answer is the one of exact arithmetic."""
    rng = np.random.default_rng(3)
    base = rng.normal(100.0, 1.0, 512)
    bank = (base + rng.normal(0, 1e-4, (500, 512))).astype(np.float32)
    asked = (base + rng.normal(0, 1e-4, (20, 512))).astype(np.float32)
    exact = ((asked[:, None].astype(np.float64) - bank[None].astype(np.float64)) ** 2).sum(axis=2)
    products = (asked**2).sum(1)[:, None] - 2 * asked @ bank.T + (bank**2).sum(1)
    indices, squared = nearest_rows(asked, bank)
    assert (products.argmin(axis=1) != exact.argmin(axis=1)).any()
    assert indices[:, 0].tolist() == exact.argmin(axis=1).tolist()
    assert np.array_equal(squared[:, 0], exact.min(axis=1).astype(np.float32))


def test_a_stored_row_finds_itself() -> None:
    """Distance 0 and the row's own index, or that of the first of its copies."""
    _, bank = features("features", 1, 200, 64, 1)
    bank[150:] = bank[7]
    indices, squared = nearest_rows(bank, bank, threads=2)
    assert indices[:, 0].tolist() == [*range(150), *[7] * 50] and not squared.any()


def test_rows_that_are_no_numbers_are_never_near() -> None:
    """NaN in a query gives -1 and inf; NaN, infinity and overflow in the bank are passed over."""
    asked, bank = features("features", 6, 40, 33, 2)
    asked[4, 32] = np.nan
    bank[::2, 0], bank[1::4, 1] = np.nan, 3e38
    bank[3::4, 2] = np.where(np.arange(10) < 5, np.inf, bank[3::4, 2])
    indices, squared = nearest_rows(asked, bank, 8)
    assert (indices[4] == -1).all() and np.isinf(squared[4]).all()
    assert sorted(indices[0].tolist()) == [-1, -1, -1, 23, 27, 31, 35, 39]


@pytest.mark.parametrize("seed", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("queries", "rows", "depth", "k"), [(1, 1, 1, 1), (5, 37, 33, 2), (3, 300, 17, 9)])
def test_emulator_equals_cpu(kind: str, queries: int, rows: int, depth: int, k: int, seed: int) -> None:
    """The kernels give the bits of the CPU in every order of threads."""
    asked, bank = features(kind, queries, rows, depth, seed)
    with order(seed):
        indices, squared = nearest_rows(put(asked), put(bank), k, device="emu")
        assert_same((get(indices), get(squared)), nearest_rows(asked, bank, k))


def test_results_go_to_the_callers_buffers() -> None:
    """out is written and returned."""
    asked, bank = features("features", 4, 9, 8, 0)
    indices, squared = np.empty((4, 2), np.int32), np.empty((4, 2), np.float32)
    result = nearest_rows(asked, bank, 2, out_indices=indices, out_squared=squared)
    assert result[0] is indices and result[1] is squared
    assert_same(result, twin.nearest_rows(asked, bank, 2))


def test_wrong_calls_are_refused() -> None:
    """k, row lengths, shapes, dtypes and overlap: a typed error that names the argument."""
    asked, bank = features("features", 4, 9, 8, 0)
    for k in (0, 33):
        with pytest.raises(ConfigError, match="k must be"):
            nearest_rows(asked, bank, k)
    with pytest.raises(ShapeError, match="one length"):
        nearest_rows(asked, bank[:, :7].copy())
    with pytest.raises(ShapeError, match="contiguous"):
        nearest_rows(asked, bank[:, ::2])
    with pytest.raises(ShapeError, match="out_indices"):
        nearest_rows(asked, bank, out_indices=np.empty((4, 2), np.int32))
    with pytest.raises(DtypeError, match="float32"):
        nearest_rows(asked.astype(np.float64), bank)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="empty"):
        nearest_rows(asked, np.empty((0, 8), np.float32))
    with pytest.raises(ConfigError, match="shares memory"):
        nearest_rows(asked, bank, out_squared=asked.reshape(-1)[:4].reshape(4, 1))
