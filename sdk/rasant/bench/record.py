# SPDX-License-Identifier: Apache-2.0
"""The benchmark's record: one JSON object for each bundle and engine, with everything that its figures depend on.

A figure that cannot be repeated because something is not known of its making says so: `qualified` is false and
`unqualified_because` lists why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from rasant.bench.bundle import WARM_UP, Candidate, Run
from rasant.bench.compare import compare
from rasant.bench.latency import describe
from rasant.bench.peers_engine import RAW, engine_overhead
from rasant.errors import ConfigError

__all__ = ["BUSY", "SCHEMA_VERSION", "STAGES", "find_record", "make_records", "without_samples", "write_records"]

SCHEMA_VERSION = 1
STAGES = ("preprocess", "infer", "score", "total")
BUSY = 0.5  # load for each CPU, before the run, above which another program disturbs the figures
_WAITS = {"multi": "query", "paced": "arrival_to_verdict"}


def make_records(run: Run, *, command: Sequence[str] = (), overhead: bool = False) -> list[dict[str, Any]]:
    """One record for each candidate, in their order.

    overhead: also time each engine against its bare runtime on the same graph. `compared` of the second and later
    records holds ratios first / this: how many times faster this one is.
    """
    shared = {"id": uuid4().hex, "utc": run.utc, "command": list(command), "version": version("rasant")}
    records = [_record(each, run, shared, overhead) for each in run.candidates]
    return [{**r, "compared": compare(records[0], r) if k else None} for k, r in enumerate(records)]


def _record(each: Candidate, run: Run, shared: dict[str, Any], overhead: bool) -> dict[str, Any]:
    shots = [shot for turn in each.turns for shot in turn.shots]
    inferred = sum(shot.inferred for shot in shots)
    duration = sum(turn.end - turn.begin for turn in each.turns)
    board = run.sampler.summary([(turn.begin, turn.end) for turn in each.turns], len(shots))
    found = {
        "schema_version": SCHEMA_VERSION,
        "run": shared,
        "name": str(each),
        "bundle": _bundle(each),
        "host": run.machine,
        "engine": _engine(each),
        "io": _io(each, run),
        "scenario": {
            "name": str(run.scenario), "kind": run.scenario.kind, "streams": run.scenario.streams,
            "fps": run.scenario.fps, "driver": run.driver, "turns": len(each.turns),
            "in_turns_with": [str(o) for o in run.candidates if o is not each] if run.driver == "turns" else [],
        },
        "driver": each.driver,
        "warmup": {"frames": WARM_UP, "load_ms": each.load_ms, "first_verdict_ms": each.first_verdict_ms},
        "counts": {
            "frames": len(shots), "refused": len(shots) - inferred, "dropped": sum(t.dropped for t in each.turns),
            "late": sum(turn.late for turn in each.turns), "reasons": dict(Counter(s.reason.value for s in shots)),
        },
        "duration_s": duration,
        "latency_ms": _latencies(each, run),
        "throughput_fps": len(shots) / duration if duration else None,
        "memory": {**run.memory, "loaded_mib": each.loaded_mib},
        "overhead": _overhead(each, run.threads) if overhead else None,
        "garbage_collector": {"pauses": len(run.pauses_ms), "longest_ms": max(run.pauses_ms, default=None)},
        **board,
    }  # fmt: skip
    reasons = _doubts(found)
    samples = {stage: each.stage_ms(stage) for stage in ("infer", "total")}
    return {**found, "qualified": not reasons, "unqualified_because": reasons, "samples_ms": samples}


def _bundle(each: Candidate) -> dict[str, Any]:
    assert each.bundle is not None
    manifest = each.bundle.manifest
    return {
        "file": each.path.name, "sha256": each.bundle.sha256, "method": manifest.method, "preset": manifest.preset,
        "category": manifest.category, "precision": manifest.detector.precision,
    }  # fmt: skip


def _engine(each: Candidate) -> dict[str, Any]:
    assert each.info is not None
    return {"asked": each.engine, **asdict(each.info)}


def _overhead(each: Candidate, threads: int) -> dict[str, Any] | None:
    """Our engine against its bare runtime; None for an engine that has no peer here."""
    assert each.bundle is not None and each.info is not None
    if each.info.name not in RAW or each.info.device != "cpu":
        return None
    return engine_overhead(each.bundle.graph(), engine=each.info.name, threads=threads)


def _io(each: Candidate, run: Run) -> dict[str, Any]:
    assert each.bundle is not None
    rows, columns = run.supply.frames[0].size
    return {
        "inputs": {spec.name: list(spec.shape) for spec in each.bundle.manifest.detector.inputs}, "batch": 1,
        "frame": [rows, columns], "source": run.supply.source, "distinct_frames": len(run.supply.frames),
        "threads": run.threads,
    }  # fmt: skip


def _latencies(each: Candidate, run: Run) -> dict[str, Any]:
    """Stages of frames that the network saw. `acquire` is of the frames read beforehand, and no part of `total`."""
    found = {"acquire": describe(run.supply.acquire_ms)}
    for stage in STAGES:
        found[stage] = describe([value for turn in each.stage_ms(stage) for value in turn])
    if run.scenario.kind in _WAITS:
        found[_WAITS[run.scenario.kind]] = describe([value for turn in each.turns for value in turn.waits_ms])
    return found


def _doubts(found: Mapping[str, Any]) -> list[str]:
    """What stands between this record and a figure that another person can repeat."""
    doubts = []
    power, counts, machine = found["power"], found["counts"], found["host"]
    if power["mode"] is None:
        doubts.append("the power mode is not known: neither nvpmodel nor a CPU governor can be read here")
    if power["source"] == "none":
        doubts.append("no power rail can be read here, so energy is not known")
    if found["thermal"]["over_current_events"]:
        doubts.append(f"the board throttled for over-current {found['thermal']['over_current_events']} times")
    if counts["refused"]:
        doubts.append(f"{counts['refused']} of {counts['frames']} frames were refused before the network: see reasons")
    if found["engine"]["fallback"]:
        doubts.append(f"the engine fell back: {'; '.join(found['engine']['notes'])}")
    if machine["load"] is not None and machine["load"] > BUSY * machine["cpus"]:
        doubts.append(f"the machine was busy when this began: load {machine['load']} on {machine['cpus']} CPUs")
    return doubts


def without_samples(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as `--json` prints it: single values stay in the file."""
    return {key: value for key, value in record.items() if key != "samples_ms"}


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Add one line for each record to a JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_rounded(record), allow_nan=False) + "\n")


def find_record(text: str) -> dict[str, Any]:
    """The last record of `FILE.jsonl`, or of `FILE.jsonl@openvino` the last of that engine.

    Raises ConfigError where the file holds anything but records of this version, or none that fits.
    """
    name, _, engine = text.partition("@")
    try:
        records = [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{name} must be a JSON-lines file of `rasant bench --record`, as the other side is: {error}"
        ) from error
    for record in records:
        if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION or "samples_ms" not in record:
            raise ConfigError(f"{name} must hold records of schema_version {SCHEMA_VERSION} with samples_ms")
    fitting = [record for record in records if not engine or record["engine"]["name"] == engine]
    if not fitting:
        raise ConfigError(f"{name} holds no record of {engine or 'any engine'}; write one with --record {name}")
    return dict(fitting[-1])


def _rounded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Samples to a microsecond: the clock tells no more, and the file stays small."""
    samples = {
        stage: [[round(value, 3) for value in turn] for turn in turns] for stage, turns in record["samples_ms"].items()
    }
    return {**record, "samples_ms": samples}
