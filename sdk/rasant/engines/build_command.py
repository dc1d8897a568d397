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
    precision: Annotated[Precision | None, typer.Option(help="Which graph; default: the bundle's detector.")] = None,
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

    An intact plan of the same graph, machine and options is kept as it is. The precision is that of a graph in the
    bundle; only TensorRT 8.6 can make fp16 of a float32 graph.

    Example: rasant build bracket.rasant --engine tensorrt --precision fp16
    """
    from rasant.bundle import read_bundle
    from rasant.engines.tensorrt import BuildOptions, PlanCache, build_plan

    opened = read_bundle(bundle)
    model, chosen = _graph(opened, precision and precision.value)
    begin = time.perf_counter()
    with _progress() as progress:
        record = build_plan(
            model, precision=chosen, device=device, allow_fallback=allow_fallback, cache=cache, rebuild=rebuild,
            options=BuildOptions(workspace, level), progress=progress,
        )  # fmt: skip
    told = {
        "engine": engine.value,
        "plan": str(PlanCache(cache).plan_path(record.fields.key)),
        **_told(record, time.perf_counter() - begin),
    }
    typer.echo(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def _graph(bundle: Bundle, precision: str | None) -> tuple[bytes, str]:
    """The detector of the asked precision, and its precision. One of float32 stands in for fp16: TensorRT 8.6 takes it,
    and later versions are refused with a text that says why.
    """
    graphs = bundle.manifest.graphs
    if precision is None:
        return bundle.graph(), graphs["detector"].precision
    found: dict[str, str] = {spec.precision: name for name, spec in reversed(graphs.items())}
    name = found.get(precision) or (found.get("fp32") if precision == "fp16" else None)
    if name is None:
        raise ConfigError(f"{bundle.name} has no {precision} graph, only {', '.join(sorted(found))}; export one")
    return bundle.graph(name), precision


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
