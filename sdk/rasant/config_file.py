# SPDX-License-Identifier: Apache-2.0
"""TOML and JSON files at the edge, read strictly: every refusal names the file and the key."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rasant.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["MAX_BYTES", "MAX_DEPTH", "parse_mapping", "read_config", "validate"]

MAX_BYTES = 1 << 16
MAX_DEPTH = 16

_BRANCH = re.compile(r"constrained-|literal\[")

Model = TypeVar("Model", bound=BaseModel)


def read_config(path: str | Path, model: type[Model]) -> Model:
    """A configuration file as a checked model; the suffix says whether it is TOML or JSON.

    Raises ConfigError with the file and the exact key: no such file, larger than 64 KiB, not UTF-8, wrong syntax (with
    line and column), a key given twice, nested deeper than 16, an unknown key, a value of the wrong type, NaN or out
    of range.
    """
    path = Path(path)
    return validate(parse_mapping(_read_text(path), path), model, str(path))


def validate(values: Mapping[str, Any], model: type[Model], name: str) -> Model:
    """Check values against a strict model. Raises ConfigError: `NAME: key.path: what was expected, got what`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_line(item) for item in error.errors(include_url=False)[:5]]
        more = error.error_count() - len(lines)
        raise ConfigError(f"{name}: " + "; ".join(lines) + (f"; and {more} more" if more else "")) from None


def _line(item: Any) -> str:
    """One of pydantic's findings as `key.path: what was expected, got what`; branches of a union are no part of it."""
    key = ".".join(str(part) for part in item["loc"] if not _BRANCH.match(str(part)))
    text = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
    shown = not isinstance(item["input"], dict | BaseModel) and item["type"] != "missing"
    got = f", got {item['input']!r:.80}" if shown else ""
    return f"{key}: {text}{got}" if key else text


def parse_mapping(text: str, path: Path) -> dict[str, Any]:
    """TOML or JSON text as plain values, by the suffix of `path`. Raises ConfigError as `read_config` does."""
    if path.suffix not in (".toml", ".json"):
        raise ConfigError(f"{path}: a configuration file must end in .toml or .json")
    try:
        if path.suffix == ".toml":
            values: Any = tomllib.loads(text)
        else:
            values = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deep, at most {MAX_DEPTH} levels are read") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got a {type(values).__name__}")
    if _deeper_than(values, MAX_DEPTH):
        raise ConfigError(f"{path}: nested too deep, at most {MAX_DEPTH} levels are read")
    return values


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; this is no configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:80]!r} is given twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _deeper_than(value: Any, levels: int) -> bool:
    """Breadth first, so that depth costs no recursion."""
    layer = [value]
    for _ in range(levels + 1):
        following: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                following.extend(item.values())
            elif isinstance(item, list):
                following.extend(item)
        layer = [item for item in following if isinstance(item, dict | list)]
        if not layer:
            return False
    return True
