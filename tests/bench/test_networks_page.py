# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks-networks.md is what its script makes of the stored measurements, and its programs take turns."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rasant.bench.peers_engine import small_network

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/benchmarks/networks.py."""
    monkeypatch.syspath_prepend(DOCS / "benchmarks")
    module = importlib.import_module("networks")
    sys.modules.pop("networks", None)
    return module


def test_the_page_shows_the_stored_measurements(networks: ModuleType) -> None:
    """The page is what --page writes; every network has torch eager, both engines, and each bare runtime."""
    found = json.loads((DOCS / "benchmarks/networks.json").read_text(encoding="utf-8"))
    assert (DOCS / "benchmarks-networks.md").read_text(encoding="utf-8") == networks.page(found)
    for network in found["networks"]:
        names = {program["name"] for program in network["programs"] if program["precision"] == "fp32"}
        assert names >= {"torch eager", "onnxruntime", "onnxruntime, bare", "openvino", "openvino, bare"}


def test_ratios_are_of_medians_over_turns(networks: ModuleType) -> None:
    """Torch over a program, the bare ONNX Runtime over it, and an engine over its own bare runtime."""
    program = {"torch eager": 80.0, "onnxruntime": 21.0, "onnxruntime, bare": 20.0, "openvino": 10.0}
    network = {
        "preset": "edge",
        "programs": [{"precision": "fp32", "name": name, "turns_ms": [ms] * 3} for name, ms in program.items()],
    }
    cells = [[cell.strip(" |") for cell in line.split(" | ")] for line in networks.network_lines(network)]
    rows = {row[2]: row for row in cells}
    assert rows["onnxruntime"][3:] == ["21.0", "3.81 (3.81 to 3.81)", "0.95 (0.95 to 0.95)", "1.05 (1.05 to 1.05)"]
    assert rows["openvino"][3:] == ["10.0", "8.00 (8.00 to 8.00)", "2.00 (2.00 to 2.00)", ""]


def test_every_program_runs_in_each_turn(networks: ModuleType) -> None:
    """The order rotates, the first call of a program in a turn is not timed, and one value is kept for each turn."""
    calls: list[str] = []
    programs = [networks.Program("fp32", name, lambda n=name: calls.append(n), []) for name in "abc"]
    networks.take_turns(programs, 2)
    each = 1 + networks.CALLS
    assert calls == [*"a" * each, *"b" * each, *"c" * each, *"b" * each, *"c" * each, *"a" * each]
    assert all(len(program.turns) == 2 for program in programs)


def test_a_bundle_of_another_network_is_not_compared_with_torch(
    networks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the preset has changed since the bundle was trained, the ratio against torch would mean nothing."""
    monkeypatch.setattr(networks, "eager", lambda *_: (lambda: None, 1))
    graph = networks.Graph("das3d", "edge", "fp32", small_network(), Path("old.rasant"))
    with pytest.raises(SystemExit, match=r"old\.rasant is not of the network"):
        list(networks.programs_of([graph], threads=1))
    assert networks.convolution_weights(small_network()) == 9 * 16 * (4 + 16 + 16 + 2)
