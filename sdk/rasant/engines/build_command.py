# SPDX-License-Identifier: Apache-2.0
"""`rasant build BUNDLE --engine tensorrt`: compile a bundle's graph for this machine, ahead of time.

Nothing else builds: an engine that finds no fitting plan refuses to open, and names this command.
"""

from __future__ import annotations

import enum
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rasant.errors import ConfigError

if TYPE_CHECKING:
    from rasant.bundle import Bundle
    from rasant.engines.tensorrt import BuildStep, PlanRecord

__all__ = ["build"]


class Compiled(str, enum.Enum):
    """Engines that compile ahead of time."""

    tensorrt = "tensorrt"


class Precision(str, enum.Enum):
    """Arithmetic of a graph."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def build(
    bundle: Annotated[Path, typer.Argument(help="The bundle (.rasant).")],
    engine: Annotated[Compiled, typer.Option(help="The engine to compile for.")] = Compiled.tensorrt,
    precision: Annotated[Precision | None, typer.Option(help="What the bundle must be; default: what it is.")] = None,
    device: Annotated[str, typer.Option(help='"cuda", or "dla:N" of a Jetson.')] = "cuda",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Layers that the DLA cannot run may run on the GPU.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="Folder of plans; default: rasant in XDG_CACHE_HOME.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even where an intact plan is there.")] = False,
    workspace: Annotated[int, typer.Option(min=0, help="MiB that a layer may use; 0: TensorRT decides.")] = 0,
    level: Annotated[int, typer.Option(min=0, max=5, help="0: fastest build, 5: fastest plan.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build the engine of a bundle for this machine; progress goes to stderr.

    An intact plan of the same graph, machine and options is kept as it is. The precision is that of the bundle, which
    `rasant calibrate fp16` and `rasant calibrate int8` make; any other is refused.

    Example: rasant build bracket-fp16.rasant --engine tensorrt --precision fp16
    """
    from rasant.bundle import read_bundle
    from rasant.engines.tensorrt import BuildOptions, PlanCache, build_plan

    opened = read_bundle(bundle)
    if precision is not None:
        _require_precision(opened, bundle, precision.value)
    begin = time.perf_counter()
    with _progress() as progress:
        record = build_plan(
            opened.graph(), precision=opened.manifest.detector.precision, device=device, allow_fallback=allow_fallback,
            cache=cache, rebuild=rebuild, options=BuildOptions(workspace, level), progress=progress,
        )  # fmt: skip
    told = {
        "engine": engine.value,
        "plan": str(PlanCache(cache).plan_path(record.fields.key)),
        **_told(record, time.perf_counter() - begin),
    }
    typer.echo(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def _require_precision(bundle: Bundle, path: Path, wanted: str) -> None:
    """Refuse a bundle of another precision, with the command that makes one of the wanted."""
    found = bundle.manifest.detector.precision
    if wanted == found:
        return
    advice = "start from the float32 bundle that it was made from"
    if found == "fp32":
        made = path.with_name(f"{path.stem}-{wanted}{path.suffix}")
        advice = f"make one with `rasant calibrate {wanted} {path} GOOD_PARTS -o {made}`, and build that"
    raise ConfigError(f"{path} is {found}, asked for is {wanted}; a bundle has one graph, of one precision: {advice}")


def _told(record: PlanRecord, seconds: float) -> dict[str, Any]:
    fields = asdict(record.fields)
    return {
        "built": record.built, "build_s": record.build_s,
        "took_s": round(seconds, 3), "bytes": record.size,
        **{name: fields[name] for name in ("package", "version", "gpu", "compute_capability", "precision", "dla_core")},
    }  # fmt: skip


@contextmanager
def _progress() -> Iterator[Any]:
    """Bars on a terminal, a line each second into a file; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, TaskID] = {}
        begin = said = time.monotonic()

        def show(step: BuildStep) -> None:
            nonlocal said
            if bars.disable:
                now = time.monotonic()
                if now - said >= 1.0:
                    said = now
                    share = f" {step.done}/{step.total}" if step.total else ""
                    typer.echo(f"{now - begin:.0f} s: {step.phase}{share}", err=True)
            elif not step.total:
                bars.console.print(step.phase, style="dim", markup=False, highlight=False)
            elif step.done == step.total and step.phase in tasks:
                bars.remove_task(tasks.pop(step.phase))
            else:
                if step.phase not in tasks:
                    tasks[step.phase] = bars.add_task(step.phase)
                bars.update(tasks[step.phase], completed=step.done, total=step.total)

        yield show
