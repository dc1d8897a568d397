# SPDX-License-Identifier: Apache-2.0
"""`rasant bench BUNDLE`: engines take turns, and a record says everything that its figures depend on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orin_tree import write_orin_tree
from rasant.bench.bundle import SETTLE, WARM_UP, bench_bundles, candidate, read_frames
from rasant.bench.page import rows_of, write_page
from rasant.bench.record import STAGES, make_records, without_samples
from rasant.cli import app
from rasant.errors import ConfigError, EngineError, SourceError
from tiny_bundle import plate_camera, write_tiny_bundle

SOURCE = "synthetic:plate?frames=3&size=64"
FIELDS = {
    "schema_version", "run", "name", "bundle", "host", "engine", "io", "scenario", "driver", "warmup", "counts",
    "duration_s", "latency_ms", "throughput_fps", "memory", "overhead", "garbage_collector", "power", "thermal",
    "clocks_mhz", "qualified", "unqualified_because", "compared",
}  # fmt: skip


def run_cli(*arguments: object) -> list[dict]:
    """Records that `rasant bench --json` prints."""
    result = CliRunner().invoke(app, ["bench", *map(str, arguments), "--threads", "1", "--json"])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_engine_has_a_record_with_every_field(tiny_bundle: Path) -> None:
    """One JSON object a line for each engine, in order, with the same run, machine and source."""
    pytest.importorskip("openvino")
    first, second = run_cli(tiny_bundle, SOURCE, "--engine", "onnxruntime,openvino", "--frames", 12)
    for record, name in ((first, "onnxruntime"), (second, "openvino")):
        assert set(record) == FIELDS and record["engine"]["name"] == record["engine"]["asked"] == name
        assert record["counts"]["frames"] == 12 and sum(record["counts"]["reasons"].values()) == 12
        assert record["counts"]["refused"] == record["counts"]["dropped"] == record["counts"]["late"] == 0
        assert record["throughput_fps"] == pytest.approx(12 / record["duration_s"])
        assert record["warmup"]["first_verdict_ms"] > record["warmup"]["load_ms"] > 0
        assert record["memory"]["rss_peak_mib"] >= record["memory"]["rss_mib"] > 0
        assert record["bundle"]["method"] == "tiny" and len(record["bundle"]["sha256"]) == 64
        assert record["io"]["inputs"] == {"color": [1, 3, 64, 64], "depth": [1, 1, 64, 64]}
    assert first["run"] == second["run"] and first["host"] == second["host"] and first["compared"] is None
    assert first["scenario"]["in_turns_with"] == [second["name"]] and second["compared"]["in_turns"]
    ratio = second["compared"]["ratio"]["total"]
    medians = [record["latency_ms"]["total"]["p50"] for record in (first, second)]
    assert ratio["low"] <= ratio["high"] and ratio["value"] == pytest.approx(medians[0] / medians[1])


def test_stages_add_up_to_the_total(tiny_bundle: Path) -> None:
    """Means of preprocess, infer and score make the mean total; acquire is of the distinct frames and apart."""
    (record,) = run_cli(tiny_bundle, SOURCE, "--frames", 20)
    latency = record["latency_ms"]
    assert list(latency) == ["acquire", *STAGES] and latency["acquire"]["n"] == 3
    assert latency["total"]["n"] == 20 and latency["total"]["p99"] is None
    assert sum(latency[stage]["mean"] for stage in STAGES[:3]) == pytest.approx(latency["total"]["mean"], rel=1e-6)
    assert latency["total"]["mean"] * 20 / 1e3 < record["duration_s"]


@pytest.mark.parametrize(
    ("scenario", "wait"), [("multi:2", "query"), ("offline:2", None), ("paced:200", "arrival_to_verdict")]
)
def test_other_scenarios_have_their_own_latency(tiny_bundle: Path, scenario: str, wait: str | None) -> None:
    """Questions of multi and arrivals of paced are timed beside the stages; all frames are accounted for."""
    (record,) = run_cli(tiny_bundle, SOURCE, "--frames", 20, "--scenario", scenario)
    assert record["scenario"]["name"] == scenario
    assert record["counts"]["frames"] + record["counts"]["dropped"] == 20
    assert set(record["latency_ms"]) - {"acquire", *STAGES} == ({wait} if wait else set())
    if wait is not None:
        assert record["latency_ms"][wait]["min"] >= record["latency_ms"]["total"]["min"]


def test_turns_are_interleaved_and_their_first_frames_not_counted(tiny_bundle: Path) -> None:
    """Two candidates get ten turns each; every inspector saw warm-up, settling and counted frames, no more."""
    pair = [candidate(f"{tiny_bundle}@onnxruntime"), candidate(str(tiny_bundle))]
    run = bench_bundles(pair, SOURCE, frames=25, threads=1)
    for each in run.candidates:
        assert [len(turn.shots) for turn in each.turns] == [3] * 8 + [1]
        assert each.inspectors[0].status.frames == WARM_UP + 9 * SETTLE + 25
    ends = sorted((turn.begin, each.path, k) for k, each in enumerate(run.candidates) for turn in each.turns)
    assert [k for *_, k in ends] == [0, 1] * 9
    alone = bench_bundles([candidate(str(tiny_bundle))], SOURCE, frames=4, seconds=0.2, threads=1)
    assert alone.candidates[0].turns[-1].end - alone.candidates[0].turns[0].begin >= 0.2


def test_a_record_without_power_mode_is_unqualified(tiny_bundle: Path, tmp_path: Path) -> None:
    """It says so, and why; nothing of the figures is left out."""
    (record,) = run_cli(tiny_bundle, SOURCE, "--frames", 3, "--sysfs", tmp_path)
    assert record["qualified"] is False and record["power"]["mode"] is None
    assert any("power mode" in why for why in record["unqualified_because"])
    assert any("power rail" in why for why in record["unqualified_because"])


def test_on_a_jetson_the_record_holds_power_and_mode(tiny_bundle: Path, tmp_path: Path) -> None:
    """Of a recorded Orin: energy of a frame, temperatures, clocks and mode; only the load can still disqualify."""
    root = write_orin_tree(tmp_path)
    (record,) = run_cli(tiny_bundle, SOURCE, "--frames", 30, "--seconds", 0.3, "--sysfs", root)
    power = record["power"]
    assert power["mode"] == "nvpmodel 0 15W" and power["source"] == "sysfs" and power["readings"] >= 2
    milliseconds = 1e3 * record["duration_s"] / record["counts"]["frames"]
    assert power["energy_mj_per_frame"] == pytest.approx(6.048 * milliseconds)
    assert record["thermal"]["celsius"]["gpu"]["max"] == 45.25 and record["clocks_mhz"]["emc"]["mean"] == 2133.0
    assert record["host"]["board"].startswith("NVIDIA Jetson Orin Nano") and record["host"]["l4t"] == "36.4.3"
    assert all("busy" in why for why in record["unqualified_because"])


def test_refused_frames_are_no_figures(tmp_path: Path) -> None:
    """A bundle that refuses every frame of the source has null latencies and is unqualified."""
    bundle = write_tiny_bundle(tmp_path / "other.rasant", camera=plate_camera())
    (record,) = run_cli(bundle, SOURCE, "--frames", 4)
    assert record["counts"]["refused"] == record["counts"]["frames"] == 4
    assert record["latency_ms"]["total"]["n"] == 0 and record["latency_ms"]["total"]["p50"] is None
    assert any("4 of 4 frames were refused" in why for why in record["unqualified_because"])


def test_the_overhead_is_that_of_the_same_graph(tiny_bundle: Path) -> None:
    """With --overhead the engine is timed against its bare runtime, with an interval."""
    (record,) = run_cli(tiny_bundle, SOURCE, "--engine", "onnxruntime", "--frames", 3, "--overhead")
    overhead = record["overhead"]
    assert overhead["target"] == 1.05 and overhead["raw_ms"] > 0
    assert overhead["ratio"]["value"] == pytest.approx(overhead["engine_ms"] / overhead["raw_ms"])


def test_the_page_and_the_table_show_the_record(tiny_bundle: Path, tmp_path: Path) -> None:
    """The page is one file without script or network; table and page have a row for each stage."""
    page = tmp_path / "out" / "bench.html"
    arguments = ["bench", str(tiny_bundle), SOURCE, "--frames", "6", "--threads", "1", "--page", str(page)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert all(stage in shown.output for stage in STAGES) and "unqualified" in shown.output
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "http" not in text.replace("http://www.w3.org", "") and text.count("<svg") == 3
    assert all(f"<td>{stage}</td>" in text for stage in STAGES) and "Unqualified figures" in text


def test_a_page_without_any_inference_can_be_written(tiny_bundle: Path, tmp_path: Path) -> None:
    """Where no frame reached the network there are dashes, not an error."""
    run = bench_bundles([candidate(str(tiny_bundle))], SOURCE, frames=2, threads=1)
    run.candidates[0].turns[0].shots[:] = [s._replace(inferred=False) for s in run.candidates[0].turns[0].shots]
    run.candidates[0].turns[1:] = []
    (record,) = make_records(run)
    assert record["latency_ms"]["total"] | {"n": 0} == dict.fromkeys(record["latency_ms"]["total"]) | {"n": 0}
    assert rows_of(record)[-1][2] == "–" and write_page(tmp_path / "empty.html", [record]).exists()
    json.dumps(without_samples(record), allow_nan=False)


def test_what_cannot_be_timed_is_refused(tiny_bundle: Path) -> None:
    """Wrong options and empty sources are typed errors before anything runs."""
    with pytest.raises(ConfigError, match="at least 1"):
        bench_bundles([candidate(str(tiny_bundle))], SOURCE, frames=0)
    with pytest.raises(ConfigError, match="driver"):
        bench_bundles([candidate(str(tiny_bundle))], SOURCE, driver="mlperf")
    with pytest.raises(SourceError):
        read_frames("folder:/nowhere", 3)
    for arguments in (["--ops"], ["--engine", "magic"], ["--scenario", "double"], ["--compare", "a.jsonl", "b.jsonl"]):
        assert CliRunner().invoke(app, ["bench", str(tiny_bundle), *arguments]).exit_code == 2


def test_a_candidate_names_its_engine() -> None:
    """`part.rasant@openvino`; without one the loader chooses."""
    named, plain = candidate("a/b.rasant@openvino"), candidate("a/b.rasant")
    assert named.path == plain.path == Path("a/b.rasant") and (named.engine, plain.engine) == ("openvino", "auto")


def test_loadgen_drives_and_judges(tiny_bundle: Path) -> None:
    """MLPerf's generator asks for the frames, and its own summary stands in the record."""
    pytest.importorskip("mlperf_loadgen")
    for scenario, name, figure in (
        ("single", "SingleStream", "90.0th percentile latency (ns)"),
        ("multi:2", "MultiStream", "99.0th percentile latency (ns)"),
        ("offline:2", "Offline", "Samples per second"),
    ):
        (record,) = run_cli(tiny_bundle, SOURCE, "--frames", 8, "--driver", "loadgen", "--scenario", scenario)
        driver = record["driver"]
        assert driver["scenario"] == name and driver["figures"][figure] > 0 and isinstance(driver["valid"], bool)
        assert record["counts"]["frames"] >= 8 and record["scenario"]["driver"] == "loadgen"
    paced = CliRunner().invoke(app, ["bench", str(tiny_bundle), "--driver", "loadgen", "--scenario", "paced:9"])
    assert paced.exit_code == 2


def test_an_error_under_loadgen_comes_out(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in LoadGen's callback ends the run and is raised, instead of hanging in its threads."""
    pytest.importorskip("mlperf_loadgen")

    def fail(*_: object) -> None:
        raise EngineError("no such luck")

    monkeypatch.setattr("rasant.bench.loadgen.run_turn", fail)
    with pytest.raises(EngineError, match="no such luck"):
        bench_bundles([candidate(str(tiny_bundle))], SOURCE, frames=4, threads=1, driver="loadgen")
