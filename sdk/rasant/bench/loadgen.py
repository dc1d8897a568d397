# SPDX-License-Identifier: Apache-2.0
"""MLPerf's LoadGen as the driver: it decides when a query is asked and judges the run; we answer.

Its own summary goes into the record: whether the run is VALID by its rules, and the figure that the scenario names
(90th percentile for SingleStream, 99th for MultiStream, samples a second for Offline). A run is only comparable with
published ones where it lasts as long as theirs (600 s) and uses their network, which ours is not.
"""

from __future__ import annotations

import importlib
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rasant.bench.bundle import Candidate
from rasant.bench.scenario import Frames, Scenario, Turn, run_turn
from rasant.errors import ConfigError

__all__ = ["run_loadgen"]

_SCENARIOS = {"single": "SingleStream", "multi": "MultiStream", "offline": "Offline"}
_SUMMARY = re.compile(r"^\s*([\w .%()/-]+?)\s*:\s*(\S+)\s*$", re.MULTILINE)


def run_loadgen(
    each: Candidate, scenario: Scenario, frames: Frames, pool: Executor, count: int, seconds: float
) -> None:
    """Let LoadGen ask for at least `count` frames and `seconds`; leaves a turn and LoadGen's summary in `each`.

    Raises ConfigError for a paced scenario, ImportError where mlperf_loadgen is not installed.
    """
    if scenario.kind not in _SCENARIOS:
        raise ConfigError(f"LoadGen drives {', '.join(_SCENARIOS)}, not {scenario}; use --driver turns")
    lg = importlib.import_module("mlperf_loadgen")
    turn = Turn(time.perf_counter())
    system = _System(lg, each, scenario, frames, pool, turn)
    library = lg.ConstructQSL(len(frames.distinct), len(frames.distinct), lambda _: None, lambda _: None)
    tested = lg.ConstructSUT(system.issue, lambda: None)
    try:
        with tempfile.TemporaryDirectory(prefix="rasant-loadgen-") as folder:
            lg.StartTestWithLogSettings(
                tested, library, _settings(lg, scenario, count, seconds, each), _log(lg, folder)
            )
            system.finish()
            summary = (Path(folder) / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    finally:
        lg.DestroySUT(tested)
        lg.DestroyQSL(library)
    turn.end = time.perf_counter()
    each.turns.append(turn)
    each.driver = {"name": "mlperf_loadgen", "version": version("mlcommons-loadgen"), **_parsed(summary)}


@dataclass(slots=True)
class _System:
    """Answers queries: one sample in SingleStream, K in MultiStream, all at once in Offline."""

    lg: Any
    each: Candidate
    scenario: Scenario
    frames: Frames
    pool: Executor
    turn: Turn
    errors: list[BaseException] = field(default_factory=list)

    def issue(self, samples: Sequence[Any]) -> None:
        """LoadGen's callback. An exception must not cross its C++, and a query without an answer would never end."""
        try:
            if not self.errors:
                part = run_turn(self.scenario, self.each.inspectors, self.frames, len(samples), self.pool)
                self.turn.shots += part.shots
                self.turn.waits_ms += part.waits_ms
        except BaseException as error:
            self.errors.append(error)
        # Answers have no payload: accuracy is measured by `rasant evaluate`.
        self.lg.QuerySamplesComplete([self.lg.QuerySampleResponse(sample.id, 0, 0) for sample in samples])

    def finish(self) -> None:
        """Raise what the callback caught."""
        if self.errors:
            raise self.errors[0]


def _settings(lg: Any, scenario: Scenario, count: int, seconds: float, each: Candidate) -> Any:
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, _SCENARIOS[scenario.kind])
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_query_count = -(-count // scenario.streams) if scenario.kind == "multi" else count
    settings.min_duration_ms = round(1e3 * seconds)
    expected_ms = max(0.01, each.warm_ms)
    settings.single_stream_expected_latency_ns = round(1e6 * expected_ms)
    settings.multi_stream_samples_per_query = scenario.streams
    settings.multi_stream_expected_latency_ns = round(1e6 * expected_ms)
    settings.offline_expected_qps = scenario.streams * 1e3 / expected_ms
    return settings


def _log(lg: Any, folder: str) -> Any:
    output = lg.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    settings = lg.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings


def _parsed(summary: str) -> dict[str, Any]:
    """Result, scenario and every figure of mlperf_log_summary.txt."""
    head = summary.split("Test Parameters Used")[0]
    found = {name.strip(): value for name, value in _SUMMARY.findall(head)}
    figures = {name: float(value) for name, value in found.items() if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value)}
    return {
        "scenario": found.get("Scenario"), "valid": found.get("Result is") == "VALID", "figures": figures,
        "met": {name: value == "Yes" for name, value in found.items() if value in ("Yes", "NO", "No")},
    }  # fmt: skip
