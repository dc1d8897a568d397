# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: `run.json` (what it is), `recipe.toml` (to read and to reuse), `checkpoint.safetensors`,
`log.jsonl` (one line a log interval) and `tensorboard/`."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rasant.bundle.writer import write_atomically
from rasant.errors import ConfigError
from rasant.types import Intrinsics
from rasant_training.data.parts import PreparedParts
from rasant_training.method import load_preset
from rasant_training.recipe import Recipe, as_dict, as_toml, from_dict

__all__ = ["RunRecord", "checkpoint_path", "describe", "read_run", "write_run"]

FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds. `recipe.preprocess` is complete: it has the constants estimated from the good parts."""

    recipe: Recipe
    data: str  # source address
    category: str
    sha256: str  # of the training data
    parts: int
    intrinsics: Intrinsics
    serial: str
    limits: dict[str, float]
    notes: tuple[str, ...]
    created: str  # ISO 8601, UTC
    versions: dict[str, str]


def checkpoint_path(run: Path) -> Path:
    """Where a run keeps its latest checkpoint."""
    return run / "checkpoint.safetensors"


def describe(recipe: Recipe, data: str, parts: PreparedParts) -> RunRecord:
    """The record of a new run on prepared parts."""
    packages = ("rasant", "torch", "numpy", "lightning-fabric", "safetensors")
    versions = {name: _version(name) for name in packages} | {"python": platform.python_version()}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return RunRecord(
        replace(recipe, preprocess=parts.params), data, parts.category, parts.sha256, len(parts), parts.intrinsics,
        parts.serial, parts.limits, parts.notes, now, versions,
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def write_run(run: Path, record: RunRecord) -> None:
    """Write `run.json` and `recipe.toml` into the folder, which is made when needed."""
    run.mkdir(parents=True, exist_ok=True)
    plain = {"format": FORMAT, **asdict(replace(record, recipe=None)), "recipe": as_dict(record.recipe)}  # type: ignore[arg-type]
    write_atomically(run / "run.json", json.dumps(plain, indent=1).encode())
    write_atomically(run / "recipe.toml", as_toml(record.recipe).encode())


def read_run(run: Path) -> RunRecord:
    """The record of a run folder. Raises ConfigError when the folder does not hold a run, or a damaged one."""
    try:
        plain: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
        if plain.pop("format") != FORMAT:
            raise ConfigError(f"{run}/run.json is of another version of rasant; train again")
        recipe = plain.pop("recipe")
        preset = load_preset(recipe["method"], recipe["preset"])
        intrinsics = TypeAdapter(Intrinsics).validate_python(plain.pop("intrinsics"))
        notes = tuple(plain.pop("notes"))
        return RunRecord(recipe=from_dict(recipe, preset), intrinsics=intrinsics, notes=notes, **plain)
    except FileNotFoundError:
        raise ConfigError(f"{run} is not the folder of a run: it has no run.json; give the --out folder of "
                          "`rasant train`") from None
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{run}/run.json is damaged: {error!r}") from None


def same_training(one: Recipe, other: Recipe) -> list[str]:
    """Places where two recipes would train differently; what only says how long or on what to run does not count."""
    free = {"steps", "minutes", "accelerator", "devices", "nodes", "threads", "log_every", "picture_every",
            "checkpoint_steps", "checkpoint_seconds"}
    return _differences(_fixed(one, free), _fixed(other, free), "")


def _fixed(recipe: Recipe, free: set[str]) -> dict[str, Any]:
    plain = as_dict(recipe)
    plain["loop"] = {key: value for key, value in plain["loop"].items() if key not in free}
    plain["data"] = {key: value for key, value in plain["data"].items() if key not in {"workers", "prefetch"}}
    plain["modalities"] = recipe.modalities
    return plain


def _differences(one: dict[str, Any], other: dict[str, Any], place: str) -> list[str]:
    found = []
    for key in sorted(one.keys() | other.keys()):
        where = f"{place}.{key}".strip(".")
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, where)
        elif a != b:
            found.append(f"{where} ({a!r} and {b!r})")
    return found
