# SPDX-License-Identifier: Apache-2.0
"""What a training run does, as frozen dataclasses; files and command-line settings are checked strictly at the edge.

A method gives presets (`rasant_training.methods`). A TOML file and `key=value` settings change single values of a
preset; an unknown key, a wrong type or a value out of range is refused with the place where it stands.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rasant.errors import ConfigError
from rasant.preprocess import PreprocessParams

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "DataRecipe",
    "LoopRecipe",
    "OptimizerRecipe",
    "PostprocessRecipe",
    "Recipe",
    "apply_changes",
    "as_dict",
    "as_toml",
    "from_dict",
    "parse_settings",
    "read_toml",
    "require_multiple",
    "with_deployment",
]

Modalities = Literal["rgbd", "rgb", "depth"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class DataRecipe:
    """How good parts become batches."""

    crop: Annotated[int, Field(ge=16)] = 128  # side of a training sample, pixels of the network grid
    batch: Annotated[int, Field(ge=1)] = 8  # samples a step, over all processes together
    whole_share: Annotated[float, Field(ge=0, le=1)] = 0.0  # last share of the run that is trained on whole frames
    workers: Annotated[int, Field(ge=1)] = 1  # threads that make samples
    prefetch: Annotated[int, Field(ge=1)] = 2  # batches made ahead
    height_percentiles: tuple[float, float] = (0.5, 99.5)  # of foreground heights: the frozen depth range of the class


@dataclass(frozen=True)
class OptimizerRecipe:
    """Optimiser, learning-rate schedule and gradient clipping."""

    kind: Literal["adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    # other rates by the first word of a parameter's name, where a preset has some: {"discriminate": 1e-5}
    rates: dict[str, Annotated[float, Field(gt=0)]] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["cosine", "milestones", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 50  # linear, from 1/warmup_steps of the rate
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.01  # cosine: last rate over the first
    milestones: tuple[float, ...] = (0.8, 0.9)  # milestones: fractions of the run
    milestone_factor: Annotated[float, Field(gt=0, le=1)] = 0.2
    clip_norm: Annotated[float, Field(ge=0)] = 1.0  # 0 switches clipping off


@dataclass(frozen=True)
class LoopRecipe:
    """How long, on what, and how often to save."""

    steps: Annotated[int, Field(ge=0)] = 2000  # 0: the wall budget ends the run
    minutes: Annotated[float, Field(ge=0)] = 0.0  # wall budget; when set, the schedule follows the elapsed fraction
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    initial: str = ""  # folder of a run of the same network, whose weights are the start; empty: random weights
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999  # decay of the averaged weights; 0 switches averaging off
    precision: Precision = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] = 1  # processes on this machine
    nodes: Annotated[int, Field(ge=1)] = 1  # machines; start the same command on each under torchrun
    threads: Annotated[int, Field(ge=0)] = 0  # torch threads a process; 0 leaves torch's own choice
    channels_last: bool = True
    log_every: Annotated[int, Field(ge=1)] = 20  # steps
    picture_every: Annotated[int, Field(ge=0)] = 200  # steps, and the last one; 0 switches pictures off
    checkpoint_steps: Annotated[int, Field(ge=0)] = 0  # 0: by time only
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0


@dataclass(frozen=True)
class PostprocessRecipe:
    """From logits to scores; goes into the bundle's manifest as it is."""

    kernel: Annotated[int, Field(ge=1, le=255)] = 21  # side of the box mean, odd, map pixels
    pixel_map: Literal["raw", "pooled"] = "raw"  # which map P-AUROC and AUPRO use
    mask_to_foreground: bool = False  # score only the part, widened by foreground_dilate_px
    foreground_dilate_px: Annotated[int, Field(ge=0, le=255)] = 0


@dataclass(frozen=True)
class Recipe:
    """A whole run. `settings` is the method's own frozen dataclass."""

    method: str
    preset: str
    settings: Any
    modalities: Modalities = "rgbd"
    preprocess: PreprocessParams = field(default_factory=PreprocessParams)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)
    postprocess: PostprocessRecipe = field(default_factory=PostprocessRecipe)

    def __post_init__(self) -> None:
        """Keep the two places that name the modalities equal."""
        if self.preprocess.modalities != self.modalities:
            params = dataclasses.replace(self.preprocess, modalities=self.modalities)
            object.__setattr__(self, "preprocess", params)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network inputs in use, in graph order."""
        return {"rgbd": ("color", "depth"), "rgb": ("color",), "depth": ("depth",)}[self.modalities]


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Nested plain dictionary of a recipe, ready for JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    plain["preprocess"].pop("modalities")
    return plain


def from_dict(plain: dict[str, Any], preset: Recipe) -> Recipe:
    """A recipe from the whole dictionary `plain`; `preset` gives the type of the method's settings.

    Raises ConfigError that names each wrong place.
    """
    values = dict(plain)
    settings = _validate(type(preset.settings), values.pop("settings"), "settings")
    head = _validate(Recipe, {**values, "settings": None}, "")
    recipe: Recipe = dataclasses.replace(head, settings=settings)
    _check(recipe)
    return recipe


def _validate(kind: type, values: Any, place: str) -> Any:
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        lines = []
        for issue in error.errors():
            where = ".".join([place, *map(str, issue["loc"])]).strip(".")
            lines.append(f"{where}: {issue['msg']}, got {issue['input']!r}")
        raise ConfigError("recipe: " + "; ".join(lines)) from None


def _check(recipe: Recipe) -> None:
    loop, data = recipe.loop, recipe.data
    if not loop.steps and not loop.minutes:
        raise ConfigError("recipe: loop.steps and loop.minutes are both 0; set one of them, it ends the run")
    processes = loop.devices * loop.nodes
    if data.batch % processes:
        raise ConfigError(f"recipe: data.batch = {data.batch} cannot be divided among {processes} processes; "
                          f"use a multiple of {processes}")
    low, high = data.height_percentiles
    if not 0 <= low < high <= 100:
        raise ConfigError(f"recipe: data.height_percentiles must rise within 0 to 100, got {low}, {high}")


def require_multiple(recipe: Recipe, step: int) -> None:
    """Raises ConfigError where the image or the crop of a recipe is not a multiple of `step` on every side."""
    for place, sides in (("preprocess.size", recipe.preprocess.size), ("data.crop", (recipe.data.crop,))):
        if any(side % step for side in sides):
            raise ConfigError(f"recipe: {place} must be a multiple of {step} for this network, got {sides}")


def apply_changes(recipe: Recipe, changes: dict[str, Any], origin: str) -> Recipe:
    """`recipe` with nested `changes` (as read from TOML); `origin` names their source in errors.

    Raises ConfigError for a key that the recipe does not have, or a value that does not fit.
    """
    plain = as_dict(recipe)
    for fixed in ("method", "preset"):
        if fixed in changes and changes[fixed] != plain[fixed]:
            raise ConfigError(f"{origin}: {fixed} is {changes[fixed]!r} but the run uses {plain[fixed]!r}; "
                              f"remove the line, or choose it on the command line")
    _merge(plain, changes, origin, "")
    return from_dict(plain, recipe)


def with_deployment(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """`recipe` with other values under `settings.deploy`: what a method leaves open until its bundle is written.

    Raises ConfigError for everything else: the weights are trained.
    """
    settings = changes.get("settings", {})
    fixed = {*changes} - {"settings"} or ({*settings} - {"deploy"} if isinstance(settings, dict) else {})
    if fixed:
        raise ConfigError(f"--set {min(fixed)}: a trained run is exported as it is, but for settings.deploy where its "
                          "method has that; train again for the rest")
    return apply_changes(recipe, changes, "--set") if changes else recipe


def _merge(target: dict[str, Any], changes: dict[str, Any], origin: str, place: str) -> None:
    for key, value in changes.items():
        where = f"{place}.{key}".strip(".")
        if key not in target:
            near = difflib.get_close_matches(key, target, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(sorted(target))}"
            raise ConfigError(f"{origin}: unknown key {where}{hint}")
        if isinstance(target[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{origin}: {where} is a table, got {value!r}; set one of its keys, "
                                  f"{', '.join(sorted(target[key]))}")
            _merge(target[key], value, origin, where)
        else:
            target[key] = value


def read_toml(path: Path) -> dict[str, Any]:
    """The nested dictionary of a TOML file. Raises ConfigError when it is missing or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"recipe file {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe file {path} is not TOML: {error}") from None


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Nested dictionary of `a.b=value` words; a value is TOML (`3`, `1e-3`, `true`, `[1, 2]`) or else plain text."""
    changes: dict[str, Any] = {}
    for word in settings:
        key, separator, text = word.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set takes key=value, for example optimizer.learning_rate=1e-3; got {word!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = changes
        *tables, last = key.split(".")
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return changes


def as_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `read_toml` and `apply_changes` take back; values of None are left out."""
    return "\n".join(_toml_lines(as_dict(recipe), "")) + "\n"


def _toml_lines(table: dict[str, Any], name: str) -> list[str]:
    lines = [f"\n[{name}]"] if name else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()
              if value is not None and not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml_lines(value, f"{name}.{key}".strip("."))
    return lines
