# SPDX-License-Identifier: Apache-2.0
"""`rasant bench --compare`: fair where both took turns, and careful with records of different runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rasant.bench.compare import compare
from rasant.bench.record import find_record, write_records
from rasant.cli import app
from rasant.errors import ConfigError
from tiny_bundle import write_tiny_bundle

SOURCE = "synthetic:plate?frames=3&size=64"


def record(name: str = "a@x", *, ms: float = 2.0, run: str = "one", **changed: Any) -> dict[str, Any]:
    """As much of a record as a comparison reads."""
    turns = [[ms, ms + 0.1 * turn, ms] for turn in range(4)]
    return {
        "schema_version": 1, "name": name, "run": {"id": run}, "engine": {"name": name.partition("@")[2]},
        "scenario": {"name": "single", "driver": "turns"}, "host": {"processor": "P", "load": 0.1},
        "io": {"source": "s", "threads": 2}, "power": {"mode": None}, "throughput_fps": 1e3 / ms,
        "samples_ms": {"total": turns, "infer": turns}, **changed,
    }  # fmt: skip


def test_a_run_is_compared_turn_by_turn() -> None:
    """Records of one run need no caution; the ratio is first / second, of time as of rate."""
    found = compare(record(ms=6.0), record("b@y", ms=2.0))
    assert found["in_turns"] and found["caution"] == [] and found["ratio"]["total"]["value"] == pytest.approx(3.0)
    assert found["throughput_ratio"] == pytest.approx(1 / 3) and "a@x / b@y" in found["text"]


def test_records_of_two_runs_say_what_differs() -> None:
    """Another processor, load or source is named; that they were not interleaved always is."""
    other = record("b@y", run="two", host={"processor": "Q", "load": 3.0}, power={"mode": "nvpmodel 0"})
    found = compare(record(), other)
    assert not found["in_turns"] and "not in turns" in found["caution"][0]
    assert [text.partition(" differ")[0] for text in found["caution"][1:]] == ["processors", "loads", "power modes"]


def test_a_side_without_inference_has_no_ratio() -> None:
    """Null, and a sentence that says why."""
    found = compare(record(), record(samples_ms={"total": [[]], "infer": [[]]}, throughput_fps=None))
    assert found["ratio"]["total"] is None and "no frame reached the network" in found["text"]


def test_records_are_added_to_a_file_and_found_again(tmp_path: Path) -> None:
    """The last record counts, or the last of an engine; samples are kept to the microsecond."""
    path = tmp_path / "new" / "runs.jsonl"
    write_records(path, [record(ms=1.23456789), record("a@y", ms=2.0)])
    write_records(path, [record("a@y", ms=3.0)])
    assert find_record(str(path))["samples_ms"]["total"][0][0] == 3.0
    assert find_record(f"{path}@x")["samples_ms"]["total"][0][0] == 1.235
    with pytest.raises(ConfigError, match="no record of z"):
        find_record(f"{path}@z")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"schema_version": 2, "samples_ms": {}}', "{}"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """A file that is no record of this version is a configuration error, not a traceback."""
    (tmp_path / "other.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        find_record(str(tmp_path / "other.jsonl"))


def test_two_bundles_take_turns_from_the_command_line(tmp_path: Path) -> None:
    """--compare A B [SOURCE]: both records, the second with the comparison; then again from the recorded file."""
    pair = [write_tiny_bundle(tmp_path / f"{name}.rasant", bias=bias) for name, bias in (("a", -4.0), ("b", -3.0))]
    sides = [f"{pair[0]}@onnxruntime", str(pair[1])]
    path = tmp_path / "runs.jsonl"
    options = ["--frames", "12", "--threads", "1", "--record", str(path)]
    result = CliRunner().invoke(app, ["bench", "--compare", *sides, SOURCE, *options, "--json"])
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["bundle"]["file"] == "a.rasant" and second["compared"]["in_turns"]
    assert first["io"]["source"] == SOURCE and "samples_ms" not in first
    again = CliRunner().invoke(app, ["bench", "--compare", f"{path}@onnxruntime", str(path), "--json"])
    assert json.loads(again.stdout)["ratio"]["total"]["value"] > 0
    told = CliRunner().invoke(app, ["bench", "--compare", str(path), str(path)])
    assert told.exit_code == 0 and "median of total: 1.000" in told.stdout
