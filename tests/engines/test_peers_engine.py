# SPDX-License-Identifier: Apache-2.0
"""The benchmark compares like with like."""

from __future__ import annotations

from rasant.bench.peers_engine import engine_pair, small_network
from rasant.bundle.graph_check import describe_graph
from tiny_bundle import tiny_model


def test_both_sides_run_the_same_graph_to_the_same_bits() -> None:
    """`engine_pair` itself raises where the outputs differ; both calls can be repeated."""
    for model in (small_network((16, 24)), tiny_model()):
        ours, peer = engine_pair(model)
        for _ in range(3):
            ours()
            peer()


def test_the_benchmark_network_is_one_that_a_bundle_may_hold() -> None:
    """The small network passes the graph check, and its work is that of four convolutions."""
    spec = describe_graph(small_network((16, 24)), "g.onnx")
    assert spec.outputs[0].shape == (1, 2, 16, 24)
