# SPDX-License-Identifier: Apache-2.0
"""The benchmark is honest: peers compute what ours compute, rows have their fields, the command speaks JSON."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rasant.bench import peers_depth, peers_metrics, peers_perlin, peers_post
from rasant.bench.case import Case, copy_of, measure
from rasant.bench.ops import rows
from rasant.cli import app
from rasant.ops.fill import fill_holes
from rasant.ops.ranking import rank_maps
from rasant.ops.score import score_map

FIELDS = {"op", "size", "threads", "ms", "peer", "peer_ms", "ratio", "bound_ms", "bound_ratio", "target", "target_ms"}


def test_the_score_peer_computes_the_score() -> None:
    """numpy and cv2.blur give our score within 1e-6, and count the same non-finite pixels."""
    values = peers_post.logits()
    score, bad = peers_post.score_peer(values)
    assert score == pytest.approx(score_map(values, kernel=peers_post.KERNEL).score, abs=1e-6) and bad == 0


def test_the_ranking_peer_computes_the_figures() -> None:
    """The argsort gives our AUROC and AUPRO, on maps with and without ties."""
    maps, truths = peers_metrics.labelled_maps(12, 96)
    for scores in (maps, np.round(maps * 50) / np.float32(50)):
        ranking = rank_maps(scores, truths)
        expected = (ranking.auroc(), ranking.aupro((0.3,))[0])
        assert peers_metrics.numpy_auroc_aupro(scores, truths) == pytest.approx(expected, abs=1e-9)


def test_the_depth_peers_compute_the_stages() -> None:
    """Filled depth agrees within a micrometre; the border's plane is the one that the part was made with."""
    depth = peers_depth.domed_part()
    assert np.abs(fill_holes(depth, passes=3) - peers_depth.neighbour_mean(depth, 3)).max() < 1e-6
    rays = ((np.arange(800) - 399.5) / 900).astype(np.float32)
    normal, offset = peers_depth.border_plane(depth, rays)
    assert abs(offset) == pytest.approx(0.5, abs=0.005) and abs(normal[2]) > 0.99
    ours, *_ = peers_depth.cases(1)
    ours.ours()
    chain = peers_depth.peer_chain(depth, rays)
    assert chain.shape == (256, 256) and chain.max() == pytest.approx(0.58, abs=0.03) and np.median(chain[:20]) == 0


def test_the_perlin_peer_is_perlin_noise() -> None:
    """Zero on the lattice's nodes, bounded, with the spread of the published construction."""
    field = np.stack([peers_perlin.numpy_perlin(256, 8, np.random.default_rng(i)) for i in range(20)])
    assert np.abs(field[:, ::32, ::32]).max() < 1e-6 and np.abs(field).max() <= 1.0
    assert field.std() == pytest.approx(0.31, abs=0.03)


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
    case = Case(
        "nap", "1", clock.takes(2e-3), "longer nap", clock.takes(1e-2), 4096, target=3.0, count=2
    )
    row = measure(case, seconds=0.1)
    assert row.ms == pytest.approx(1.0, rel=1e-5) and row.peer_ms == pytest.approx(5.0, rel=1e-5)
    assert row.ratio == pytest.approx(5.0, rel=1e-5) and row.reached and row.bound_ms > 0
    assert not measure(replace(case, target=6.0), seconds=0.01).reached


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
    found = list(rows(1, seconds=0.01, only="regions"))
    assert [row.op for row in found] == ["regions"] and cv2.getNumThreads() == before


def test_the_command_prints_json_and_a_table() -> None:
    """--json is one object a line with every field; without it a table with a line each; a typo is a usage error."""
    lines = CliRunner().invoke(app, ["bench", "--ops", "--only", "score", "--seconds", "0.01", "--json"]).output
    (row,) = (json.loads(line) for line in lines.splitlines())
    assert set(row) > FIELDS and row["op"] == "score" and row["target"] == 1.4
    table = CliRunner().invoke(app, ["bench", "--only", "regions", "--seconds", "0.01"]).output.splitlines()
    assert len(table) == 2 and table[0].startswith("operation")
    assert CliRunner().invoke(app, ["bench", "--only", "nothing"]).exit_code == 2


def test_a_bundle_is_timed_stage_by_stage(tiny_bundle: Path) -> None:
    """Percentiles of each stage in order, throughput, and the reasons of the verdicts."""
    arguments = ["bench", str(tiny_bundle), "synthetic:plate", "--frames", "5", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["frames"] == 5 and found["frames_per_second"] > 0 and sum(found["reasons"].values()) == 5
    assert set(found["stages_ms"]) == {"preprocess", "infer", "score", "total"}
    for values in found["stages_ms"].values():
        assert 0 <= values["p50"] <= values["p90"] <= values["p95"]
    assert CliRunner().invoke(app, ["bench", str(tiny_bundle), "--ops"]).exit_code == 2


@pytest.mark.bench
def test_score_against_torch() -> None:
    """softmax + avg_pool2d(21) + max, as DRAEM's program has them: ours is at least 150 times as fast."""
    torch = pytest.importorskip("torch")
    values = peers_post.logits()
    batch = torch.from_numpy(values)[None]
    raw, pooled = np.empty((256, 256), np.float32), np.empty((256, 256), np.float32)

    def peer() -> float:
        probability = torch.softmax(batch, dim=1)[:, 1:]
        return float(torch.nn.functional.avg_pool2d(probability, 21, stride=1, padding=10).max())

    torch.set_num_threads(1)
    case = Case(
        "score", "256x256", lambda: score_map(values, kernel=21, out_raw=raw, out_pooled=pooled), "torch", peer, 1 << 20
    )
    row = measure(case)
    print(f"score {row.ms:.3f} ms, torch {row.peer_ms:.3f} ms, ratio {row.ratio:.0f}")
    assert peer() == pytest.approx(score_map(values, kernel=21).score, abs=1e-6)
    assert row.ratio >= 150
