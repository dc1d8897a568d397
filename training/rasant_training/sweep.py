# SPDX-License-Identifier: Apache-2.0
"""Several trainings from one file: methods, presets, categories, seeds. Through Ray where it is installed.

    [[run]]                                   # a list stands for several runs: here 2 methods on 2 categories
    method = ["das3d", "easynet"]
    preset = "edge"
    data = ["dataset:relief/casting", "dataset:relief/gasket"]
    [run.recipe.loop]                         # what a recipe file may hold, for each of them
    minutes = 30

All recipes are checked before the first run starts. A run that fails is reported and stops no other.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rasant.bundle.writer import write_atomically
from rasant.cli import exit_code
from rasant.errors import ConfigError
from rasant_training.method import load_preset
from rasant_training.monitor import Output
from rasant_training.recipe import Modalities, Recipe, apply_changes, as_dict, read_toml
from rasant_training.run import resume_run, start_run

__all__ = ["Outcome", "Planned", "plan", "sweep", "table", "with_ray"]

AXES = ("method", "preset", "data", "modalities", "seed")


class _Entry(BaseModel):
    """One [[run]] of the file; each of AXES is a value or a list of values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = ""  # added to the names of its runs
    method: str | list[str] = "das3d"
    preset: str | list[str] = "edge"
    data: str | list[str]
    modalities: Modalities | list[Modalities] | None = None
    seed: int | list[int] | None = None
    recipe: dict[str, Any] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    run: list[_Entry]


@dataclass(frozen=True)
class Planned:
    """One run to come. name: of its folder below the sweep's."""

    name: str
    data: str
    recipe: Recipe


@dataclass(frozen=True)
class Outcome:
    """How a run ended. exit_code: what `rasant train` would have left with; error: "" where it is 0 or 130."""

    name: str
    method: str
    preset: str
    data: str
    state: Literal["done", "interrupted", "failed"]
    steps: int = 0
    minutes: float = 0.0
    loss: float | None = None
    exit_code: int = 0
    error: str = ""


def plan(file: Path, changes: Sequence[tuple[str, dict[str, Any]]] = ()) -> list[Planned]:
    """The runs of a file, in its order; lists vary from the right. changes: applied to every recipe, last.

    Raises ConfigError, with its place, for anything in it that could not be run, and for a run that is named twice.
    """
    try:
        entries = _File.model_validate(read_toml(file)).run
    except ValidationError as error:
        places = [f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors()]
        raise ConfigError(f"{file}: {'; '.join(places)}") from None
    runs: dict[str, Planned] = {}
    for number, entry in enumerate(entries):
        values = [value if isinstance(value, list) else [value] for value in (getattr(entry, axis) for axis in AXES)]
        for method, preset, data, modalities, seed in product(*values):
            recipe = load_preset(method, preset)
            own = {"modalities": modalities} if modalities else {}
            drawn = {} if seed is None else {"loop": {"seed": seed}}
            for origin, change in ((f"{file}: run.{number}.recipe", entry.recipe), (str(file), own | drawn), *changes):
                recipe = apply_changes(recipe, change, origin)
            several = [axis for axis, found in zip(AXES, values, strict=True) if len(found) > 1]
            name = _name(recipe, data, several, entry.name)
            if name in runs:
                raise ConfigError(f"{file}: run.{number} trains {name} a second time; give one of the two a name")
            runs[name] = Planned(name, data, recipe)
    if not runs:
        raise ConfigError(f"{file}: it has no [[run]]")
    return list(runs.values())


def _name(recipe: Recipe, data: str, several: Sequence[str], own: str) -> str:
    """category-method-preset, what else varies, and the entry's own name: a folder's name."""
    category = re.split(r"[/:]", data.partition("?")[0].rstrip("/"))[-1]
    words = [category, recipe.method, recipe.preset]
    words += [recipe.modalities] if "modalities" in several else []
    words += [f"seed{recipe.loop.seed}"] if "seed" in several else []
    words += [own] if own else []
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words)).strip(".")


def with_ray() -> bool:
    """True where Ray is installed."""
    return importlib.util.find_spec("ray") is not None


def sweep(
    runs: Sequence[Planned], folder: Path, *, resume: bool = False, output: Output = "quiet", ray: bool | None = None
) -> Iterator[Outcome]:
    """Train every run into `folder`/name; yields how each ended, as it ends, and keeps the list in `folder`/sweep.json.

    resume: go on with runs that are there. output: of the runs where they go one after another. ray: None takes Ray
    where it is installed. A signal ends the run under way and the sweep.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ended: list[Outcome] = []
    ray = with_ray() if ray is None else ray
    for outcome in _through_ray(runs, folder, resume) if ray else _in_turn(runs, folder, resume, output):
        ended.append(outcome)
        write_atomically(folder / "sweep.json", json.dumps([asdict(one) for one in ended], indent=1).encode())
        yield outcome


def _in_turn(runs: Sequence[Planned], folder: Path, resume: bool, output: Output) -> Iterator[Outcome]:
    for one in runs:
        outcome = _train(one, folder, resume, output)
        yield outcome
        if outcome.state == "interrupted":
            return


def _through_ray(runs: Sequence[Planned], folder: Path, resume: bool) -> Iterator[Outcome]:
    """As many at a time as the cluster has room for; `folder` must be one that every machine of it sees."""
    ray: Any = importlib.import_module("ray")
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    pending = {}
    for one in runs:
        task = ray.remote(_train).options(max_retries=0, **_needs(ray, one.recipe))
        pending[task.remote(one, folder, resume, "quiet")] = one
    while pending:
        (ready,), _ = ray.wait(list(pending), num_returns=1)
        one = pending.pop(ready)
        try:
            yield ray.get(ready)
        except ray.exceptions.RayError as error:  # the worker is gone: killed, out of memory
            yield _failed(one, error)


def _needs(ray: Any, recipe: Recipe) -> dict[str, int]:
    """GPUs where there are any; else cores: as many as the recipe's threads, or a machine's all."""
    loop = recipe.loop
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if loop.accelerator != "cpu" and any(machine.get("GPU") for machine in machines):
        return {"num_gpus": loop.devices, "num_cpus": loop.devices}
    most = min(int(machine.get("CPU", 1)) for machine in machines)
    return {"num_cpus": min(loop.devices * loop.threads, most) if loop.threads else most}


def _train(one: Planned, folder: Path, resume: bool, output: Output) -> Outcome:
    """One run to its end; whatever goes wrong is its outcome."""
    started, run = time.monotonic(), folder / one.name
    try:
        if resume and (run / "run.json").exists():
            loop = {"loop": as_dict(one.recipe)["loop"]}  # how long it shall be may have changed
            sitting = resume_run(run, [("the sweep", loop)], data=one.data, output=output)
        else:
            sitting = start_run(one.recipe, one.data, run, output=output)
    except Exception as error:  # the other runs are none of its business
        return _failed(one, error, time.monotonic() - started)
    result = sitting.result
    state: Literal["done", "interrupted"] = "interrupted" if result.interrupted else "done"
    return Outcome(
        one.name, one.recipe.method, one.recipe.preset, one.data, state, result.step, round(result.elapsed_s / 60, 2),
        result.losses.get("total"), 130 if result.interrupted else 0,
    )  # fmt: skip


def _failed(one: Planned, error: Exception, seconds: float = 0.0) -> Outcome:
    return Outcome(
        one.name, one.recipe.method, one.recipe.preset, one.data, "failed", minutes=round(seconds / 60, 2),
        exit_code=exit_code(error), error=f"{type(error).__name__}: {error}",
    )  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a run, for a person; the errors below."""
    width = max([len("run"), *(len(one.name) for one in outcomes)])
    lines = [f"{'run':<{width}}  state        steps  minutes  loss"]
    for one in outcomes:
        loss = "" if one.loss is None else f"{one.loss:.4g}"
        lines.append(f"{one.name:<{width}}  {one.state:<11}  {one.steps:>5}  {one.minutes:>7.1f}  {loss}".rstrip())
    lines += [f"{one.name}: {one.error}" for one in outcomes if one.error]
    return "\n".join(lines)
