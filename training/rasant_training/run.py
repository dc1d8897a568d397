# SPDX-License-Identifier: Apache-2.0
"""Start and resume runs: data, folder and loop put together. This is what `rasant train` calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rasant.errors import ConfigError
from rasant_training.contamination import odd_parts
from rasant_training.data.parts import PreparedParts, prepare_parts
from rasant_training.loop import Job, RunResult, train
from rasant_training.monitor import Output
from rasant_training.recipe import Recipe, apply_changes
from rasant_training.rundir import checkpoint_path, describe, read_run, same_training, write_run

__all__ = ["Sitting", "resume_run", "start_run"]


@dataclass(frozen=True)
class Sitting:
    """How one call of `rasant train` ended."""

    result: RunResult
    run: Path
    notes: tuple[str, ...] = ()

    @property
    def interrupted(self) -> bool:
        """True when a signal ended it before the recipe did."""
        return self.result.interrupted

    @property
    def summary(self) -> str:
        """One line for a person."""
        r = self.result
        state = f"stopped; go on with: rasant train --resume --out {self.run}" if r.interrupted else (
            f"done; next: rasant export {self.run} -o BUNDLE.rasant")
        loss = r.losses.get("total", float("nan"))
        return f"{r.step} steps, {r.elapsed_s / 60:.1f} minutes, loss {loss:.4g}; {state}"


def start_run(recipe: Recipe, data: str, run: Path, *, output: Output = "quiet") -> Sitting:
    """Train from scratch into the folder `run`.

    Raises ConfigError when the folder has a run already, or the data cannot be trained on.
    """
    if not data:
        raise ConfigError("--data is missing: name the source of good parts, e.g. --data dataset:PATH/CATEGORY")
    if (run / "run.json").exists():
        raise ConfigError(f"{run} holds a run already; add --resume to go on with it, or choose another --out")
    parts = prepare_parts(data, recipe.preprocess, recipe.data)
    record = describe(recipe, data, parts)
    write_run(run, record)
    return _sit(record.recipe, parts, run, resume=False, output=output)


def resume_run(
    run: Path, changes: list[tuple[str, dict[str, Any]]], *, data: str = "", output: Output = "quiet"
) -> Sitting:
    """Go on with a run after its last checkpoint (or from the start when it had none).

    `changes` may say how long, on what and how often to save; `data` is where the same files are now, if they moved.
    Raises ConfigError when a change would train something else, or when the data are not the same.
    """
    record = read_run(run)
    recipe = record.recipe
    for origin, change in changes:
        recipe = apply_changes(recipe, change, origin)
    if different := same_training(record.recipe, recipe):
        raise ConfigError(f"{run} cannot be resumed with another {', '.join(different)}; start a new run instead")
    parts = prepare_parts(data or record.data, record.recipe.preprocess, recipe.data, estimate=False)
    if parts.sha256 != record.sha256:
        raise ConfigError(f"the data of {data or record.data} changed since {run} was started ({record.parts} parts "
                          f"then, {len(parts)} now); start a new run instead")
    write_run(run, replace(record, recipe=recipe, data=data or record.data))
    return _sit(recipe, parts, run, resume=checkpoint_path(run).exists(), output=output)


def _sit(recipe: Recipe, parts: PreparedParts, run: Path, *, resume: bool, output: Output) -> Sitting:
    result = train(Job(recipe, parts, run, resume, output))
    notes = () if result.interrupted else tuple(odd_parts(run, recipe, parts))
    if notes:
        record = read_run(run)
        write_run(run, replace(record, notes=(*record.notes, *(note for note in notes if note not in record.notes))))
    return Sitting(result, run, notes)
