# SPDX-License-Identifier: Apache-2.0
"""`rasant bench`: bundles and engines side by side on this machine, or operations against numpy and OpenCV."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rasant.bench.case import Row
from rasant.errors import ConfigError

__all__ = ["bench"]

HEAD = f"{'operation':<12} {'size':<24} {'ms':>9} {'peer ms':>9} {'ratio':>8} {'target':>8} {'x bound':>8}  peer"
SOURCE = "synthetic:plate"
_RECORDS = (".jsonl", ".json")


def bench(
    bundle: Annotated[str, typer.Argument(help="A bundle to time; without one the operations are.")] = "",
    source: Annotated[str, typer.Argument(help="Where the bundle's frames come from.")] = SOURCE,
    ops: Annotated[bool, typer.Option("--ops", help="Time the operations (the default without a bundle).")] = False,
    only: Annotated[str, typer.Option("--only", help="Only operations whose name holds this.")] = "",
    sizes: Annotated[str, typer.Option("--sizes", help="Only these, e.g. 256x256,640x480.")] = "",
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.01, help="For each operation (1); at least for a bundle (0).")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames to inspect with each engine.")] = 300,
    engine: Annotated[str, typer.Option("--engine", help="One or more, e.g. onnxruntime,openvino.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=0, max=256, help="0: one for the operations.")] = 0,
    scenario: Annotated[
        str, typer.Option("--scenario", help="single, multi:K, offline, offline:K or paced:FPS.")
    ] = "single",
    driver: Annotated[str, typer.Option("--driver", help="turns, or loadgen: MLPerf's.")] = "turns",
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", help="Two of BUNDLE, BUNDLE@ENGINE or record files.")
    ] = None,
    overhead: Annotated[bool, typer.Option("--overhead", help="Also time the bare runtime on the same graph.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="Add records with every sample to this file.")] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write a self-contained HTML page here.")] = None,
    sysfs: Annotated[Path, typer.Option("--sysfs", hidden=True, help="A recorded tree of sensors.")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Time a bundle stage by stage, or the operations beside a numpy and OpenCV assembly.

    Several engines, or the two of --compare, take turns in one run. Of operations, ratios are peer / ours and "x bound"
    is our time over a memcpy of the same bytes; targets belong to one thread of the reference machine.

    Example: rasant bench part.rasant folder:captures --engine onnxruntime,openvino --page bench.html
    """
    if ops and (bundle or compare):
        raise ConfigError("--ops times the operations and takes no bundle; leave one of them out")
    if compare and any(Path(side.partition("@")[0]).suffix in _RECORDS for side in compare):
        _compare_files(compare, as_json)
        return
    if not bundle and not compare:
        _bench_ops(max(threads, 1), seconds or 1.0, only, tuple(sizes.split(",")) if sizes else (), as_json)
        return
    asked = compare or tuple(f"{bundle}@{name}" if name != "auto" else bundle for name in engine.split(","))
    _bench_bundles(
        asked, (bundle or source) if compare else source, overhead, record, page, as_json, scenario=scenario,
        frames=frames, threads=threads, seconds=seconds or 0.0, driver=driver, root=sysfs,
    )  # fmt: skip


def _bench_bundles(
    asked: Sequence[str], source: str, overhead: bool, record: Path | None, page: Path | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Run, write what was asked for, and print."""
    from rasant.bench.bundle import bench_bundles, candidate
    from rasant.bench.page import print_records, write_page
    from rasant.bench.record import make_records, without_samples, write_records

    run = bench_bundles([candidate(text) for text in asked], source, **options)
    records = make_records(run, command=["rasant", *sys.argv[1:]], overhead=overhead)
    if record is not None:
        write_records(record, records)
    if page is not None:
        write_page(page, records)
    if as_json:
        for each in records:
            typer.echo(json.dumps(without_samples(each), allow_nan=False))
    else:
        print_records(records)


def _compare_files(sides: tuple[str, str], as_json: bool) -> None:
    """The last record of each file, or of FILE@ENGINE the last of that engine."""
    from rasant.bench.compare import compare
    from rasant.bench.record import find_record

    found = compare(*(find_record(side) for side in sides))
    typer.echo(json.dumps(found, allow_nan=False) if as_json else "\n".join([found["text"], *found["caution"]]))


def _bench_ops(threads: int, seconds: float, only: str, sizes: tuple[str, ...], as_json: bool) -> None:
    from rasant.bench.ops import OPERATIONS, rows

    if not as_json:
        typer.echo(HEAD)
    count = 0
    for count, row in enumerate(rows(threads, seconds=seconds, only=only, sizes=sizes), 1):  # noqa: B007
        typer.echo(json.dumps(asdict(row)) if as_json else _line(row))
    if count == 0:
        names = ", ".join(sorted({op.name for op in OPERATIONS}))
        raise ConfigError(f"nothing to time for --only {only!r} --sizes {','.join(sizes)!r}; operations: {names}")


def _line(row: Row) -> str:
    wanted = "" if row.target is None else f"{row.target:.2f}"
    mark = {None: " ", True: "+", False: "-"}[row.reached]
    return (
        f"{row.op:<12} {row.size:<24} {row.ms:>9.3f} {row.peer_ms:>9.3f} {row.ratio:>8.2f} {wanted:>7}{mark} "
        f"{row.bound_ratio:>8.1f}  {row.peer}"
    )
