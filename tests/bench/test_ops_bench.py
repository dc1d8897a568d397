# SPDX-License-Identifier: Apache-2.0
"""The benchmark takes turns, rows have their fields, the command speaks JSON; what peers compute: test_peers.py."""

from __future__ import annotations

import json
import time

import cv2
import pytest
from typer.testing import CliRunner

from rasant.bench.case import Case, Peer, copy_of, measure
from rasant.bench.ops import OPERATIONS, rows
from rasant.cli import app

FIELDS = {"op", "size", "threads", "ms", "peer", "peer_ms", "ratio", "bound_ms", "bound_ratio", "target", "target_ms"}


class Clock:
    """A clock that only calls move on; reading it takes a nanosecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-9
        return self.now

    def takes(self, seconds: float):
        return lambda: setattr(self, "now", self.now + seconds)


def test_measure_takes_turns_and_finds_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of each is compared, per unit of work, and the target judged; the bound is not zero."""
    clock = Clock()
    monkeypatch.setattr("rasant.bench.case.time", clock)
    peers = (Peer("longer nap", clock.takes(1e-2), 3.0), Peer("long nap", clock.takes(4e-3), 3.0))
    longer, long = measure("nap", "1", Case(clock.takes(2e-3), peers, 4096, count=2), seconds=0.1)
    assert longer.ms == long.ms == pytest.approx(1.0, rel=1e-5) and longer.peer_ms == pytest.approx(5.0, rel=1e-5)
    assert longer.ratio == pytest.approx(5.0, rel=1e-5) and long.ratio == pytest.approx(2.0, rel=1e-5)
    assert longer.reached and long.reached is False and longer.bound_ms > 0


def test_a_slow_peer_runs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that takes longer than the time for the whole case warms up and is measured once."""
    clock, calls = Clock(), []
    monkeypatch.setattr("rasant.bench.case.time", clock)
    slow = clock.takes(7.0)
    peer = Peer("sleeper", lambda: (calls.append(1), slow()))
    (row,) = measure("nap", "1", Case(clock.takes(1e-3), (peer,), 4096), seconds=0.1)
    assert len(calls) == 2 and row.peer_ms == pytest.approx(7e3, rel=1e-5) and row.reached is None


def test_every_operation_can_be_made() -> None:
    """Each line of the benchmark builds its smallest case, ours runs, and there is a peer."""
    for op in OPERATIONS:
        if op.name != "auroc+aupro":
            case = op.make(min(op.sizes), 1)
            case.ours()
            assert case.peers and case.moved > 0 and op.size_name(min(op.sizes))


def test_the_bound_moves_its_bytes() -> None:
    """Copying ten times as much takes longer."""
    small, large = copy_of(1 << 22), copy_of(10 << 22)
    best = [min(_time(call) for _ in range(20)) for call in (small, large)]
    assert best[1] > 2 * best[0]


def _time(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_rows_keep_opencvs_threads() -> None:
    """OpenCV runs with our number of threads while it is measured, and with its own afterwards."""
    before = cv2.getNumThreads()
    found = list(rows(1, seconds=0.01, only="regions", sizes=("256x256",)))
    assert {(row.op, row.size) for row in found} == {("regions", "256x256, 3 regions")}
    assert cv2.getNumThreads() == before


def test_the_command_prints_json_and_a_table() -> None:
    """--json is one object a line with every field; without it a table with a line each; a typo is a usage error."""
    only = ["bench", "--only", "score", "--sizes", "256x256", "--seconds", "0.01"]
    lines = CliRunner().invoke(app, [*only, "--ops", "--json"]).output
    naive, best = (json.loads(line) for line in lines.splitlines())
    assert set(naive) > FIELDS and best["op"] == "score" and best["target"] == 1.4 and "naive" in naive["peer"]
    table = CliRunner().invoke(app, only).output.splitlines()
    assert len(table) == 3 and table[0].startswith("operation")
    assert CliRunner().invoke(app, ["bench", "--only", "nothing"]).exit_code == 2
