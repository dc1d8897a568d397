# SPDX-License-Identifier: Apache-2.0
"""The numpy and OpenCV pipelines that samples are timed against draw the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from rasant_training.data.throughput import PEERS, made_parts, measure
from rasant_training.methods.das3d import PRESETS
from rasant_training.methods.das3d.synthesis import Synthesiser


@pytest.mark.parametrize("kind", PEERS.values())
def test_a_plain_pipeline_draws_our_samples(kind: type[Synthesiser]) -> None:
    """On our noise: clean images equal, masks but for pixels at the limit; depth and colour within rounding."""
    same_noise = type("SameNoise", (kind,), {"_fields": Synthesiser._fields})
    parts = made_parts(count=3, side=160)
    ours, plain = (kind(parts, PRESETS["edge"], 5) for kind in (Synthesiser, same_noise))
    flips = 0
    for index in range(60):
        a, b = ours(index), plain(index)
        assert a.keys() == b.keys() and np.array_equal(a["color_clean"], b["color_clean"])
        apart = a["mask"] != b["mask"]
        flips += int(apart.sum())
        assert np.abs(a["depth"] - b["depth"]).max() < 2e-6
        assert np.abs((a["color"] - b["color"])[:, ~apart]).max() < 1e-6
    assert flips <= 5


def test_rows_say_what_a_step_needs() -> None:
    """A row for each stage of the edge preset and pipeline: 8 crops, then 2 whole frames; the numbers fit together."""
    rows = list(measure(seconds=0.05, step_s=0.5))
    assert [(row.stage, row.batch) for row in rows[::2]] == [("crops", 8), ("whole frames", 2)]
    assert {row.peer for row in rows} == set(PEERS)
    for row in rows:
        assert row.ratio == row.rate / row.peer_rate and row.share == row.batch / row.rate / 0.5
