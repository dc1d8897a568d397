# SPDX-License-Identifier: Apache-2.0
"""Records of one run as a terminal's table, and as a self-contained HTML page with histograms and stage bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["COLUMNS", "facts_of", "print_records", "rows_of", "write_page"]

COLUMNS = ("stage", "n", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")
_STACKED = ("preprocess", "infer", "score")
Record = Mapping[str, Any]


def rows_of(record: Record) -> list[tuple[str, ...]]:
    """A row of COLUMNS for each stage; what there are too few frames for is a dash."""
    rows = []
    for stage, values in record["latency_ms"].items():
        cells = (_ms(values[name.replace(".", "_")]) for name in COLUMNS[2:])
        rows.append((stage.replace("_", " "), str(values["n"]), *cells))
    return rows


def facts_of(record: Record) -> dict[str, str]:
    """What a person wants to know beside latencies, each on one line."""
    engine, memory, counts, power = (record[name] for name in ("engine", "memory", "counts", "power"))
    found = {
        "engine": f"{engine['name']} {engine['version']} {engine['provider']}, {engine['precision']}",
        "scenario": f"{record['scenario']['name']}, {counts['frames']} frames in {record['duration_s']:.1f} s",
        "throughput": f"{record['throughput_fps']:.1f} frames/s",
        "verdicts": ", ".join(f"{n} {reason}" for reason, n in sorted(counts["reasons"].items())),
        "first verdict": f"{record['warmup']['first_verdict_ms']:.0f} ms after the call of load",
        "engine opened in": f"{1e3 * engine['open_s']:.0f} ms",
    }
    if record["scenario"]["kind"] == "paced":
        found["dropped, late"] = f"{counts['dropped']} frames, {counts['late']} verdicts"
    if memory["rss_mib"] is not None:
        found["memory"] = f"{memory['rss_mib']:.0f} MiB, at most {memory['rss_peak_mib']:.0f} MiB"
    if power["mean_mw"] is not None:
        energy = power["energy_mj_per_frame"]
        found["power"] = f"{power['mean_mw'] / 1e3:.2f} W ({power['total']}), {energy:.1f} mJ a frame"
    found["power mode"] = power["mode"] or "not known"
    if record["driver"]:
        found["LoadGen"] = f"{record['driver']['scenario']}, {'VALID' if record['driver']['valid'] else 'INVALID'}"
    if record["overhead"]:
        found["over the bare runtime"] = f"{record['overhead']['ratio']['value']:.3f} times its time"
    return found


def print_records(records: Sequence[Record]) -> None:
    """A table of stages for each record, what else there is to know, and the ratios."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for record in records:
        table = Table(title=record["name"], title_justify="left", box=None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "stage" else "right")
        for row in rows_of(record):
            table.add_row(*row)
        console.print(table)
        for name, value in facts_of(record).items():
            console.print(f"{name}: {value}", markup=False)
        if not record["qualified"]:
            console.print(f"unqualified: {'; '.join(record['unqualified_because'])}", style="yellow", markup=False)
        console.print()
    for record in records[1:]:
        console.print(record["compared"]["text"], markup=False)


def write_page(path: Path, records: Sequence[Record]) -> Path:
    """Write the page of the records of one run; returns its path."""
    from rasant.report import render
    from rasant.report.charts import latency_chart, stage_bars

    totals = [np.array([v for turn in r["samples_ms"]["total"] for v in turn], np.float64) for r in records]
    ends = [np.percentile(values, [0, 98]) for values in totals if len(values)] or [np.array([0.0, 1.0])]
    reach = 0.9 * min(float(low) for low, _ in ends), 1.05 * max(float(high) for _, high in ends)
    means = {r["name"]: {s: r["latency_ms"][s]["mean"] or 0.0 for s in _STACKED} for r in records}
    shown = []
    for record, values in zip(records, totals, strict=True):
        latency = record["latency_ms"]["total"]
        marks = {name: latency[name] for name in ("p50", "p95") if latency[name] is not None}
        shown.append({
            "name": record["name"], "doubts": record["unqualified_because"], "rows": rows_of(record),
            "chart": latency_chart(values.tolist(), reach, marks), "facts": facts_of(record),
        })  # fmt: skip
    machine, run = records[0]["host"], records[0]["run"]
    tiles = [tile for record in records for tile in _tiles(record)]
    page = render(
        "bench.html.j2", title="Benchmark", subtitle=f"{machine['board'] or machine['processor']}, {run['utc']}",
        facts=_origin(records[0]), machine=_machine(machine), tiles=tiles,
        comparisons=[r["compared"]["text"] for r in records if r["compared"]], stages=stage_bars(means),
        candidates=shown, columns=COLUMNS,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _tiles(record: Record) -> list[dict[str, str]]:
    latency = record["latency_ms"]["total"]
    css = "" if record["qualified"] else "warn"
    note = record["name"] + ("" if record["qualified"] else ", unqualified")
    return [
        {"name": "Median latency", "value": f"{_ms(latency['p50'])} ms", "note": note, "css": css},
        {"name": "Throughput", "value": f"{record['throughput_fps']:.1f}/s", "note": note, "css": css},
    ]


def _origin(record: Record) -> dict[str, str]:
    io = record["io"]
    return {
        "command": " ".join(record["run"]["command"]) or "–",
        "bundle": f"{record['bundle']['file']}, sha256 {record['bundle']['sha256']}",
        "source": f"{io['source']}, {io['distinct_frames']} distinct frames of {io['frame'][1]}x{io['frame'][0]}",
        "threads": str(io["threads"] or "as the engine's runtime likes"),
    }


def _machine(machine: Record) -> dict[str, str]:
    board = {"board": f"{machine['board']}, L4T {machine['l4t']}"} if machine["board"] else {}
    return {
        **board,
        "processor": f"{machine['processor']}, {machine['cpus']} CPUs, {', '.join(machine['vectors'])}",
        "system": f"{machine['system']}, Python {machine['python']}",
        "load when begun": f"{machine['load']}",
        "packages": ", ".join(f"{name} {number}" for name, number in machine["packages"].items()),
    }


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
