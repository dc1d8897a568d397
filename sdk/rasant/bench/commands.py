# SPDX-License-Identifier: Apache-2.0
"""`rasant bench`: operations against numpy and OpenCV, or a bundle on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rasant.bench.case import Row
from rasant.errors import ConfigError

__all__ = ["bench"]

HEAD = f"{'operation':<12} {'size':<24} {'ms':>9} {'peer ms':>9} {'ratio':>8} {'target':>8} {'x bound':>8}  peer"


def bench(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle to time; without one the operations are.")] = None,
    source: Annotated[str, typer.Argument(help="Where the bundle's frames come from.")] = "synthetic:plate",
    ops: Annotated[bool, typer.Option("--ops", help="Time the operations (the default without a bundle).")] = False,
    only: Annotated[str, typer.Option("--only", help="Only operations whose name holds this.")] = "",
    sizes: Annotated[str, typer.Option("--sizes", help="Only these, e.g. 256x256,640x480.")] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="Time for each operation.")] = 1.0,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames to inspect with the bundle.")] = 100,
    engine: Annotated[str, typer.Option("--engine", help="The bundle's engine; see rasant doctor.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=0, max=256, help="0: one for the operations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Time the operations beside a numpy and OpenCV assembly, or a bundle stage by stage.

    Ratios are peer / ours, measured in turns in one process; "x bound" is our time over a memcpy of the same bytes.
    A target belongs to one thread of the reference machine (2 vCPU Xeon, AVX-512, 2.5 GHz).

    Example: rasant bench --ops --only score --sizes 256x256 --json
    """
    if bundle is not None and ops:
        raise ConfigError("--ops times the operations and takes no bundle; leave one of them out")
    if bundle is None:
        _bench_ops(max(threads, 1), seconds, only, tuple(sizes.split(",")) if sizes else (), as_json)
        return
    from rasant.bench.bundle import bench_bundle

    result = bench_bundle(bundle, source, frames=frames, engine=engine, threads=threads)
    typer.echo(json.dumps(result) if as_json else _stages(result))


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


def _stages(result: dict[str, Any]) -> str:
    lines = [f"{'stage':<12} {'p50':>8} {'p90':>8} {'p95':>8}  ms"]
    for stage, values in result["stages_ms"].items():
        lines.append(f"{stage:<12} {values['p50']:>8.2f} {values['p90']:>8.2f} {values['p95']:>8.2f}")
    lines.append(f"{result['frames_per_second']:.1f} frames/s, {result['frames']} frames, {result['engine']}")
    lines.append("verdicts: " + ", ".join(f"{count} {reason}" for reason, count in sorted(result["reasons"].items())))
    return "\n".join(lines)
