# SPDX-License-Identifier: Apache-2.0
"""Statistics of latencies say no more than the values carry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasant.bench.latency import describe, ratio_of_medians

MS = st.floats(1e-3, 1e4, allow_nan=False)


@given(values=st.lists(MS, min_size=1, max_size=60))
def test_percentiles_are_numpys_and_in_order(values: list[float]) -> None:
    """Every figure is numpy's; min <= p50 <= p90 <= p95 <= max; no p99 below 1000 values."""
    found = describe(values)
    assert found["n"] == len(values) and found["p99"] is found["p99_9"] is None
    assert found["p90"] == np.percentile(values, 90) and found["mean"] == np.mean(values)
    assert found["min"] <= found["p50"] <= found["p90"] <= found["p95"] <= found["max"]


@pytest.mark.parametrize(("n", "known"), [(999, 0), (1000, 1), (9999, 1), (10_000, 2)])
def test_rare_percentiles_need_many_values(n: int, known: int) -> None:
    """p99 from 1000 values on, p99.9 from 10 000 on, null before."""
    found = describe(np.arange(float(n)).tolist())
    assert [found[name] is not None for name in ("p99", "p99_9")] == [known > 0, known > 1]


def test_nothing_measured_has_no_figure() -> None:
    """No values: n is 0 and all else null, never NaN, which JSON does not know."""
    assert {name: value for name, value in describe([]).items() if value is not None} == {"n": 0}


def test_a_ratio_has_an_interval_that_holds_it() -> None:
    """Two times the time is 2, whatever slows both in the same turn; the interval is narrow and reproducible."""
    random = np.random.default_rng(0)
    slow = [(random.gamma(3.0) + 1.0) * random.normal(1.0, 0.01, 30) for _ in range(10)]
    a = [(2.0 * turn).tolist() for turn in slow]
    b = [turn.tolist() for turn in slow]
    paired, apart = ratio_of_medians(a, b), ratio_of_medians(a, b, paired=False)
    assert paired == ratio_of_medians(a, b)
    assert paired.low == paired.high == paired.value == pytest.approx(2.0)
    assert apart.low < 2.0 < apart.high and apart.value == paired.value


def test_a_single_turn_gives_no_interval() -> None:
    """Neighbouring frames are alike, so one turn says nothing about the next; an empty side gives no ratio at all."""
    one = ratio_of_medians([[2.0, 2.0]], [[1.0]])
    assert one.value == 2.0 and one.low is None and str(one) == "2.000"
    assert ratio_of_medians([[], []], [[1.0]]) is None


def test_turns_of_different_length_count_by_their_values() -> None:
    """The median is over values, so refused frames of a turn do not weigh."""
    assert ratio_of_medians([[4.0], [2.0, 2.0, 2.0]], [[1.0, 1.0], [1.0]]).value == 2.0
