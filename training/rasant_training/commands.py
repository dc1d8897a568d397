# SPDX-License-Identifier: Apache-2.0
"""`rasant train` and `rasant export`. torch is imported when a command runs, so that `rasant --help` stays fast."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rasant import read_bundle
from rasant.errors import ConfigError

if TYPE_CHECKING:
    from rasant_training.recipe import Recipe

__all__ = ["export", "train"]


class Modalities(str, enum.Enum):
    """What the network sees."""

    rgbd = "rgbd"
    rgb = "rgb"
    depth = "depth"


class Precision(str, enum.Enum):
    """Arithmetic of the training."""

    full = "32-true"
    bf16 = "bf16-mixed"
    fp16 = "16-mixed"


class Profile(str, enum.Enum):
    """What must be able to read the graph."""

    modern = "modern"
    jetson = "jetson"


def train(
    method: Annotated[str, typer.Argument(help="Method to train.")] = "das3d",
    data: Annotated[str, typer.Option(help="Source of good parts, e.g. dataset:PATH/CATEGORY.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("run"),
    preset: Annotated[str, typer.Option(help="Preset of the method.")] = "edge",
    recipe: Annotated[Path | None, typer.Option(help="TOML file that changes values of the preset.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. data.batch=4.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="End after this many steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="End after this wall time.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Processes on this machine.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Arithmetic.")] = None,
    modalities: Annotated[Modalities | None, typer.Option(help="What the network sees.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights and samples.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    sweep: Annotated[
        Path | None, typer.Option(help="TOML file of several runs, each with its method, preset and data.")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line, no bar.")] = False,
) -> None:
    """Train a detector on good parts.

    With --sweep several, into folders of --out: through Ray where it is installed, one after another otherwise.

    Example: rasant train das3d --preset edge --data dataset:parts/casting --minutes 30 --out runs/casting

    Example: rasant train --sweep recipes.toml --minutes 30 --out runs
    """
    changes = _changes(steps, minutes, devices, precision, modalities, seed)
    output: Any = "json" if json_lines else "progress"
    if sweep is not None:
        if data:
            raise ConfigError(f"--data and --sweep: {sweep} names the data of each run; leave --data out")
        _sweep(sweep, _change_list(recipe, settings, changes), out, resume=resume, json_lines=json_lines)
        return
    from rasant_training.run import resume_run, start_run

    if resume:
        result = resume_run(out, _change_list(recipe, settings, changes), data=data, output=output)
    else:
        result = start_run(_chosen(method, preset, recipe, settings, changes), data, out, output=output)
    for note in result.notes:
        typer.echo(json.dumps({"event": "note", "text": note}) if json_lines else f"note: {note}")
    if not json_lines:
        typer.echo(result.summary)
    if result.interrupted:
        raise typer.Exit(130)


def _sweep(
    file: Path, changes: list[tuple[str, dict[str, Any]]], out: Path, *, resume: bool, json_lines: bool
) -> None:
    """Run a sweep and print how each run ended. Leaves with the highest exit code of a run."""
    from rasant_training.sweep import plan, sweep, table, with_ray

    runs, ended = plan(file, changes), []
    if not json_lines:
        typer.echo(f"{len(runs)} runs, {'through Ray' if with_ray() else 'one after another'}")
    for one in sweep(runs, out, resume=resume, output="quiet" if json_lines else "progress"):
        ended.append(one)
        typer.echo(json.dumps({"event": "run", **asdict(one)}) if json_lines else f"{one.name}: {one.state}")
    if not json_lines:
        typer.echo(table(ended))
    if code := max(one.exit_code for one in ended):
        raise typer.Exit(code)


def _changes(
    steps: int | None, minutes: float | None, devices: int | None, precision: Precision | None,
    modalities: Modalities | None, seed: int | None,
) -> dict[str, Any]:
    """The short options as changes of the recipe; --minutes alone lifts the limit of steps and the other way round."""
    loop: dict[str, Any] = {"devices": devices, "precision": precision and precision.value, "seed": seed}
    if steps is not None or minutes is not None:
        loop |= {"steps": steps or 0, "minutes": minutes or 0.0}
    loop = {key: value for key, value in loop.items() if value is not None}
    return {"loop": loop} | ({"modalities": modalities.value} if modalities else {})


def _change_list(
    recipe: Path | None, settings: list[str] | None, changes: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    from rasant_training.recipe import parse_settings, read_toml

    found = [(str(recipe), read_toml(recipe))] if recipe else []
    if settings:
        found.append(("--set", parse_settings(settings)))
    return [*found, ("command line", changes)]


def _chosen(
    method: str, preset: str, recipe: Path | None, settings: list[str] | None, changes: dict[str, Any]
) -> Recipe:
    from rasant_training.method import load_preset
    from rasant_training.recipe import apply_changes

    chosen = load_preset(method, preset)
    for origin, change in _change_list(recipe, settings, changes):
        chosen = apply_changes(chosen, change, origin)
    return chosen


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run; with --triton, a bundle (.rasant) too.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Bundle to write.")] = None,
    profile: Annotated[Profile, typer.Option(help="jetson: opset 17, IR 8, for JetPack 6.")] = Profile.modern,
    opset: Annotated[int | None, typer.Option(help="17 or 18; the profile's when not given.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, as SPDX identifier.")] = "Apache-2.0",
    data: Annotated[str, typer.Option(help="Source of good parts, when it moved since training.")] = "",
    tile_overlap: Annotated[
        int | None, typer.Option(min=0, help="Run the network on tiles of data.crop pixels that share so many.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="settings.deploy.KEY=VALUE, where a method has it.")
    ] = None,
    triton: Annotated[Path | None, typer.Option(help="Model repository of a Triton server to write into.")] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Export a run as a bundle: static ONNX, verified against torch, with its certificate.

    The bundle has no threshold yet: `rasant calibrate threshold` sets it.
    With --triton the networks are written as models of a Triton server, of a run's new bundle or of one that is there.

    Example: rasant export runs/casting -o casting.rasant

    Example: rasant export casting.rasant --triton models
    """
    report: dict[str, Any] = {}
    if run.is_file():
        if triton is None or out is not None:
            raise ConfigError(f"{run} is a bundle already; --triton DIR makes models of it, -o is for a run's folder")
    else:
        if out is None:
            raise ConfigError(f"say where the bundle of {run} is to be written, with -o")
        from rasant_training.export.bundle import export_run
        from rasant_training.recipe import parse_settings

        report = export_run(
            run, out, profile=profile.value, opset=opset, licence=licence, data=data, tile_overlap=tile_overlap,
            changes=parse_settings(settings or []),
        )
    if triton is not None:
        from rasant.bundle.triton import write_triton_repository

        models = write_triton_repository(read_bundle(out or run), triton)
        report = {**report, "triton": [str(model) for model in models]}
    typer.echo(json.dumps(report) if json_lines else "\n".join(f"{key}: {value}" for key, value in report.items()))
